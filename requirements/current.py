"""Tell whether an environment, whose Python runs this, is what the lock file and a person ask for.

    python -IS requirements/current.py VENV [VERSION]

VERSION is the ``sys.version`` of the interpreter that was asked for by name. Each command of the Makefile asks this
first, so it imports next to nothing.
"""

import os
import sys

LOCK_FILE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "dev.txt")  # noqa: PTH118, PTH120 - see above
STAMP = "plantops-set-up"


def stamp_text(venv: str) -> str:
    """Return what the stamp of a finished environment says: its place, the running interpreter and its packages."""
    with open(LOCK_FILE, encoding="utf-8") as lock_file:  # noqa: PTH123 - see above
        # The place counts because the scripts in bin/ hold it.
        return f"{os.path.realpath(venv)}\n{sys.version}\n{lock_file.read()}"


def is_current(venv: str, wanted: str = sys.version) -> bool:
    """Return whether the environment is finished, and made of the lock file's packages with the wanted Python."""
    try:
        with open(f"{venv}/{STAMP}", encoding="utf-8") as stamp:  # noqa: PTH123 - see above
            return wanted == sys.version and stamp.read() == stamp_text(venv)
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(not is_current(*sys.argv[1:]))

"""Tell whether an environment, whose Python runs this, is what the lock file and a person ask for.

    python -IS requirements/current.py VENV [VERSION]

VERSION is the ``sys.version`` of the interpreter that was asked for by name. Each command of the Makefile asks this
first, so it imports next to nothing.
"""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120 - see above
LOCK_FILE = f"{HERE}/dev.txt"
STAMP = "plantops-set-up"


def stamp_text(venv: str) -> str:
    """Return what the stamp of a finished environment says: all that it was made from.

    That is its place (the scripts in ``bin/`` hold it), the running interpreter, the packages, and the set-up itself.
    """
    parts = [os.path.realpath(venv), sys.version]
    for name in (LOCK_FILE, f"{HERE}/install.py"):
        with open(name, encoding="utf-8") as file:  # noqa: PTH123 - see above
            parts.append(file.read())
    return "\n".join(parts)


def is_current(venv: str, wanted: str = sys.version) -> bool:
    """Return whether the environment is finished, and made of the lock file's packages with the wanted Python."""
    try:
        with open(f"{venv}/{STAMP}", encoding="utf-8") as stamp:  # noqa: PTH123 - see above
            return wanted == sys.version and stamp.read() == stamp_text(venv)
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(not is_current(*sys.argv[1:]))

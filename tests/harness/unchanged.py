"""Whether a stage of the checks can be left out: what it runs on is as it was when the stage last passed.

    python -m harness.unchanged STAGE [--all]

Ends with status 0 and a sentence if so. Otherwise, and with ``--all``, it notes what the stage is about to run on and
ends with status 1. Once the stage has reached its floor, ``harness.floors`` keeps the note.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

PASSED = Path("build") / "passed"
# What a stage depends on beside the files of the checkout.
SURROUNDINGS = ("DATABASE_URL", "TEST_DATABASE_URL", "PYTEST_ADDOPTS")


def digest(project: Path) -> str | None:
    """Return the sha256, in hexadecimal, of all that the tests of tools and backend depend on.

    These are the files of the checkout that git knows or would add, but for the text of the pages, which those tests
    do not read; the version of Python; the programs and settings that decide which tests can run.

    Arguments:
        project: the checkout. Without git, or outside a repository, nothing is known: None.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    total = hashlib.sha256(sys.version.encode())
    for fact in (shutil.which("pgbouncer"), *map(os.environ.get, SURROUNDINGS)):
        total.update(f"{fact}\n".encode())
    for name in sorted(set(listed.split("\0"))):
        file = project / name
        if file.is_file() and not is_text(name):
            total.update(f"{name}\n{file.stat().st_mode:o}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def is_text(name: str) -> bool:
    """Whether a file, by its path in the checkout, is a page or another text for people."""
    return name.endswith(".md") and not name.startswith(("tests/", "backend/"))


def has_passed(stage: str) -> bool:
    """Whether the stage has passed on what is here now."""
    kept = PASSED / stage
    return kept.is_file() and kept.read_text(encoding="utf-8") == digest(Path.cwd())


def keep(stage: str) -> None:
    """Keep what was noted when the stage began: it has passed on that."""
    note = PASSED / f"{stage}.begun"
    if note.exists():
        note.replace(PASSED / stage)


def main(stage: str, *options: str) -> int:
    """Return the exit status: 0 if the stage can be left out."""
    if not options and has_passed(stage):
        sys.stdout.write("Left out: they have passed on what is here now. make check ALL=1 runs them.\n")
        return 0
    (PASSED / stage).unlink(missing_ok=True)
    if found := digest(Path.cwd()):
        PASSED.mkdir(parents=True, exist_ok=True)
        (PASSED / f"{stage}.begun").write_text(found, encoding="utf-8")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

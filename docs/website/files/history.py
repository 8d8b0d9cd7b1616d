"""When each page was last changed: the day of the last commit that did.

One `git log` dates them all. If git is missing, or its history is cut off, no page has a date, because a wrong one
would be worse. Nothing here depends on the day of the build: the same commit gives the same site.
"""

from __future__ import annotations

import shutil
import subprocess
from datetime import date
from pathlib import Path


def last_changes(directory: Path) -> dict[str, date]:
    """Return the day of the last commit that changed each file, in the committer's time zone.

    Arguments:
        directory: the one whose files are looked at. They are named by their paths below it.

    Returns:
        Nothing if git is missing, the directory is in no repository, or the repository is a shallow clone.
    """
    if _git(directory, "rev-parse", "--is-shallow-repository").strip() != "false":
        return {}
    # A tab marks the lines that are no names: git quotes a name that holds one.
    log = _git(directory, "log", "--format=%x09%cs", "--name-only", "--no-renames", "--relative", "--", ".")
    found: dict[str, date] = {}
    day = date.min
    for line in log.splitlines():
        if line.startswith("\t"):
            day = date.fromisoformat(line[1:])
        elif line:
            found.setdefault(line, day)
    return found


def _git(directory: Path, *arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    settings = ("-c", "core.quotePath=off", "-c", "log.showSignature=off")
    run = subprocess.run(  # noqa: S603 - the arguments are this module's own
        [git, "-C", directory, *settings, *arguments], capture_output=True, encoding="utf-8", check=False
    )
    return run.stdout if run.returncode == 0 else ""

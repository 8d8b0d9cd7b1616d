"""The MkDocs hook that dates each page by the last commit that changed it.

One `git log` dates them all. Where git is missing, or its history is cut off, no page has a date, because a wrong one
would be worse. Nothing here depends on the day of the build: the same commit gives the same site.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

# What MkDocs and others take for the time of the build: https://reproducible-builds.org/specs/source-date-epoch/
EPOCH = "SOURCE_DATE_EPOCH"

_dates: dict[str, date] = {}


def last_changes(directory: Path) -> dict[str, date]:
    """The day of the last commit that changed each file, in the committer's time zone.

    Args:
        directory: the one whose files are looked at. They are named by their paths below it.

    Returns:
        Nothing where git is missing, the directory is in no repository, or the repository is a shallow clone.
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


def on_config(config: MkDocsConfig) -> None:
    """Ask git, and take the newest change for the time of the build unless the environment names one."""
    global _dates  # noqa: PLW0603 - MkDocs calls functions of this module, which share what they know here
    _dates = last_changes(Path(config.docs_dir))
    newest = max(_dates.values(), default=date(1970, 1, 1))
    os.environ.setdefault(EPOCH, str(int(datetime.combine(newest, time(), UTC).timestamp())))


def on_page_markdown(markdown: str, page: Page, **_: Any) -> None:
    """Give the page its date: for the reader as Material shows it, for the sitemap as MkDocs keeps it."""
    day = _dates.get(page.file.src_uri)
    if day is not None:
        page.meta["revision_date"] = f"{day.day} {day:%B %Y}"
        page.update_date = day.isoformat()

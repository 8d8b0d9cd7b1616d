"""The migrations that a page starts from, whatever has landed since.

The pages' examples write migration 007 and those after it. A checkout that has a 007 of its own must not make them
untrue, so a page's workspace and its database hold the first six and no others. The pages about the schema itself are
the exception: their front matter says `database: checkout`.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

DIRECTORY = Path("backend") / "src" / "db" / "migrations"
CHECKSUMS = "CHECKSUMS"
LAST = 6
VERSION = re.compile(r"0*(\d+)_.*\.py")


def is_later(name: str) -> bool:
    """Whether a file is a migration that has landed after the baseline."""
    match = VERSION.fullmatch(name)
    return match is not None and int(match[1]) > LAST


def copy_baseline(source: Path, target: Path) -> None:
    """Copy the baseline from one directory of migrations to another, with its checksums."""
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file() and file.name != CHECKSUMS and not is_later(file.name):
            shutil.copy2(file, target / file.name)
    if (source / CHECKSUMS).exists():
        text = (source / CHECKSUMS).read_text(encoding="utf-8")
        (target / CHECKSUMS).write_text(checksums(text), encoding="utf-8")


def checksums(text: str) -> str:
    """The lines of CHECKSUMS that are about the baseline."""
    return "".join(line for line in text.splitlines(keepends=True) if not is_later(line.split()[-1]))

"""The base of every page: the migrations that the handbook starts from, whatever has landed since.

The pages' examples write migration 007 and those after it. A checkout that has a 007 of its own must not make them
untrue, so a page's workspace and its database hold the first six and no others.
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
    """Whether a file is a migration that has landed after the base."""
    match = VERSION.fullmatch(name)
    return match is not None and int(match[1]) > LAST


def copy_base(source: Path, target: Path) -> None:
    """Copy the base from one directory of migrations to another, with its checksums."""
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file() and file.name != CHECKSUMS and not is_later(file.name):
            shutil.copy2(file, target / file.name)
    if (source / CHECKSUMS).exists():
        lines = (source / CHECKSUMS).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = "".join(line for line in lines if not is_later(line.split()[-1]))
        (target / CHECKSUMS).write_text(kept, encoding="utf-8")

"""The file ``CHECKSUMS``: the sha256 of each finished migration, in the format of ``sha256sum``.

It proves that a migration is what it was when it was finished, and two branches that both add the next version meet in
a merge conflict there.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from ..runner.files import version_order

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME = "CHECKSUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")


def digest(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(directory: Path) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """Read the ``CHECKSUMS`` of a directory; where there is none, nothing is sealed.

    Returns:
        The digest of each file, by its name, and the lines that are not understood or name a file again, with their
        numbers, counted from 1, and what is wrong with them.
    """
    path = directory / NAME
    lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    sealed: dict[str, str] = {}
    wrong: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None:
            wrong.append((number, f"is not a line of sha256sum: {line!r}"))
        elif match[2] in sealed:
            wrong.append((number, f"names {match[2]} again"))
        else:
            sealed[match[2]] = match[1]
    return sealed, wrong


def write(directory: Path, sealed: Mapping[str, str]) -> None:
    """Write the ``CHECKSUMS`` of a directory, in the order of the versions."""
    names = sorted(sealed, key=lambda name: (version_order(name.partition("_")[0]), name))
    (directory / NAME).write_text("".join(f"{sealed[name]}  {name}\n" for name in names), "utf-8", newline="\n")

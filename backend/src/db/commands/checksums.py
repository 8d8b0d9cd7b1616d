"""The file ``CHECKSUMS``: the sha256 of each finished migration, in the format of ``sha256sum``.

It proves that a migration is what it was when it was finished, and two branches that both add the next version meet in
a merge conflict there. A migration may read or import any file beside it, so each of them has its line as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from .command_line import Refusal

NAME = "CHECKSUMS"
_VERSION = re.compile(r"[0-9]+")
_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")


def names(directory: Path) -> list[str]:
    """Return what is to be sealed in a directory, by the names that ``CHECKSUMS`` has for it, in its order.

    That is every file, in directories below as well, but for ``CHECKSUMS``, hidden files and what Python compiled.
    """
    paths = (path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    found = (path.as_posix() for path in paths if not any(part.startswith((".", "__pycache__")) for part in path.parts))
    return sorted((name for name in found if name != NAME), key=_order)


def version_of(name: str) -> str:
    """Return the version that a file belongs to, empty if it has none: any migration may use it."""
    match = _VERSION.match(name)
    return match[0] if match else ""


def digest(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal digits.

    Raises:
        Refusal: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}.") from error


def read(directory: Path) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """Read the ``CHECKSUMS`` of a directory; where there is none, nothing is sealed.

    Returns:
        The digest of each file, by its name, and the lines that are not understood or name a file again, with their
        numbers, counted from 1, and what is wrong with them.

    Raises:
        Refusal: it is there, and cannot be read.
    """
    path = directory / NAME
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}.") from error
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
    """Write the ``CHECKSUMS`` of a directory, in the order of the versions, whole or not at all.

    Raises:
        Refusal: it cannot be written.
    """
    path = directory / NAME
    new = path.with_name(f".{NAME}.new")
    try:
        lines = (f"{sealed[name]}  {name}\n" for name in sorted(sealed, key=_order))
        new.write_text("".join(lines), "utf-8", newline="\n")
        new.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise Refusal(f"{path} cannot be written: {error.strerror}. Nothing is sealed.") from error


def _order(name: str) -> tuple[bool, int, str]:
    version = version_of(name)
    return (not version, int(version or 0), name)

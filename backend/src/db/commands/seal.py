"""``seal``: finished migrations, and the files that they use, get their lines in ``CHECKSUMS``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from ..runner.files import get_migration_files, loaded, refuse_empty
from . import checksums
from .command_line import Refusal
from .new import UNFINISHED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument(
        "versions", nargs="*", metavar="VERSION", help="which migrations, such as 007 (all that are not sealed yet)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Seal what is asked for and return the exit status."""
    directory: Path = arguments.directory
    files = get_migration_files(directory)
    refuse_empty(directory, files)
    migrations = {path.name for _, path in files}
    unknown = [version for version in arguments.versions if version not in dict(files)]
    if unknown:
        raise Refusal(f"there is no migration {', '.join(unknown)} in {directory}.")
    sealed, wrong = checksums.read(directory)
    if wrong:
        number, problem = wrong[0]
        raise Refusal(f"{checksums.NAME}, line {number} {problem}. Fix it first; nothing is sealed.")
    wanted = {"", *map(int, arguments.versions)}
    added: dict[str, str] = {}
    for name in checksums.names(directory):
        version = checksums.version_of(name)
        if not arguments.versions or (int(version) if version else "") in wanted:
            added |= _seal(directory / name, name, sealed, is_migration=name in migrations)
    if added:
        checksums.write(directory, sealed | added)
    sys.stdout.writelines(f"sealed {name}\n" for name in added)
    if not added:
        sys.stdout.write("Nothing to seal\n")
    return 0


def _seal(path: Path, name: str, sealed: Mapping[str, str], *, is_migration: bool) -> dict[str, str]:
    """Return the digest of a file by its name, or nothing where it is sealed already."""
    digest = checksums.digest(path)
    if name not in sealed:
        if is_migration:
            if UNFINISHED.encode() in path.read_bytes():
                raise Refusal(f"{name} is still the template. Write its statements; nothing is sealed.")
            with loaded(path):
                pass
        return {name: digest}
    if sealed[name] != digest:
        raise Refusal(
            f"{name} is not what it was when it was sealed; nothing is sealed.\n"
            f"Put it back, and add another {'migration' if is_migration else 'file'} for the change. If no database has"
            f" applied it, take its line out of {checksums.NAME} and seal it again."
        )
    return {}

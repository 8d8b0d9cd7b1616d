"""``seal``: finished migrations, and the files that they use, get their lines in ``CHECKSUMS``."""

from __future__ import annotations

import argparse
import sys
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
        if arguments.versions and (int(version) if version else "") not in wanted:
            continue
        digest = checksums.digest(directory / name)
        if name not in sealed:
            if name in migrations:
                _refuse_unfinished(directory / name)
            added[name] = digest
        elif sealed[name] != digest:
            kind = "migration" if name in migrations else "file"
            raise Refusal(
                f"{name} is not what it was when it was sealed; nothing is sealed.\n"
                f"Put it back, and add another {kind} for the change. If no database has applied it, take its line out"
                f" of {checksums.NAME} and seal it again."
            )
    if added:
        checksums.write(directory, sealed | added)
    sys.stdout.writelines(f"sealed {name}\n" for name in added)
    if not added:
        sys.stdout.write("Nothing to seal\n")
    return 0


def _refuse_unfinished(path: Path) -> None:
    if UNFINISHED.encode() in path.read_bytes():
        raise Refusal(f"{path.name} is still the template. Write its statements; nothing is sealed.")
    with loaded(path):
        pass

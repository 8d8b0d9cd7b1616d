"""``seal``: finished migrations get their line in ``CHECKSUMS``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..runner.files import get_migration_files, loaded
from . import checksums
from .command_line import Refusal
from .new import UNFINISHED

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument(
        "versions", nargs="*", metavar="VERSION", help="which migrations, such as 007 (all that are not sealed yet)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Seal what is asked for and return the exit status."""
    files = dict(get_migration_files(arguments.directory))
    unknown = [version for version in arguments.versions if version not in files]
    if unknown:
        raise Refusal(f"there is no migration {', '.join(unknown)} in {arguments.directory}.")
    sealed, wrong = checksums.read(arguments.directory)
    if wrong:
        number, problem = wrong[0]
        raise Refusal(f"{checksums.NAME}, line {number} {problem}. Mend it first; nothing is sealed.")
    added: dict[str, str] = {}
    for version in arguments.versions or files:
        added |= _seal(files[version], sealed)
    checksums.write(arguments.directory, sealed | added)
    sys.stdout.writelines(f"sealed {name}\n" for name in added)
    if not added:
        sys.stdout.write("Nothing to seal\n")
    return 0


def _seal(path: Path, sealed: Mapping[str, str]) -> dict[str, str]:
    """Return the digest of a file by its name, or nothing where it is sealed already."""
    digest = checksums.digest(path)
    if path.name not in sealed:
        if UNFINISHED.encode() in path.read_bytes():
            raise Refusal(f"{path.name} is still the template. Write its statements; nothing is sealed.")
        with loaded(path):
            return {path.name: digest}
    if sealed[path.name] != digest:
        raise Refusal(
            f"{path.name} is not what it was when it was sealed; nothing is sealed.\n"
            f"Put it back, and add another migration for the change. If no database has applied it, take its line out"
            f" of {checksums.NAME} and seal it again."
        )
    return {}

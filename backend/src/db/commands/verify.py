"""``verify``: what is wrong with the migration files and ``CHECKSUMS``, found without a database."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import DuplicateVersionError, MigrationError, MigrationNameError
from ..runner.files import get_migration_files, loaded, refuse_empty
from . import checksums
from .new import UNFINISHED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments: it has none."""


class Finding(NamedTuple):
    """One thing that is wrong.

    ``line`` counts from 1 and is None where no line is to blame; ``code`` is that of the runner's error, if it is one.
    """

    file: str
    line: int | None
    code: str | None
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        code = f" [{self.code}]" if self.code else ""
        return f"{place}: {self.message}{code}"


def run(arguments: argparse.Namespace) -> int:
    """Print the findings and return the exit status."""
    paths, findings = _files(arguments.directory)
    refuse_empty(arguments.directory, paths)
    for path in paths:
        findings += _loading(path)
    findings += _seals(arguments.directory)
    if arguments.json:
        report = {"migrations": len(paths), "findings": [finding._asdict() for finding in findings]}
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{finding}\n" for finding in findings)
        count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
        sys.stdout.write(f"{len(paths)} migrations: {count if findings else 'all sealed, nothing wrong'}\n")
    return 1 if findings else 0


def _files(directory: Path) -> tuple[list[Path], list[Finding]]:
    """Return the migrations, and what is wrong with their names."""
    try:
        files = get_migration_files(directory)
    except (MigrationNameError, DuplicateVersionError) as error:
        # The runner stops here; this goes on with what looks like a migration.
        return sorted(path for path in directory.glob("[!_.]*.py") if path.is_file()), [_finding(error)]
    findings = [
        Finding(path.name, None, None, f"the version is written {int(version):03d}, with three digits or more")
        for version, path in files
        if version != f"{int(version):03d}"
    ]
    return [path for _, path in files], findings


def _finding(error: MigrationError) -> Finding:
    return Finding((error.file or Path()).name, error.line, error.code, error.message)


def _loading(path: Path) -> Iterator[Finding]:
    """Yield what keeps a file from being run."""
    try:
        with loaded(path):
            pass
    except MigrationError as error:
        yield _finding(error)
        return
    if UNFINISHED.encode() in path.read_bytes():
        yield Finding(path.name, None, None, "is still the template: write its statements")


def _seals(directory: Path) -> Iterator[Finding]:
    """Yield where the files and ``CHECKSUMS`` differ."""
    sealed, wrong = checksums.read(directory)
    for number, problem in wrong:
        yield Finding(checksums.NAME, number, None, problem)
    names = checksums.names(directory)
    for name in names:
        if name not in sealed:
            yield Finding(name, None, None, "is not sealed: run make seal when it is finished")
        elif sealed[name] != checksums.digest(directory / name):
            yield Finding(
                name, None, None, "is not what it was when it was sealed: put it back, and add another migration"
            )
    for name in sealed:
        if name not in names:
            yield Finding(name, None, None, f"is in {checksums.NAME}, and there is no such file")

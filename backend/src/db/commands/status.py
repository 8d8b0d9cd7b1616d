"""``status``: which migrations a database has had, which it has not, and what is odd about them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ..connection import connect
from ..runner.files import get_migration_files, refuse_empty, version_order
from ..runner.history import has_migrations_table
from ..runner.session import explained
from .interruption import run_until_signalled

_APPLIED, _PENDING = "applied", "pending"
# Python knows neither infinity nor the years before 1 and after 9999.
_HISTORY = """
    SELECT version, CASE WHEN isfinite(applied_at) AND extract(year FROM applied_at) BETWEEN 1 AND 9998
        THEN applied_at::timestamptz END AS applied_at
    FROM schema_migrations
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument("--check", action="store_true", help="exit with 1 when a migration is pending")


def run(arguments: argparse.Namespace) -> int:
    """Print the status and return the exit status."""
    files = get_migration_files(arguments.directory)
    refuse_empty(arguments.directory, files)
    applied = run_until_signalled(_applied(arguments.database_url))
    rows = rows_of(files, applied)
    pending = sum(row.state == _PENDING for row in rows)
    counts = {_APPLIED: len(rows) - pending, _PENDING: pending}
    if arguments.json:
        report = {**counts, "migrations": [row._asdict() for row in rows]}
        sys.stdout.write(json.dumps(report, indent=2, default=datetime.isoformat) + "\n")
    else:
        total = ", ".join(f"{count} {state}" for state, count in counts.items())
        sys.stdout.writelines(f"{line}\n" for line in (*_lines(rows), "", total))
    return 1 if arguments.check and pending else 0


async def _applied(database_url: str) -> dict[str, datetime | None]:
    """Return when each version was applied; nothing where the table is not there."""
    conn = await connect(database_url, application_name="plantops-status", statement_cache_size=0)
    try:
        # In one transaction, because a pooler may give each its own connection to the server.
        async with explained(conn), conn.transaction():
            if not await has_migrations_table(conn):
                return {}
            return {row["version"]: row["applied_at"] for row in await conn.fetch(_HISTORY)}
    finally:
        await conn.close()


class Row(NamedTuple):
    """What there is to say of one version."""

    version: str
    name: str | None
    state: str
    applied_at: datetime | None
    odd: str | None


def rows_of(files: Sequence[tuple[str, Path]], applied: Mapping[str, datetime | None]) -> list[Row]:
    """Return a row for each version that has a file or is applied, in order.

    Arguments:
        files: the migration files, as pairs of the version and the path.
        applied: the applied versions with the time of each, if it is recorded.
    """
    names = {version: path.stem.partition("_")[2] for version, path in files}
    versions = sorted({*names, *applied}, key=version_order)
    rows: list[Row] = []
    newer: tuple[str, datetime] | None = None  # of the versions above, the one that was applied first
    newest: str | None = None  # of those that are applied
    for version in reversed(versions):
        state = _APPLIED if version in applied else _PENDING
        at = applied.get(version)
        odd = None
        if state == _APPLIED:
            newest = newest or version
        if version not in names:
            odd = "no file: is the code older than the database?"
        elif state == _PENDING and newest is not None:
            odd = f"out of order: {newest} is applied"
        elif at is not None and newer is not None and at > newer[1]:
            odd = f"out of order: applied after {newer[0]}"
        if at is not None and (newer is None or at < newer[1]):
            newer = (version, at)
        rows.append(Row(version, names.get(version), state, at, odd))
    return rows[::-1]


def _lines(rows: Sequence[Row]) -> list[str]:
    header = ("version", "name", "applied", "")
    table = [header, *((row.version, row.name or "-", _when(row), row.odd or "") for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in table]


def _when(row: Row) -> str:
    if row.state == _PENDING:
        return _PENDING
    return f"{row.applied_at:%Y-%m-%d %H:%M:%S} UTC" if row.applied_at else "at an unknown time"

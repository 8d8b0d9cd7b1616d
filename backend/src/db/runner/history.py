"""The table ``schema_migrations``: which migrations a database has had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import HistoryError
from .files import version_order

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..connection import Connection


async def ensure_migrations_table(conn: Connection) -> None:
    """Create the table ``schema_migrations`` if the database has none."""
    await conn.execute("""
        CREATE TABLE IF NOT EXISTS schema_migrations (
            version TEXT PRIMARY KEY,
            applied_at TIMESTAMPTZ DEFAULT NOW()
        )
    """)


async def get_applied_migrations(conn: Connection) -> list[str]:
    """Return the versions that are recorded as applied, in ascending order of their numbers.

    Raises:
        HistoryError: the versions are recorded as something else than text.
    """
    versions = [row["version"] for row in await conn.fetch("SELECT version FROM schema_migrations")]
    if any(not isinstance(version, str) for version in versions):
        problem = "the table schema_migrations cannot be used: its column version is not of the type text"
        raise HistoryError(
            f"{problem}\nMake it text again, with the digits of the file names:"
            "\nALTER TABLE schema_migrations ALTER COLUMN version TYPE text USING lpad(version::text, 3, '0');"
        )
    return sorted(versions, key=version_order)


async def mark_migration_applied(conn: Connection, version: str) -> None:
    """Record a version as applied."""
    await conn.execute("INSERT INTO schema_migrations (version) VALUES ($1)", version)


async def history(conn: Connection) -> list[str] | None:
    """Return the applied versions, or None where the table is not there yet."""
    # Asked, not tried: an error would show in the server's log at the first start of every installation.
    if await conn.fetchval("SELECT to_regclass('schema_migrations') IS NULL"):
        return None
    return await get_applied_migrations(conn)


def pending(applied: Sequence[str], files: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Return the migration files whose versions are not applied."""
    known = set(applied)
    return [(version, path) for version, path in files if version not in known]

"""The table ``schema_migrations``: which migrations a database has had, and which it has not."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..connection import Connection
from ..errors import HistoryError
from .files import version_order

logger = logging.getLogger("src.db.migration_runner")

# Why a history may be shorter than what happened: PostgreSQL shows a role only what its search_path and row security
# let it see. Text and not a row, so that it can be asked before there is a table.
_DOUBT = """
    SELECT CASE
        WHEN row_security_active(to_regclass('schema_migrations')) THEN
            'row security hides rows of it from the role ' || current_user || '.'
            || chr(10) || 'Let DATABASE_URL name the owner of the table, or turn its row security off.'
        WHEN to_regclass('schema_migrations') IS NULL THEN (
            SELECT 'it is in the schema ' || relnamespace::regnamespace || ', ' || CASE
                WHEN has_schema_privilege(relnamespace, 'USAGE') THEN
                    'where the search_path of the role ' || current_user || ' (' || current_setting('search_path')
                    || ') does not look.' || chr(10) || 'Correct the search_path.'
                ELSE
                    'which the role ' || current_user || ' has no right to use.' || chr(10)
                    || 'Grant it USAGE on that schema.'
                END || ' Where that schema is none of this backend''s, make a schema_migrations of its own: see'
                || ' docs/reference/schema-migrations.md.'
            FROM pg_class WHERE relname = 'schema_migrations' AND relkind IN ('r', 'p') ORDER BY oid LIMIT 1
        )
        WHEN NOT EXISTS (
            SELECT FROM pg_attribute WHERE attrelid = to_regclass('schema_migrations') AND attname = 'applied_at'
        ) THEN
            'it has no column applied_at, so another tool made it, such as Rails or dbmate.'
            || chr(10) || 'Leave that tool its table, and give this backend a database or a schema of its own.'
    END
"""


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
    versions = [row["version"] for row in await conn.fetch("SELECT version FROM schema_migrations ORDER BY version")]
    if any(not isinstance(version, str) for version in versions):
        problem = "the table schema_migrations cannot be used: its column version is not of the type text"
        raise HistoryError(
            f"{problem}\nIf another tool made it (golang-migrate, for one), give this backend a database or a schema of"
            " its own. If not, make it text again, with the digits of the file names:"
            "\nALTER TABLE schema_migrations ALTER COLUMN version TYPE text USING lpad(version::text, 3, '0');"
        )
    return sorted(versions, key=version_order)


async def mark_migration_applied(conn: Connection, version: str) -> None:
    """Record a version as applied.

    Raises:
        HistoryError: the database took the record and wrote none.
    """
    if await conn.execute("INSERT INTO schema_migrations (version) VALUES ($1)", version) == "INSERT 0 0":
        raise HistoryError(
            f"the table schema_migrations cannot be used: PostgreSQL wrote no row for {version}, and no error.\n"
            "A trigger or a rule of the table swallows it: take that away."
        )


async def has_migrations_table(conn: Connection) -> bool:
    """Tell whether there is a table to read; one that is not surely missing is read."""
    # Asked, not tried: an error would show in the server's log at the first start of every installation.
    return await conn.execute("SELECT WHERE to_regclass('schema_migrations') IS NOT NULL") != "SELECT 0"


async def refuse_untrusted_history(conn: Connection) -> None:
    """Refuse a history that this role may not see whole.

    Raises:
        HistoryError: migrations may be recorded where this role does not see them.
    """
    doubt = await conn.fetchval(_DOUBT)
    if isinstance(doubt, str):
        raise HistoryError(f"the table schema_migrations cannot be trusted: {doubt}")


def pending(applied: Sequence[str], files: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Return the migration files whose versions are not applied."""
    known = set(applied)
    return [(version, path) for version, path in files if version not in known]


def warn_of_unknown(applied: Sequence[str], files: Sequence[tuple[str, Path]]) -> None:
    """Log which versions the database has had that there is no file for."""
    unknown = set(applied).difference(version for version, _ in files)
    if unknown:
        logger.warning(
            "the database has had migrations that this code has no file for: %s; is the code older than the database?",
            ", ".join(sorted(unknown, key=version_order)),
        )


def announced(todo: Sequence[tuple[str, Path]], applied: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Yield migrations to apply, and log before each that it comes and after each that it is applied."""
    newest = max(filter(str.isdecimal, applied), key=int, default="0")
    number = int(newest)
    for position, (version, path) in enumerate(todo, 1):
        if int(version) < number:
            logger.warning("%s is applied after the newer migration %s", path.name, newest)
        logger.debug("applying %s (%d of %d)", path.name, position, len(todo))
        started = time.monotonic()
        yield version, path
        logger.info("applied %s in %.0f ms", path.name, 1000 * (time.monotonic() - started))

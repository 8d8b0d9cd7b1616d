"""The migration runner: applies the migrations that a database has not had yet, in order, each once.

A migration is a file ``NNN_description.py`` with ``async def up(conn)``. It and its row in ``schema_migrations`` are
one transaction. A file that sets ``transactional = False`` runs outside a transaction and is recorded after it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from .connection import connect, is_pooled
from .runner.files import MIGRATIONS_DIRECTORY, get_migration_files, loaded, refuse_empty, version_order
from .runner.history import (
    ensure_migrations_table,
    get_applied_migrations,
    history,
    mark_migration_applied,
    pending,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .connection import Connection

__all__ = [
    "MIGRATIONS_DIRECTORY",
    "apply_migration",
    "ensure_migrations_table",
    "get_applied_migrations",
    "get_migration_files",
    "mark_migration_applied",
    "run_migrations",
]

logger = logging.getLogger(__name__)

# What applies a migration, and what explains a failure, are imported where they are needed: most starts have nothing to
# apply, and these modules are the larger part of the runner.


async def apply_migration(conn: Connection, version: str, filepath: Path) -> None:
    """Load a migration, run its ``up(conn)`` and record its version.

    Both happen in one transaction: the one that the connection is already in, or else a new one. A migration with
    ``transactional = False`` is run as the connection is, without the connection's ``lock_timeout``, and recorded only
    if it leaves no invalid index.

    Arguments:
        conn: an asyncpg connection, or anything that behaves like one.
        version: the text to record.
        filepath: the migration file.

    Raises:
        MigrationError: one of its subclasses says what is wrong, in which file, and what to do.
    """
    from .runner.application import apply  # noqa: PLC0415 - see above

    with loaded(filepath) as migration:
        await apply(conn, version, migration)


async def run_migrations(database_url: str, *, directory: str | os.PathLike[str] = MIGRATIONS_DIRECTORY) -> list[str]:
    """Apply the pending migrations of a directory to a database, in the order of their numbers.

    Any number of processes may call this at once: one applies the migrations, and the others wait for it. Where
    nothing is pending, no lock is taken and nobody waits.

    Arguments:
        database_url: ``postgresql://user:password@host:port/database``, of the server or of a PgBouncer in front of it.
        directory: where the migration files are.

    Returns:
        The versions that this call applied.

    Raises:
        MigrationError: one of its subclasses says what is wrong, in which file, and what to do. Migrations before that
            file stay applied.
    """
    files = get_migration_files(directory)
    refuse_empty(directory, files)
    conn = await connect(database_url)
    try:
        pooled = await is_pooled(conn)
        if pooled:
            # A prepared statement that is kept has a name, and other clients of the pooler use the same names.
            await conn.close()
            conn = await connect(database_url, statement_cache_size=0)
        async with conn.transaction() if pooled else contextlib.nullcontext():
            applied = await history(conn)
        if applied is not None:
            _warn_of_unknown(applied, files)
            if not pending(applied, files):
                return []
        from .runner.retries import apply_pending, apply_pending_through_pooler  # noqa: PLC0415 - see above

        apply_all = apply_pending_through_pooler if pooled else apply_pending
        return await apply_all(conn, database_url, files)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        from .runner.failures import database_failed  # noqa: PLC0415 - see above

        raise database_failed(error, closed=conn.is_closed()) from error
    finally:
        await conn.close()


def _warn_of_unknown(applied: Sequence[str], files: Sequence[tuple[str, Path]]) -> None:
    unknown = set(applied).difference(version for version, _ in files)
    if unknown:
        logger.warning(
            "the database has had migrations that this code has no file for: %s; is the code older than the database?",
            ", ".join(sorted(unknown, key=version_order)),
        )

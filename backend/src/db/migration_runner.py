"""The migration runner: applies the migrations that a database has not had yet, in order, each once.

A migration is a file ``NNN_description.py`` with ``async def up(conn)``. It and its row in ``schema_migrations`` are
one transaction. A file that sets ``transactional = False`` runs outside a transaction and is recorded after it.
"""

from __future__ import annotations

import os
from pathlib import Path

import asyncpg  # noqa: F401 - a test of one's own may patch what connects: src.db.migration_runner.asyncpg.connect

from .connection import Connection
from .runner.application import apply
from .runner.files import MIGRATIONS_DIRECTORY, get_migration_files, loaded, refuse_empty
from .runner.history import (
    announced,
    ensure_migrations_table,
    get_applied_migrations,
    has_migrations_table,
    mark_migration_applied,
    pending,
    refuse_untrusted_history,
    warn_of_unknown,
)
from .runner.lock import one_runner
from .runner.retries import with_retries
from .runner.session import connected, one_session

__all__ = [
    "MIGRATIONS_DIRECTORY",
    "apply_migration",
    "ensure_migrations_table",
    "get_applied_migrations",
    "get_migration_files",
    "mark_migration_applied",
    "run_migrations",
]


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
    done: list[str] = []
    files = get_migration_files(directory)
    refuse_empty(directory, files)
    async with connected(database_url) as conn:
        async with one_session(conn):
            is_new = not await has_migrations_table(conn)
            applied = [] if is_new else await get_applied_migrations(conn)
        warn_of_unknown(applied, files)
        if not pending(applied, files):
            return done
        async with one_runner(conn) as working:
            async with one_session(working):
                await refuse_untrusted_history(working)
                # Not where it is there already: that asks for a right on the schema, which the role may not have.
                if is_new:
                    await ensure_migrations_table(working)
                # Asked again: another runner may have applied them before this one got the lock.
                applied = await get_applied_migrations(working)
            for version, path in announced(pending(applied, files), applied):
                await with_retries(apply_migration, working, version, path)
                done.append(version)
    return done


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
    with loaded(filepath) as migration:
        await apply(conn, version, migration)

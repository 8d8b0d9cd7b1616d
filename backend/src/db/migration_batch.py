"""The pending migrations of a database: all of them, in order, by one runner at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

import asyncpg

from . import migration_failure as failure
from .connection import connect
from .errors import DatabaseUnavailableError, MigrationError, MigrationSqlError
from .migration_application import apply
from .migration_file import Migration, Source, loaded
from .migration_history import ensure_migrations_table, history, pending
from .migration_lock import blockers, jittered, one_runner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path


logger = logging.getLogger("src.db.migration_runner")

# A statement that waits for a table lock makes every later reader of the table wait behind it. It gives up after this
# many milliseconds, its transaction is rolled back, and the readers go on during the pause before the next try.
LOCK_TIMEOUT = 500
# Together, tries and pauses outlast a transaction of half a minute.
LOCK_TRIES = 12
FIRST_LOCK_PAUSE = 0.5
LAST_LOCK_PAUSE = 4.0

# Migrations that are read and compiled in one go. One at a time, between two statements, takes three times as long: the
# compiler has left the processor's caches by then.
_READ_AHEAD = 100

_LOCK_NOT_AVAILABLE = "55P03"

# A server learns that its client was killed only when it looks; without this it would finish the statement first, and
# keep the lock as long. Some systems cannot look: there PostgreSQL refuses the setting, and it stays as it is.
_SETTINGS = f"""
    SET lock_timeout = {LOCK_TIMEOUT};
    DO $$ BEGIN
        PERFORM set_config('client_connection_check_interval', '1000', false);
    EXCEPTION WHEN invalid_parameter_value THEN
        NULL;
    END $$;
"""


async def apply_pending(
    conn: asyncpg.Connection[asyncpg.Record], database_url: str, files: Sequence[tuple[str, Path]]
) -> list[str]:
    """Wait until no other runner works on the database, then apply what is still pending.

    Arguments:
        conn: a connection outside a transaction; its session holds the lock, and its settings are changed.
        database_url: where to make further connections, if any are needed.
        files: all migrations, in order.

    Returns:
        The versions that were applied.

    Raises:
        MigrationError: one of its subclasses says what is wrong, in which file, and what to do.
    """
    await conn.execute(_SETTINGS)
    async with one_runner(conn):
        # Read again: another runner may have applied them before this one got the lock.
        applied = await history(conn)
        if applied is None:
            # Not where it is there already: that asks for a right on the schema, which the role may not have.
            await ensure_migrations_table(conn)
            applied = []
        return [version async for version in _applied(conn, database_url, applied, pending(applied, files))]


async def _applied(
    conn: asyncpg.Connection[asyncpg.Record],
    database_url: str,
    applied: Sequence[str],
    files: Sequence[tuple[str, Path]],
) -> AsyncIterator[str]:
    """Apply migrations, and yield the version of each when it is done."""
    newest = max(filter(str.isdecimal, applied), key=int, default="0")
    ahead: dict[Path, Source] = {}
    for position, (version, path) in enumerate(files):
        if int(version) < int(newest):
            logger.warning("%s is applied after the newer migration %s", path.name, newest)
        started = time.monotonic()
        if position % _READ_AHEAD == 0:
            ahead = _read_ahead(files[position : position + _READ_AHEAD])
        with loaded(path, ahead.get(path)) as migration:
            await _apply_with_retries(conn, database_url, version, migration)
        logger.info("applied %s in %.0f ms", path.name, 1000 * (time.monotonic() - started))
        yield version


def _read_ahead(files: Sequence[tuple[str, Path]]) -> dict[Path, Source]:
    """Read the next migrations; one that cannot be read is left out here, and reported when its turn comes."""
    sources: dict[Path, Source] = {}
    for _, path in files:
        with contextlib.suppress(MigrationError):
            sources[path] = Source(path)
    return sources


async def _apply_with_retries(
    conn: asyncpg.Connection[asyncpg.Record], database_url: str, version: str, migration: Migration
) -> None:
    """Apply a migration, again and again while it cannot get a table lock."""
    if not migration.transactional:
        # CREATE INDEX CONCURRENTLY keeps nobody waiting while it waits, and a time-out would leave an invalid index.
        await conn.execute("SET lock_timeout = 0")
        await apply(conn, version, migration)
        await conn.execute(f"SET lock_timeout = {LOCK_TIMEOUT}")
        return
    pause = FIRST_LOCK_PAUSE
    seen: list[str] = []
    attempt = 0
    while True:
        attempt += 1
        try:
            # The first try is not watched: that costs a connection, and the first try seldom fails.
            async with _watched(conn, database_url, seen) if attempt > 1 else contextlib.nullcontext():
                await apply(conn, version, migration)
                return
        except MigrationSqlError as error:
            if isinstance(error.__cause__, asyncpg.InvalidCachedStatementError):
                await _apply_without_cache(version, migration, database_url)
                return
            if error.sqlstate != _LOCK_NOT_AVAILABLE:
                raise
            blocker = seen[-1] if seen else "another session"
            if attempt == LOCK_TRIES:
                raise failure.lock_timeout(migration, error, LOCK_TRIES, blocker) from error
            wait = jittered(pause)
            logger.warning(
                "%s could not lock a table within %d ms (try %d of %d), and tries again in %.1f s; in its way: %s",
                migration.path.name,
                LOCK_TIMEOUT,
                attempt,
                LOCK_TRIES,
                wait,
                blocker,
            )
        await asyncio.sleep(wait)
        pause = min(2 * pause, LAST_LOCK_PAUSE)


async def _apply_without_cache(version: str, migration: Migration, database_url: str) -> None:
    """Apply a migration that reads a table, changes it and reads it again with the same statement.

    asyncpg prepares a statement once and keeps it, and PostgreSQL refuses it after the table has changed.
    """
    conn = await connect(database_url, statement_cache_size=0)
    try:
        await conn.execute(_SETTINGS)
        await apply(conn, version, migration)
    finally:
        await conn.close()


@contextlib.asynccontextmanager
async def _watched(conn: asyncpg.Connection[asyncpg.Record], database_url: str, seen: list[str]) -> AsyncIterator[None]:
    """Note in a list what the connection is found waiting for, seen from a second connection."""
    pid = await conn.fetchval("SELECT pg_backend_pid()")
    task = asyncio.create_task(_watch(database_url, pid, seen))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _watch(database_url: str, pid: int, seen: list[str]) -> None:
    # A server with no connection to spare must not fail the migration.
    with contextlib.suppress(DatabaseUnavailableError):
        observer = await connect(database_url, application_name="plantops-migrations-observer")
        try:
            while True:
                seen.extend(filter(None, [await blockers(observer, pid)]))
                await asyncio.sleep(LOCK_TIMEOUT / 1000 / 4)
        finally:
            observer.terminate()

"""The pending migrations of a database: all of them, in order, by one runner at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

import asyncpg

from ..connection import connect
from ..errors import DatabaseUnavailableError, MigrationError, MigrationSqlError
from . import failures as failure
from .application import apply
from .files import Migration, Source, loaded
from .history import ensure_migrations_table, history, pending
from .lock import Queue, blockers, jittered, one_runner
from .session import LOCK_TIMEOUT, PooledSession, Session, Turn, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path


__all__ = ["LOCK_TIMEOUT", "apply_pending", "apply_pending_through_pooler"]

logger = logging.getLogger("src.db.migration_runner")

# Together, tries and pauses outlast a transaction of half a minute.
LOCK_TRIES = 12
FIRST_LOCK_PAUSE = 0.5
LAST_LOCK_PAUSE = 4.0

# Migrations that are read and compiled in one go. One at a time, between two statements, takes three times as long: the
# compiler has left the processor's caches by then.
_READ_AHEAD = 100

# SQLSTATE of what another try may mend, as the log tells it.
_RETRIED = {
    "55P03": f"could not lock a table within {LOCK_TIMEOUT} ms",
    "40P01": "was the one that PostgreSQL ended of two that waited for each other",
}


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
    session = Session(conn)
    await conn.execute(settings())
    async with one_runner(conn):
        # Read again: another runner may have applied them before this one got the lock.
        applied = await history(conn)
        if applied is None:
            # Not where it is there already: that asks for a right on the schema, which the role may not have.
            await ensure_migrations_table(conn)
            applied = []
        return await _applied(conn, database_url, session, applied, files)


async def apply_pending_through_pooler(
    conn: asyncpg.Connection[asyncpg.Record], database_url: str, files: Sequence[tuple[str, Path]]
) -> list[str]:
    """Do what ``apply_pending`` does, over a connection that may have another session for each transaction.

    Arguments:
        conn: a connection outside a transaction, which keeps no prepared statements.
        database_url: where to make further connections, if any are needed.
        files: all migrations, in order.

    Returns:
        The versions that were applied, by this runner: others may be at it meanwhile.

    Raises:
        MigrationError: one of its subclasses says what is wrong, in which file, and what to do.
    """
    session = PooledSession(conn)
    queue = Queue()
    while True:
        async with conn.transaction():
            turn = await session.claim(conn, None)
            applied = await history(conn)
        if turn is Turn.OURS:
            return await _applied(conn, database_url, session, applied or [], files)
        await queue.wait(conn)


async def _applied(
    conn: asyncpg.Connection[asyncpg.Record],
    database_url: str,
    session: Session,
    applied: Sequence[str],
    files: Sequence[tuple[str, Path]],
) -> list[str]:
    """Apply what is pending, and return the versions that this runner applied."""
    newest = max(filter(str.isdecimal, applied), key=int, default="0")
    done = []
    todo = pending(applied, files)
    for position, (version, path, source) in enumerate(_read(todo), 1):
        if int(version) < int(newest):
            logger.warning("%s is applied after the newer migration %s", path.name, newest)
        logger.debug("applying %s (%d of %d)", path.name, position, len(todo))
        started = time.monotonic()
        with loaded(path, source) as migration:
            ours = await _apply_in_turn(conn, database_url, session, version, migration)
        if ours:
            logger.info("applied %s in %.0f ms", path.name, 1000 * (time.monotonic() - started))
            done.append(version)
    return done


def _read(files: Sequence[tuple[str, Path]]) -> Iterator[tuple[str, Path, Source | None]]:
    """Read migrations; one that cannot be read is without its text here, and reported when its turn comes."""
    for start in range(0, len(files), _READ_AHEAD):
        together = files[start : start + _READ_AHEAD]
        sources: dict[Path, Source] = {}
        for _, path in together:
            with contextlib.suppress(MigrationError):
                sources[path] = Source(path)
        for version, path in together:
            yield version, path, sources.get(path)


async def _apply_in_turn(
    conn: asyncpg.Connection[asyncpg.Record],
    database_url: str,
    session: Session,
    version: str,
    migration: Migration,
) -> bool:
    """Apply a migration when it is this runner's turn; return whether it was."""
    queue = Queue()
    while True:
        if migration.transactional:
            turn = await _apply_with_retries(conn, database_url, session, version, migration)
        elif isinstance(session, PooledSession):
            turn = await _apply_beside_lock(conn, database_url, session, version, migration)
        else:
            # CREATE INDEX CONCURRENTLY keeps nobody waiting while it waits; a time-out would leave an invalid index.
            await conn.execute("SET lock_timeout = 0")
            turn = await apply(conn, version, migration, session)
            await conn.execute(settings())
        if turn is not Turn.OTHERS:
            return turn is Turn.OURS
        await queue.wait(conn)


async def _apply_beside_lock(
    conn: asyncpg.Connection[asyncpg.Record],
    database_url: str,
    session: Session,
    version: str,
    migration: Migration,
) -> Turn:
    """Apply a migration outside a transaction, while a transaction of another connection holds the lock."""
    holder = await connect(database_url, application_name="plantops-migrations-lock", statement_cache_size=0)
    try:
        async with holder.transaction():
            turn = await session.claim(holder, version)
            if turn is Turn.OURS:
                await holder.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                await apply(conn, version, migration, session)
            return turn
    finally:
        await holder.close()


async def _apply_with_retries(
    conn: asyncpg.Connection[asyncpg.Record],
    database_url: str,
    session: Session,
    version: str,
    migration: Migration,
) -> Turn:
    """Apply a migration, again and again while it cannot get a table lock."""
    pause = FIRST_LOCK_PAUSE
    seen: list[str] = []
    attempt = 0
    while True:
        attempt += 1
        try:
            # The first try is not watched: that costs a connection, and the first try seldom fails.
            async with _watched(session, database_url, seen) if attempt > 1 else contextlib.nullcontext():
                return await apply(conn, version, migration, session)
        except MigrationSqlError as error:
            if isinstance(error.__cause__, asyncpg.InvalidCachedStatementError):
                return await _apply_without_cache(version, migration, database_url)
            if error.sqlstate not in _RETRIED:
                raise
            *_, blocker = ["another session", *seen]
            if attempt == LOCK_TRIES:
                raise failure.lock_timeout(migration, error, LOCK_TRIES, blocker) from error
            wait = jittered(pause)
            logger.warning(
                "%s %s (try %d of %d), and tries again in %.1f s; in its way: %s",
                migration.path.name,
                _RETRIED[error.sqlstate],
                attempt,
                LOCK_TRIES,
                wait,
                blocker,
            )
        await asyncio.sleep(wait)
        pause = min(2 * pause, LAST_LOCK_PAUSE)


async def _apply_without_cache(version: str, migration: Migration, database_url: str) -> Turn:
    """Apply a migration that reads a table, changes it and reads it again with the same statement.

    asyncpg prepares a statement once and keeps it, and PostgreSQL refuses it after the table has changed.
    """
    conn = await connect(database_url, statement_cache_size=0)
    try:
        await conn.execute(settings())
        return await apply(conn, version, migration, Session(conn))
    finally:
        await conn.close()


@contextlib.asynccontextmanager
async def _watched(session: Session, database_url: str, seen: list[str]) -> AsyncIterator[None]:
    """Note in a list what a session is found waiting for, seen from a second connection."""
    task = asyncio.create_task(_watch(session, database_url, seen))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _watch(session: Session, database_url: str, seen: list[str]) -> None:
    # A server with no connection to spare must not fail the migration.
    with contextlib.suppress(DatabaseUnavailableError):
        observer = await connect(database_url, application_name="plantops-migrations-observer", statement_cache_size=0)
        try:
            while True:
                async with observer.transaction():
                    seen.extend(filter(None, [await blockers(observer, session.pid)]))
                await asyncio.sleep(LOCK_TIMEOUT / 1000 / 4)
        finally:
            observer.terminate()

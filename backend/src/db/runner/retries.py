"""A migration is tried again when what was in its way may have gone by then."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg

from ..connection import Connection
from ..errors import DatabaseUnavailableError, LockTimeoutError, MigrationCodeError, MigrationSqlError
from . import failures as failure
from .lock import BLOCKERS, jittered, keep_lock, sessions
from .session import LOCK_TIMEOUT, Session, is_session

Apply = Callable[[Connection, str, Path], Awaitable[None]]

logger = logging.getLogger("src.db.migration_runner")

# Together, tries and pauses outlast a transaction of half a minute.
LOCK_TRIES = 12
FIRST_LOCK_PAUSE = 0.5
LAST_LOCK_PAUSE = 4.0

# SQLSTATE of what another try may mend, as the log tells it.
RETRIED = {
    "55P03": f"could not lock a table within {LOCK_TIMEOUT} ms",
    "40P01": "was the one that PostgreSQL ended of two that waited for each other",
    "40001": "met another session that changed the same rows",
}
# asyncpg prepares a statement once and keeps it, and PostgreSQL refuses it after its tables or types have changed.
_OUTDATED = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)


async def with_retries(apply: Apply, conn: Connection, version: str, path: Path) -> None:
    """Apply a migration, again and again while another session is in its way.

    Arguments:
        apply: ``apply_migration``.
        conn: the runner's connection, as the next two for ``apply``.
        version: the version.
        path: the file.

    Raises:
        MigrationError: what ``apply`` raised, or LockTimeoutError after the last try.
    """
    seen: list[str] = []
    watching: asyncio.Task[None] | None = None
    attempt = 0
    try:
        while True:
            attempt += 1
            if is_session(conn) and conn.holder is not None:
                await keep_lock(conn, path)
            try:
                return await apply(conn, version, path)
            except (MigrationSqlError, MigrationCodeError) as error:
                if error.undone and isinstance(error.__cause__, _OUTDATED) and is_session(conn):
                    return await _apply_without_cache(apply, conn, version, path)
                state = getattr(error.__cause__, "sqlstate", None)
                if not error.undone or state not in RETRIED or (attempt == LOCK_TRIES and state == "40001"):
                    raise
                blocker = seen[-1] if seen else "another session"
                if attempt == LOCK_TRIES:
                    text = failure.TABLE_LOCKED.format(tries=LOCK_TRIES, blocker=blocker)
                    raise LockTimeoutError(text, file=error.file, line=error.line) from error
                wait = jittered(min(FIRST_LOCK_PAUSE * 2 ** (attempt - 1), LAST_LOCK_PAUSE))
                logger.warning(
                    "%s %s (try %d of %d), and tries again in %.1f s; in its way: %s",
                    (error.file or path).name,
                    " ".join(getattr(error.__cause__, "__notes__", [RETRIED[state]])),
                    attempt,
                    LOCK_TRIES,
                    wait,
                    blocker,
                )
            # The first try is not watched: that costs a connection, and the first try seldom fails.
            if (watching is None or watching.done()) and is_session(conn):
                watching = asyncio.create_task(_watch(conn, seen))
            await asyncio.sleep(wait)
    finally:
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])


async def _apply_without_cache(apply: Apply, conn: Session, version: str, path: Path) -> None:
    """Apply a migration that reads a table or a type, changes it and reads it again with the same statement."""
    conn.forgets_types = True
    try:
        await apply(conn, version, path)
    finally:
        conn.forgets_types = False


async def _watch(conn: Session, seen: list[str]) -> None:
    """Note in a list what a session is found waiting for, seen from a second connection."""
    # A server with no connection to spare must not fail the migration.
    with contextlib.suppress(DatabaseUnavailableError):
        async with conn.another("plantops-migrations-observer") as observer:
            while True:
                # In one transaction, for a pooler may give each its own session.
                async with observer.transaction():
                    seen.extend(filter(None, [await sessions(observer, BLOCKERS, conn.server_pid)]))
                await asyncio.sleep(LOCK_TIMEOUT / 1000 / 4)

"""The lock that lets one runner at a time change a database, and the sessions that stand in the way of one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from ..connection import Connection

logger = logging.getLogger("src.db.migration_runner")

# The first eight bytes of sha256(b"plantops.schema_migrations"), as a signed number: PostgreSQL knows advisory locks
# by number alone, so this is one that no other program comes by.
LOCK_KEY = -2063468769315660750

# Seconds between two tries to get the lock: the pause doubles from the first to the last.
FIRST_PAUSE = 0.025
LAST_PAUSE = 2.0
# Seconds of waiting after which the log says what is waited for, and after which it says so again.
REPORT_AFTER = 1.0
REPORT_EVERY = 30.0

# Of its SQL the first words only: the rest may hold what is nobody's business, and the log is read by many.
_SESSION = r"""
    pid,
    coalesce(nullif(application_name, ''), 'no application name') AS application,
    coalesce(state, 'in a state that this role may not see') AS state,
    coalesce(to_char(coalesce(xact_start, backend_start), 'YYYY-MM-DD HH24:MI:SS TZ'), 'an unknown time') AS since,
    substring(query FROM '^\s*([[:alpha:]]+(?:\s+[[:alpha:]_][^\s''"$;(=,]*){0,2})') AS query
"""
_HOLDERS = f"""
    SELECT {_SESSION} FROM pg_stat_activity WHERE pid IN (
        SELECT pid FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (classid::bigint << 32) | objid::bigint = {LOCK_KEY}
    )
"""  # noqa: S608 - only constants of this module are put in
_BLOCKERS = f"""
    SELECT {_SESSION} FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids($1)) ORDER BY xact_start
"""  # noqa: S608 - only constants of this module are put in


def jittered(seconds: float) -> float:
    """Return between a half and the whole of a pause, so that those who wait do not come back together."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - nothing is kept secret with it


@contextlib.asynccontextmanager
async def one_runner(conn: Connection) -> AsyncIterator[None]:
    """Hold the database's migration lock, waiting until it is free.

    The lock belongs to the session, and it is asked for again and again rather than waited for: a session that waits
    inside PostgreSQL holds a snapshot, and a CREATE INDEX CONCURRENTLY of the lock's holder would wait for that
    snapshot for ever. Between two tries this connection has no transaction and no snapshot.
    """
    queue = Queue()
    while not await conn.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
        await queue.wait(conn)
    try:
        yield
    finally:
        if not conn.is_closed():
            await conn.execute(f"SELECT pg_advisory_unlock({LOCK_KEY})")


class Queue:
    """The wait for the migration lock: growing pauses, and a word in the log when it is long."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE
        self._report_at = time.monotonic() + REPORT_AFTER

    async def wait(self, conn: Connection) -> None:
        """Wait until it is time to ask for the lock again.

        Arguments:
            conn: a connection outside a transaction, to see who has the lock.
        """
        if time.monotonic() >= self._report_at:
            self._report_at += REPORT_EVERY
            async with conn.transaction():
                holders = _sessions(await conn.fetch(_HOLDERS))
            logger.warning("waiting for the migration lock, held by %s", holders or "a session that has just ended")
        await asyncio.sleep(jittered(self._pause))
        self._pause = min(2 * self._pause, LAST_PAUSE)


async def blockers(conn: Connection, pid: int) -> str:
    """Say which sessions a server process waits for, one after the other; empty when it waits for none."""
    return _sessions(await conn.fetch(_BLOCKERS, pid))


def _sessions(rows: list[asyncpg.Record]) -> str:
    return "; ".join(
        f"process {row['pid']} ({row['application']}), {row['state']} since {row['since']}"
        + (f", with: {row['query']} …" if row["query"] else "")
        for row in rows
    )

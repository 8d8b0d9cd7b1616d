"""The lock that lets one runner at a time change a database, and the sessions that stand in the way of one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

from ..connection import CONNECTION_ERRORS, Connection, settled
from ..errors import ConnectionLostError, DatabaseUnavailableError
from . import failures as failure
from .session import APPLICATION, Session, explained, hang_up, is_session, settings

logger = logging.getLogger("src.db.migration_runner")

# The first eight bytes of sha256(b"plantops.schema_migrations"), as a signed number: PostgreSQL knows advisory locks
# by number alone, so this is one that no other program comes by.
LOCK_KEY = -2063468769315660750

# Seconds between two tries to get the lock: the pause doubles from the first to the last.
FIRST_PAUSE = 0.025
LAST_PAUSE = 2.0
# Seconds in which a pooler has to give a second connection: one that has a single connection in all, and a busy one.
SINGLE_TIMEOUT, BUSY_TIMEOUT = 1.0, 30.0
# Seconds of waiting after which the log says what is waited for, and after which it says so again.
REPORT_AFTER = 1.0
REPORT_EVERY = 30.0

# Of its SQL the first words only: the rest may hold what is nobody's business, and the log is read by many.
_SESSIONS = r"""
    SELECT pid,
    coalesce(nullif(application_name, ''), 'no application name') AS application,
    coalesce(state, 'in a state that this role may not see') AS state,
    coalesce(to_char(coalesce(xact_start, backend_start), 'YYYY-MM-DD HH24:MI:SS TZ'), 'an unknown time') AS since,
    substring(query FROM '^\s*([[:alpha:]]+(?:\s+[[:alpha:]_][^\s''"$;(=,]*){0,2})') AS query
    FROM pg_stat_activity WHERE
"""
_LOCK = f"""
    FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32) | objid::bigint = {LOCK_KEY}
"""  # noqa: S608 - only constants of this module are put in
_HELD = f"SELECT {_LOCK} AND pid = pg_backend_pid()"
_TRY = "SELECT pg_try_advisory_lock($1)"

# Which sessions: those that have the lock, and those that a server process waits for.
_HOLDERS = f"pid IN (SELECT pid {_LOCK})"
BLOCKERS = "pid = ANY (pg_blocking_pids($1))"
# What a runner that was killed was doing: behind a pooler its statement can outlive its lock.
_LEFT = f"datname = current_database() AND application_name = '{APPLICATION}' AND state = 'active'"
# The other ones that the pooler has to this database.
_OTHERS = """
    datname = current_database() AND usename = session_user AND pid <> pg_backend_pid()
    AND client_addr IS NOT DISTINCT FROM inet_client_addr()
"""


def jittered(seconds: float) -> float:
    """Return between a half and the whole of a pause, so that those who wait do not come back together."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - nothing is kept secret with it


@contextlib.asynccontextmanager
async def one_runner(conn: Connection) -> AsyncIterator[Connection]:
    """Hold the database's migration lock for the length of a ``with`` block, waiting until it is free.

    The lock is asked for again and again rather than waited for: a session that waits inside PostgreSQL holds a
    snapshot, and a CREATE INDEX CONCURRENTLY of the lock's holder would wait for that snapshot for ever. Between two
    tries there is no transaction and no snapshot.

    Arguments:
        conn: a connection outside a transaction. It has the runner's settings afterwards.

    Returns:
        The connection to work on: another one behind a pooler, where ``conn`` is closed.
    """
    if is_session(conn) and conn.pooled:
        async with _held_by_transaction(conn) as working:
            yield working
        return
    # The session that works holds it, so that it ends with the work, however that ends.
    queue = Queue()
    await conn.execute(settings())
    while not await conn.fetchval(_TRY, LOCK_KEY):
        await queue.report(conn)
        await queue.pause()
    try:
        yield conn
    finally:
        if not await settled(conn.is_closed()):
            await conn.execute(f"SELECT pg_advisory_unlock({LOCK_KEY})")


@contextlib.asynccontextmanager
async def _held_by_transaction(conn: Session) -> AsyncIterator[Session]:
    """Hold the lock in a transaction of a second connection: behind a pooler, a session is nobody's own."""
    # Who waits keeps no connection meanwhile: in a pooler's session mode it would be one of the server's.
    await hang_up(conn)
    queue = Queue()
    while True:
        async with conn.another("plantops-migrations-lock") as holder, explained(holder), _while_it_lasts(holder):
            await holder.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            if await holder.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK_KEY):
                await _outlast_killed_runners(holder, queue)
                async with conn.another() as working, explained(working):
                    working.holder = holder
                    await _refuse_single_connection(working, holder)
                    yield working
                return
            await queue.report(holder)
        await queue.pause()


@contextlib.asynccontextmanager
async def _while_it_lasts(holder: Session) -> AsyncIterator[None]:
    """Open a transaction that may have ended before the end of the ``with`` block, when the lock is lost."""
    transaction = holder.transaction()
    await transaction.start()
    try:
        yield
    finally:
        with contextlib.suppress(*CONNECTION_ERRORS):
            await transaction.commit()


async def _outlast_killed_runners(holder: Session, queue: Queue) -> None:
    """Wait until no statement of another runner is at work."""
    while left := await sessions(holder, _LEFT):
        queue.tell(f"the statement of a runner that has gone, {left}")
        await queue.pause()


async def _refuse_single_connection(conn: Session, holder: Session) -> None:
    """Refuse to work where the pooler has no connection to the server but the one that has the lock."""
    answer = asyncio.create_task(conn.execute("SELECT 1"))
    await asyncio.wait([answer], timeout=SINGLE_TIMEOUT)
    if not answer.done() and await sessions(holder, _OTHERS):
        await asyncio.wait([answer], timeout=BUSY_TIMEOUT)
    if not answer.done():
        conn.terminate()
        await asyncio.gather(answer, return_exceptions=True)
        raise DatabaseUnavailableError(
            "the pooler has no second connection to the server for this runner.\n"
            "One holds the migration lock, and another does the work. Raise the pooler's pool_size to 2 at least, or"
            " let DATABASE_URL name the server itself."
        )
    answer.result()


async def keep_lock(conn: Session, path: Path) -> None:
    """See that a runner still holds the lock; take it again where a migration has dropped it.

    Arguments:
        conn: the connection that works.
        path: the migration file that has run, or is to run.

    Raises:
        ConnectionLostError: the transaction that held it has ended, or another runner has it.
    """
    holder = conn.holder or conn
    held = False
    with contextlib.suppress(*CONNECTION_ERRORS):
        held = await holder.execute(_HELD) == "SELECT 1"
    if not held and holder is conn:
        held = await conn.fetchval(_TRY, LOCK_KEY)
    if not held:
        raise ConnectionLostError(failure.LOCK_LOST, file=path)


class Queue:
    """The wait for the migration lock: growing pauses, and a word in the log when it is long."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE
        self._report_at = time.monotonic() + REPORT_AFTER

    async def report(self, conn: Connection) -> None:
        """Log who has the lock, if the wait is long."""
        if time.monotonic() >= self._report_at:
            holders = await sessions(conn, _HOLDERS)
            self.tell(f"the migration lock, held by {holders or 'a session that has just ended'}")

    def tell(self, what: str) -> None:
        """Log what is waited for, if the wait is long."""
        if time.monotonic() >= self._report_at:
            self._report_at += REPORT_EVERY
            logger.warning("waiting for %s", what)

    async def pause(self) -> None:
        """Sleep for longer each time."""
        await asyncio.sleep(jittered(self._pause))
        self._pause = min(2 * self._pause, LAST_PAUSE)


async def sessions(conn: Connection, which: str, *arguments: int) -> str:
    """Say which sessions of the server a condition holds for, one after the other; empty when it holds for none."""
    # In a transaction PostgreSQL shows the same ones again otherwise.
    await conn.execute("SELECT pg_stat_clear_snapshot()")
    return "; ".join(
        f"process {row['pid']} ({row['application']}), {row['state']} since {row['since']}"
        + (f", with: {row['query']} …" if row["query"] else "")
        for row in await conn.fetch(f"{_SESSIONS} {which} ORDER BY xact_start", *arguments)
    )

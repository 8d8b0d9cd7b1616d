"""The locks of a migration outside a transaction, seen from a second session.

Such a migration holds its locks for moments, and on the empty tables of a copy they are short. So the second session
holds a lock of its own on every table; what the migration asks for then waits, and is seen waiting. It lets go at once,
and does the same again until the migration has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from ..connection import connect
from .lock import Held, held

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..connection import Connection

# Every lock but those of SELECT and of writing waits for the first of the two. While CREATE INDEX CONCURRENTLY holds
# the same lock itself, the second is what it waits for.
_STAND_IN_THE_WAY = """
    DO $$
    DECLARE name regclass;
    BEGIN
        FOR name IN
            SELECT pg_class.oid FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE relkind IN ('r', 'p') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
        LOOP
            BEGIN
                EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE NOWAIT', name);
            EXCEPTION WHEN OTHERS THEN
                BEGIN
                    EXECUTE format('LOCK TABLE ONLY %s IN ROW EXCLUSIVE MODE NOWAIT', name);
                EXCEPTION WHEN OTHERS THEN
                    NULL;
                END;
            END;
        END LOOP;
    END $$
"""
_IS_STOPPED = "SELECT pg_backend_pid() = ANY (pg_blocking_pids($1))"
# Seconds between two looks.
_PAUSE = 0.001


@contextlib.asynccontextmanager
async def sampled(database_url: str, pid: int) -> AsyncIterator[Held]:
    """Collect the locks that a server process takes for as long as the context lasts.

    Arguments:
        database_url: a database that nobody else uses.
        pid: the server process.
    """
    taken: Held = set()
    conn = await connect(database_url, application_name="plantops-rehearsal-observer")
    try:
        await _stand_in_the_way(conn)
        task = asyncio.create_task(_sample(conn, pid, taken))
        try:
            yield taken
        finally:
            task.cancel()
            await asyncio.wait([task])
            with contextlib.suppress(asyncio.CancelledError):
                task.result()
    finally:
        conn.terminate()


async def _stand_in_the_way(conn: Connection) -> None:
    await conn.execute("BEGIN")
    await conn.execute(_STAND_IN_THE_WAY)


async def _sample(conn: Connection, pid: int, taken: Held) -> None:
    while True:
        stopped = await conn.fetchval(_IS_STOPPED, pid)
        taken |= await held(conn, pid)
        if stopped:
            await conn.execute("ROLLBACK")
            await _stand_in_the_way(conn)
        await asyncio.sleep(_PAUSE)

"""The locks of a migration outside a transaction, each of them.

Such a migration holds its locks for moments, and on the empty tables of a copy they are short. Two things show them:

- A statement that can is run in a transaction of its own, and what it holds is read before that is committed.
- On each table stands a *barrier*: a session that holds its strongest lock. What the migration asks for waits there,
  and is seen waiting. Then a spare session queues behind it, and the barrier steps aside: PostgreSQL serves a queue in
  order, so the spare one stands as soon as the migration has let go of the table. The other is the next spare.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg

from ..connection import Connection, connect
from ..runner.lexer import controls_transaction, statements_of
from ..runner.session import RETURNING, sql_of
from .interception import InterceptingConnection
from .lock import Held, held

APPLICATION = "plantops-rehearsal-observer"
OWN = "/* plantops-rehearsal */"
"""What marks a statement as the rehearsal's."""

# Each barrier is a session, and a server has a limited number of them.
_MOST_BARRIERS = 100
_TABLES = """
    SELECT pg_class.oid FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
    ORDER BY 1
"""
_WAITS = "SELECT cardinality(pg_blocking_pids($1)) > 0"
# Read back, so that LOCK need not look it up: it would keep a snapshot then, which CREATE INDEX CONCURRENTLY waits for.
_NAME = "SELECT oid::regclass::text::regclass::text FROM pg_class WHERE oid = $1"
# What the database sets for each of its sessions holds for the migration, and not for those who watch it.
_NO_LIMITS = """
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN (
        'lock_timeout', 'statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout',
        'default_transaction_read_only'
    )
"""
# Seconds between two looks.
_PAUSE = 0.001

# What PostgreSQL refuses outside a transaction, where it is the only statement of its string.
_REFUSED_ALONE = ("lock", "declare")

_TOO_MANY = "only {} of the {} tables are watched"
_ENDS_ITSELF = "a procedure or DO block in it commits"
_MIXES = "a string of its SQL holds BEGIN or COMMIT and other statements"
_PREPARES = "it runs a prepared statement"


class Watch:
    """What is seen of the locks of one server process.

    Attributes:
        taken: the locks.
        gap: why some may be missing; None where none is.
    """

    def __init__(self, observer: Connection, spare: Connection, pid: int) -> None:
        self.taken: Held = set()
        self.gap: str | None = None
        self._barriers: dict[int, _Barrier] = {}
        self._observer, self._spare, self._pid = observer, spare, pid
        self._free = asyncio.Lock()

    def bar(self, conn: Connection, table: int) -> _Barrier:
        """Let a session stand on a table, or queue for it.

        Arguments:
            conn: the session, which does nothing else.
            table: the number of the table.
        """
        barrier = self._barriers[conn.get_server_pid()] = _Barrier(conn, table)
        return barrier

    async def stands(self) -> None:
        """Wait until each barrier stands. The migration must not hold a lock."""
        for barrier in list(self._barriers.values()):
            await barrier.stands()

    async def look(self) -> None:
        """Note the locks that the process holds or waits for, and let it pass the barriers that it waits for."""
        async with self._free:
            in_the_way = await self._observer.fetchval("SELECT pg_blocking_pids($1)", self._pid)
            self.taken |= await held(self._observer, self._pid)
            standing = {pid for pid, barrier in self._barriers.items() if barrier.standing.done()}
            for pid in standing & set(in_the_way):
                await self._relieve(pid)

    async def _relieve(self, pid: int) -> None:
        """Let the spare session queue for a barrier's table, and the barrier step aside."""
        old = self._barriers[pid]
        new = self.bar(self._spare, old.table)
        waits = functools.partial(self._observer.fetchval, _WAITS, new.conn.get_server_pid())
        while not (new.standing.done() or await waits()):  # noqa: ASYNC110 - a queue of the server has no event
            await asyncio.sleep(_PAUSE)
        del self._barriers[pid]
        self._spare = old.conn
        await old.step_aside()

    async def look_again_and_again(self) -> None:
        """Look until the task is canceled; then nothing stands in the way any more."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(_PAUSE)
        finally:
            for conn in (self._spare, *(barrier.conn for barrier in self._barriers.values())):
                conn.terminate()

    async def run(self, conn: WatchedConnection, sql: str, send: Callable[[], Awaitable[Any]]) -> Any:
        """Send SQL of the migration, so that each of its locks is seen.

        Arguments:
            conn: its connection.
            sql: what is sent.
            send: a function that sends it.
        """
        statements = statements_of(sql)
        if conn.is_in_transaction():
            await self.look()
            try:
                return await send()
            finally:
                await self.look()
        await self.stands()
        if any(map(controls_transaction, statements)):
            self.gap = _MIXES if len(statements) > 1 else self.gap
            return await send()
        if not statements or (len(statements) == 1 and statements[0][0] in _REFUSED_ALONE):
            return await send()
        try:
            return await self._run_in_transaction(conn, send)
        except asyncpg.ActiveSQLTransactionError:
            pass  # such as CREATE INDEX CONCURRENTLY
        except asyncpg.InvalidTransactionTerminationError:
            self.gap = _ENDS_ITSELF
        await self.stands()
        return await send()

    async def _run_in_transaction(self, conn: WatchedConnection, send: Callable[[], Awaitable[Any]]) -> Any:
        await asyncpg.Connection.execute(conn, f"BEGIN {OWN}")
        try:
            result = await send()
            await self.look()
        except BaseException:
            if not conn.is_closed():
                await asyncpg.Connection.execute(conn, f"ROLLBACK {OWN}")
            raise
        await asyncpg.Connection.execute(conn, f"COMMIT {OWN}")
        return result


class _Barrier:
    """A session that holds the strongest lock of a table, or queues for it."""

    def __init__(self, conn: Connection, table: int) -> None:
        self.conn, self.table = conn, table
        self.standing = asyncio.create_task(self._lock())
        # Nobody asks after a session that was ended with its watch.
        self.standing.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _lock(self) -> None:
        # The table may get another name in between; or it is gone.
        while name := await self.conn.fetchval(_NAME, self.table):
            with contextlib.suppress(asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
                await self.conn.execute(f"BEGIN; LOCK TABLE ONLY {name} IN ACCESS EXCLUSIVE MODE")
                return
            await self.conn.execute("ROLLBACK")

    async def stands(self) -> None:
        await asyncio.shield(self.standing)

    async def step_aside(self) -> None:
        self.standing.result()
        await self.conn.execute("ROLLBACK")


class WatchedConnection(InterceptingConnection):
    """A connection whose statements can be watched.

    Attributes:
        watch: who watches; None where nobody does.
    """

    watch: Watch | None = None

    async def prepare(self, *arguments: Any, **options: Any) -> Any:
        """Prepare a statement; it is seen only where it waits for a barrier."""
        if self.watch is not None:
            self.watch.gap = _PREPARES
        return await super().prepare(*arguments, **options)


def _watched(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def watched(self: WatchedConnection, *arguments: Any, **options: Any) -> Any:
        send = functools.partial(method, self, *arguments, **options)
        return await (send() if self.watch is None else self.watch.run(self, sql_of(arguments, options), send))

    return watched


for _name in RETURNING:
    setattr(WatchedConnection, _name, _watched(getattr(asyncpg.Connection, _name)))


@contextlib.asynccontextmanager
async def watched(database_url: str, conn: WatchedConnection) -> AsyncIterator[Watch]:
    """Watch a connection for as long as the context lasts.

    Arguments:
        database_url: its database, which nobody else uses.
        conn: the connection, outside a transaction.
    """
    async with contextlib.AsyncExitStack() as sessions:
        observer = await _session(sessions, database_url)
        watch = Watch(observer, await _session(sessions, database_url), conn.get_server_pid())
        tables = [row["oid"] for row in await observer.fetch(_TABLES)]
        if len(tables) > _MOST_BARRIERS:
            watch.gap = _TOO_MANY.format(_MOST_BARRIERS, len(tables))
        for table in tables[:_MOST_BARRIERS]:
            watch.bar(await _session(sessions, database_url), table)
        await watch.stands()
        task = asyncio.create_task(watch.look_again_and_again())
        conn.watch = watch
        try:
            yield watch
        finally:
            conn.watch = None
            task.cancel()
            await asyncio.wait([task])
            with contextlib.suppress(asyncio.CancelledError):
                task.result()


async def _session(sessions: contextlib.AsyncExitStack, database_url: str) -> asyncpg.Connection[asyncpg.Record]:
    conn = await connect(database_url, application_name=APPLICATION)
    sessions.callback(conn.terminate)
    await conn.execute(_NO_LIMITS)
    return conn

"""The runner's session: its address, its settings, and what a migration may not leave behind in it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeGuard, cast

import asyncpg
from asyncpg.transaction import Transaction

from ..connection import CONNECTION_ERRORS, Connection, connect, is_pooled, settled
from . import failures as failure
from .unawaited import Unawaited

APPLICATION = "plantops-migrations"
RETURNING = ("execute", "executemany", "fetch", "fetchmany", "fetchrow", "fetchval")
"""The methods of asyncpg's connection that send SQL and return what it gives."""
# Bytes of one message to PostgreSQL.
LONGEST_SQL = 0x3FFFFFFE
# Seconds for the server's answer when a connection is closed.
FAREWELL = 5.0

# A statement that waits for a table lock makes every later reader of the table wait behind it. It gives up after this
# many milliseconds, its transaction is rolled back, and the readers go on during the pause before the next try.
LOCK_TIMEOUT = 500

# A server learns that its client was killed only when it looks; without this it would finish the statement first, and
# keep the lock as long. Some systems cannot look: there PostgreSQL refuses the setting, and it stays as it is.
# The keepalives end the session of a client that has gone without a word, within a minute.
_SETTINGS = """
    SELECT set_config(name, value, {local}) FROM (VALUES
        ('lock_timeout', '{lock_timeout}'),
        ('tcp_keepalives_idle', '20'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3')
    ) settings (name, value);
    DO $$ BEGIN
        PERFORM set_config('client_connection_check_interval', '1000', {local});
    EXCEPTION WHEN invalid_parameter_value THEN
        NULL;
    END $$;
"""
_RESET = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; DISCARD TEMP; UNLISTEN *; DISCARD SEQUENCES;"


def settings(*, local: bool = False, lock_timeout: int = LOCK_TIMEOUT) -> str:
    """Return the SQL of the runner's settings, for the session or for the transaction alone."""
    return _SETTINGS.format(lock_timeout=lock_timeout, local=str(local).lower())


def reset() -> str:
    """Return the SQL that undoes what a migration may have changed of a session, and makes the runner's settings."""
    return f"{_RESET} {settings()}"


class Session(asyncpg.Connection):
    """A connection of a runner: asyncpg's own, which knows its address and whether a pooler is in front of the server.

    A migration is given it, and what the migration leaves behind in it can be undone.
    """

    database_url: str
    pooled: bool
    holder: Session | None = None
    """The connection whose transaction holds the migration lock, where this one's session does not."""
    forgets_types = False
    """Whether asyncpg is to ask for the types of each statement anew, because a migration changes them."""
    observer: Callable[[str, BaseException | None], None] | None = None
    """What is told of each statement and of its error. asyncpg's own query logger needs a turn of the loop and 8 %
    more: 944,000 instructions for a migration of ``make bench`` instead of 876,000 (cachegrind, Python 3.11)."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.server_pid = self.get_server_pid()
        self._codecs: set[tuple[str, str]] = set()
        self._has_prepared = False

    def transaction(self, *, isolation: Any = None, readonly: bool = False, deferrable: bool = False) -> Transaction:
        """Return a transaction, READ COMMITTED whatever the server's default is.

        In a stricter one, what is read after the lock was taken may be older than the lock.
        """
        if isolation is None and not self.is_in_transaction():
            isolation = "read_committed"
        return super().transaction(isolation=isolation, readonly=readonly, deferrable=deferrable)

    async def set_type_codec(self, typename: str, *, schema: str = "public", **options: Any) -> None:
        """Set a codec, until ``restore``."""
        await super().set_type_codec(typename, schema=schema, **options)
        self._codecs.add((typename, schema))

    async def set_builtin_type_codec(self, typename: str, *, schema: str = "public", **options: Any) -> None:
        """Set a codec, until ``restore``."""
        await super().set_builtin_type_codec(typename, schema=schema, **options)
        self._codecs.add((typename, schema))

    async def prepare(self, *arguments: Any, **options: Any) -> Any:
        """Prepare a statement, until ``restore``."""
        self._has_prepared = True
        return await super().prepare(*arguments, **options)

    async def prepare_transaction(self) -> None:
        """Make the runner's settings for one transaction, where those of the session are not the runner's own."""
        if self.pooled:
            await self.execute(settings(local=True))
            self.server_pid = await self.fetchval("SELECT pg_backend_pid()")

    async def restore(self, *, settings_too: bool, names_too: bool) -> None:
        """Undo what a migration may have changed of the session.

        Arguments:
            settings_too: whether it may have changed settings and the like. A round trip is 6 % of a small migration.
            names_too: whether it may have prepared statements in SQL.
        """
        if settings_too:
            await self.execute(f"CLOSE ALL; {_RESET}" if self.pooled else f"CLOSE ALL; {reset()}")
        if names_too or self._has_prepared:
            # asyncpg forgets its own with those of the migration, and prepares them again.
            await self.execute("DEALLOCATE ALL")
            await self.reload_schema_state()
            self._has_prepared = False
        for typename, schema in self._codecs:
            await self.reset_type_codec(typename, schema=schema)
        self._codecs.clear()

    @contextlib.asynccontextmanager
    async def another(self, name: str = APPLICATION) -> AsyncIterator[Session]:
        """Open another connection to the same database, for the length of a ``with`` block.

        It keeps no prepared statements.
        """
        conn = await _open(self.database_url, name, pooled=self.pooled)
        try:
            yield conn
        finally:
            await hang_up(conn)


def sql_of(arguments: Sequence[Any], options: Mapping[str, Any]) -> str:
    """Return the SQL among the arguments of a method of asyncpg's that sends it."""
    sql: str = arguments[0] if arguments else options.get("query", options.get("command", ""))
    return sql


def _told(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return a method of asyncpg's that sends SQL, and tells the session's observer what it sent."""

    @functools.wraps(method)
    async def told(self: Session, *arguments: Any, **options: Any) -> Any:
        observer = self.observer
        if observer is None:
            return await method(self, *arguments, **options)
        sql = sql_of(arguments, options)
        if len(sql) > LONGEST_SQL // 4 and len(sql.encode()) > LONGEST_SQL:
            # PostgreSQL would hang up without a word.
            raise ValueError("a statement is longer than 1 GB, the most that PostgreSQL takes; send it in parts")
        if self.forgets_types:
            await self.reload_schema_state()
        try:
            result = await method(self, *arguments, **options)
        except BaseException as error:
            observer(sql, error)
            raise
        observer(sql, None)
        return result

    return told


for _name in RETURNING:
    setattr(Session, _name, _told(getattr(asyncpg.Connection, _name)))


def is_session(conn: Connection) -> TypeGuard[Session]:
    """Tell whether a connection is a runner's own; asyncpg lets ``isinstance`` say so of every connection."""
    return Session in type(conn).__mro__


async def _open(database_url: str, name: str, *, pooled: bool, keeps_statements: bool = False) -> Session:
    opened = await connect(
        database_url,
        application_name=name,
        statement_cache_size=100 if keeps_statements else 0,
        connection_class=Session,
    )
    conn = cast("Session", opened)
    conn.database_url, conn.pooled = database_url, pooled
    return conn


@contextlib.asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[Session]:
    """Connect to a database for the length of a ``with`` block.

    Raises:
        MigrationError: the database cannot be reached, or what asyncpg raised in the block, explained.
    """
    conn = await _open(database_url, APPLICATION, pooled=False, keeps_statements=True)
    try:
        async with explained(conn):
            pooled = await is_pooled(conn)
        if pooled:
            # A prepared statement that is kept has a name, and other clients of the pooler use the same names.
            await hang_up(conn)
            conn = await _open(database_url, APPLICATION, pooled=True)
        # Each migration opens such a block. Here it is done once for all: in each it is 2 % of a small migration.
        with Unawaited():
            async with explained(conn):
                yield conn
    finally:
        await hang_up(conn)


@contextlib.asynccontextmanager
async def explained(conn: Connection) -> AsyncIterator[None]:
    """Say of what asyncpg raises outside a migration what it means."""
    try:
        yield
    except CONNECTION_ERRORS as error:
        raised = failure.connection_lost if await is_lost(conn, error) else failure.history_failed
        raise raised(error) from error


async def is_lost(conn: Connection, error: BaseException) -> bool:
    """Tell whether a connection is closed, of which an error may be the first sign.

    SQL can raise the errors of a connection too, and asyncpg may have read the server's farewell and not yet that the
    socket is closed. So the connection is asked, unless asyncpg itself says that it is closed.
    """
    if isinstance(error, asyncpg.ConnectionDoesNotExistError) and getattr(error, "severity", None) is None:
        return True
    if isinstance(error, asyncpg.PostgresConnectionError | asyncpg.InternalClientError):
        try:
            await conn.execute("SELECT")
        except asyncpg.InFailedSQLTransactionError:
            return False
        except CONNECTION_ERRORS:
            return True
    return await settled(conn.is_closed()) is True


async def hang_up(conn: Connection) -> None:
    """Close a connection; the other end of a broken one does not answer, and is not waited for."""
    with contextlib.suppress(*CONNECTION_ERRORS):
        await conn.close(timeout=FAREWELL)


def one_session(conn: Connection) -> contextlib.AbstractAsyncContextManager[object]:
    """Return a block in which all statements go to one session, which a pooler may change between transactions."""
    return conn.transaction() if is_session(conn) and conn.pooled else contextlib.nullcontext()

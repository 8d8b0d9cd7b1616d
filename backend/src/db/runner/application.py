"""One migration: its ``up``, its record, and what may go wrong between the two."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

import asyncpg
import asyncpg.pool

from ..errors import MigrationError
from . import failures as failure
from .history import mark_migration_applied
from .session import Turn

if TYPE_CHECKING:
    from ..connection import Connection
    from .files import Migration
    from .session import Session

T = TypeVar("T")

logger = logging.getLogger("src.db.migration_runner")

# Indexes that a failed CREATE INDEX CONCURRENTLY left, and not those that another session is building at present, nor
# those of partitioned tables (relkind I), which are invalid until each partition has its own.
_INVALID_INDEXES = """
    SELECT indexrelid::regclass::text AS name, relname
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE NOT indisvalid AND relkind = 'i'
        AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE index_relid = indexrelid)
    ORDER BY 1
"""


async def apply(conn: Connection, version: str, migration: Migration, session: Session | None = None) -> Turn:
    """Run a loaded migration and record it, as ``migration_runner.apply_migration`` describes.

    Arguments:
        conn: the connection, outside a transaction where it has a session.
        version: the text to record.
        migration: the loaded file.
        session: the runner's own session, which is left as it was; the caller of ``apply_migration`` looks after its.

    Returns:
        Whose turn it was: it was applied where it was ours.

    Raises:
        MigrationError: one of its subclasses says what is wrong, in which file, and what to do.
    """
    joined = bool(await _settled(conn.is_in_transaction()))
    try:
        if not migration.transactional:
            await _apply_outside(conn, version, migration, session, joined=joined)
        elif joined:
            await _apply_inside(conn, version, migration, session)
        else:
            async with await _settled(conn.transaction()):
                turn = await session.claim(conn, version) if session is not None else Turn.OURS
                if turn is not Turn.OURS:
                    return turn
                await _apply_inside(conn, version, migration, session)
    except MigrationError:
        raise
    except (Exception, SystemExit) as error:
        if await _is_lost(conn, error):
            raise failure.connection_lost(error, migration.path) from error
        raise failure.up_failed(migration, error) from error
    return Turn.OURS


async def _apply_inside(conn: Connection, version: str, migration: Migration, session: Session | None) -> None:
    """Run ``up`` and record it in the transaction that the connection is in."""
    # COMMIT AND CHAIN, and COMMIT and BEGIN together, show in nothing but the number of the transaction.
    number = await _transaction_number(conn) if migration.may_end_transaction else None
    with _Statements.of(conn, wanted=migration.may_catch) as statements:
        try:
            await migration.up(conn)
        except (Exception, SystemExit) as error:
            if statements.aborted_by is not None and isinstance(error, asyncpg.InFailedSQLTransactionError):
                # Only the consequence: the cause is the error before it, which up has caught.
                raise failure.error_swallowed(migration, statements.aborted_by) from error
            if await _settled(conn.is_in_transaction()) or await _is_lost(conn, error):
                raise
            raise failure.transaction_ended(migration, error) from error
    if not await _settled(conn.is_in_transaction()):
        raise failure.transaction_ended(migration)
    try:
        if number is not None and await _transaction_number(conn) != number:
            raise failure.transaction_ended(migration)
        if session is not None:
            await session.restore(conn, migration)
        await _record(conn, version, migration)
    except asyncpg.InFailedSQLTransactionError as error:
        raise failure.error_swallowed(migration, statements.aborted_by) from error


async def _apply_outside(
    conn: Connection, version: str, migration: Migration, session: Session | None, *, joined: bool
) -> None:
    """Run ``up`` as the connection is, and record it if it left the database in order."""
    old = {row["name"] for row in await _invalid_indexes(conn)}
    with _Statements.of(conn, wanted=True) as statements:
        try:
            await migration.up(conn)
        except (Exception, SystemExit) as error:
            if joined or await _is_lost(conn, error):
                raise
            if await _settled(conn.is_in_transaction()):
                await conn.execute("ROLLBACK")
            left = [row["name"] for row in await _invalid_indexes(conn) if row["name"] not in old]
            raise failure.up_failed(migration, error, left) from error
    if not joined and await _settled(conn.is_in_transaction()):
        await conn.execute("ROLLBACK")
        raise failure.transaction_left_open(migration)
    if session is not None:
        await session.restore(conn, migration)
    invalid = await _invalid_indexes(conn)
    left = [row["name"] for row in invalid if row["name"] not in old]
    if left:
        raise failure.indexes_left(migration, left)
    passed_over = [row["name"] for row in invalid if statements.mention(row["relname"])]
    if passed_over:
        raise failure.indexes_passed_over(migration, passed_over)
    if invalid:
        logger.warning(
            "the database has an invalid index, which no query uses, and which %s has nothing to do with: %s",
            migration.path.name,
            ", ".join(row["name"] for row in invalid),
        )
    async with await _settled(conn.transaction()):
        await _record(conn, version, migration)


async def _invalid_indexes(conn: Connection) -> list[asyncpg.Record]:
    # In a transaction, within which a pooler does not change the session.
    async with await _settled(conn.transaction()):
        return await conn.fetch(_INVALID_INDEXES)


async def _record(conn: Connection, version: str, migration: Migration) -> None:
    try:
        await mark_migration_applied(conn, version)
    except asyncpg.InFailedSQLTransactionError:
        raise
    except asyncpg.PostgresError as error:
        explain = failure.connection_lost if failure.is_lost(error) else failure.history_failed
        raise explain(error, migration.path) from error


async def _transaction_number(conn: Connection) -> object:
    return await conn.fetchval("SELECT pg_current_xact_id()::text")


async def _is_lost(conn: Connection, error: BaseException) -> bool:
    return failure.is_lost(error) or await _settled(conn.is_closed()) is True


async def _settled(value: Awaitable[T] | T) -> T:
    """Return a value, awaited if need be: what asyncpg answers at once, an AsyncMock answers with a coroutine."""
    return await value if isinstance(value, Awaitable) else value


class _Statements:
    """What a migration sends to PostgreSQL, and the error that aborted its transaction."""

    def __init__(self, conn: Connection | None) -> None:
        self._conn = conn
        self._sent: list[str] = []
        self.aborted_by: BaseException | None = None

    @classmethod
    def of(cls, conn: Connection, *, wanted: bool) -> _Statements:
        """Return the statements of a connection; one that is not asyncpg's reports none."""
        reports = wanted and isinstance(conn, asyncpg.Connection | asyncpg.pool.PoolConnectionProxy)
        return cls(conn if reports else None)

    def __enter__(self) -> _Statements:
        if self._conn is not None:
            self._conn.add_query_logger(self._note)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if self._conn is not None:
            self._conn.remove_query_logger(self._note)

    def _note(self, record: asyncpg.connection.LoggedQuery) -> None:
        self._sent.append(record.query)
        # PostgreSQL answers everything that follows the first error with this one.
        if record.exception is not None and not isinstance(record.exception, asyncpg.InFailedSQLTransactionError):
            self.aborted_by = record.exception

    def mention(self, name: str) -> bool:
        """Tell whether a name is in one of the statements, as a word."""
        word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
        return any(word.search(statement) for statement in self._sent)

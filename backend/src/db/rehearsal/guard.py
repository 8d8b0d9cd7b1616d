"""A transaction that is rolled back, whatever runs in it.

A statement that would end it is not sent: ``GuardedConnection`` refuses it. Should one get through all the same, COMMIT
fails, because a cursor that it has to keep cannot be read; and after a ROLLBACK the session is read-only.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg

from ..connection import Connection
from ..runner.lexer import ends_transaction, statements_of
from ..runner.session import RETURNING, sql_of
from .interception import InterceptingConnection

# The cursor shows in pg_cursors alone, and a table would show to a migration that lists tables. Its query is evaluated
# when it is kept: in a COMMIT, and after the deferred constraints.
_CURSOR = """
    CLOSE ALL;
    DECLARE plantops_rehearsal NO SCROLL CURSOR WITH HOLD FOR SELECT concat('a rehearsal is never committed')::int;
"""
_READ_ONLY = "SET default_transaction_read_only = on;"
# What COMMIT does to constraints: it checks those that are deferred, and the next transaction has their defaults again.
_CHECK_CONSTRAINTS = "SET CONSTRAINTS ALL IMMEDIATE"
_RESET_CONSTRAINTS = """
    SET CONSTRAINTS ALL DEFERRED;
    DO $$
    DECLARE names text;
    BEGIN
        SELECT string_agg(DISTINCT format('%I.%I', nspname, conname), ', ') INTO names
        FROM pg_catalog.pg_constraint JOIN pg_catalog.pg_namespace ON pg_namespace.oid = connamespace
        WHERE condeferrable AND NOT condeferred;
        IF names IS NOT NULL THEN
            EXECUTE 'SET CONSTRAINTS ' || names || ' IMMEDIATE';
        END IF;
    END $$;
"""


class TransactionEnd(Exception):  # noqa: N818 - what a migration asks for is no error of the rehearsal's
    """A migration has sent a statement that would end the transaction."""


class GuardedConnection(InterceptingConnection):
    """A connection that does not send what would end the transaction that it is in.

    Attributes:
        refused: the error of the statement that was not sent, which ``up`` may have caught; None where there was none.
    """

    guarded = False
    refused: TransactionEnd | None = None

    def check(self, sql: str) -> None:
        """Refuse SQL, as long as the connection is guarded.

        Raises:
            TransactionEnd: it would end the transaction.
        """
        if self.guarded and any(map(ends_transaction, statements_of(sql))):
            self.refused = TransactionEnd(sql)
            raise self.refused


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def checked(self: GuardedConnection, *arguments: Any, **options: Any) -> Any:
        self.check(sql_of(arguments, options))
        return method(self, *arguments, **options)

    return checked


for _name in (*RETURNING, "prepare", "cursor"):
    setattr(GuardedConnection, _name, _checked(getattr(asyncpg.Connection, _name)))


@contextlib.asynccontextmanager
async def rolled_back(conn: GuardedConnection) -> AsyncIterator[None]:
    """Open a transaction that ends with a rollback. The session stays read-only.

    Arguments:
        conn: a connection outside a transaction.

    Raises:
        asyncpg.PostgresError: the server is read-only.
    """
    await conn.execute(_READ_ONLY)
    transaction = conn.transaction()
    await transaction.start()
    try:
        await conn.execute(f"SET TRANSACTION READ WRITE; {_CURSOR}")
        yield
    finally:
        if not conn.is_closed():
            await transaction.rollback()


async def is_guarded(conn: Connection) -> bool:
    """Tell whether the connection is still in the transaction of ``rolled_back``.

    Raises:
        asyncpg.InFailedSQLTransactionError: it is, and the transaction has failed.
    """
    return bool(await conn.fetchval("SELECT EXISTS (SELECT FROM pg_cursors WHERE name = 'plantops_rehearsal')"))


async def check_constraints(conn: Connection) -> None:
    """Check the deferred constraints as COMMIT does.

    Raises:
        asyncpg.PostgresError: one is broken.
    """
    await conn.execute(_CHECK_CONSTRAINTS)


async def begin_again(conn: Connection) -> None:
    """Make the transaction ready for the next migration: no cursors but the guard's, and each constraint as defined."""
    await conn.execute(f"{_CURSOR} {_READ_ONLY} {_RESET_CONSTRAINTS}")

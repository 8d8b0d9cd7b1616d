"""A transaction that cannot be committed, whatever runs in it.

Two things see to that. A deferred foreign key is broken on purpose in a temporary table, so that COMMIT fails. And the
session's transactions are read-only unless they say otherwise, so that statements after a ROLLBACK fail too.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from ..connection import Connection

_READ_ONLY = "SET default_transaction_read_only = on"
_GUARD = """
    SET TRANSACTION READ WRITE;
    CREATE TEMPORARY TABLE plantops_rehearsal_parent (id int PRIMARY KEY);
    CREATE TEMPORARY TABLE plantops_rehearsal (
        parent int REFERENCES plantops_rehearsal_parent DEFERRABLE INITIALLY DEFERRED
    );
    INSERT INTO plantops_rehearsal VALUES (1);
"""
# A broken key is not looked at once its row is gone. The savepoint brings it back, and the migration's constraints to
# the state that they had.
_CHECK_DEFERRED = """
    SAVEPOINT plantops_rehearsal;
    DELETE FROM pg_temp.plantops_rehearsal;
    SET CONSTRAINTS ALL IMMEDIATE;
    ROLLBACK TO SAVEPOINT plantops_rehearsal;
    RELEASE SAVEPOINT plantops_rehearsal;
"""


@contextlib.asynccontextmanager
async def rolled_back(conn: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[None]:
    """Open a transaction that ends with a rollback. The session stays read-only.

    Arguments:
        conn: a connection outside a transaction.

    Raises:
        asyncpg.PostgresError: the role may not create temporary tables, or the server is read-only.
    """
    await conn.execute(_READ_ONLY)
    transaction = conn.transaction()
    await transaction.start()
    try:
        await conn.execute(_GUARD)
        yield
    finally:
        if not conn.is_closed():
            await transaction.rollback()


async def is_guarded(conn: Connection) -> bool:
    """Tell whether the connection is still in the transaction of ``rolled_back``.

    Raises:
        asyncpg.InFailedSQLTransactionError: it is, and the transaction has failed.
    """
    guarded: bool = await conn.fetchval("SELECT to_regclass('pg_temp.plantops_rehearsal') IS NOT NULL")
    return guarded


async def check_deferred(conn: Connection) -> None:
    """Check the deferred constraints as COMMIT does.

    Raises:
        asyncpg.PostgresError: one is broken.
    """
    await conn.execute(_CHECK_DEFERRED)

"""What one migration does to a database, from the state before and after its ``up``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from .guard import check_deferred, is_guarded
from .lock import Held, held, locks_of
from .relation import Relations, relations_of, rewrites_between, rows_between, scans_between
from .schema import Schema, changes_between, schema_of

if TYPE_CHECKING:
    from ..connection import Connection
    from ..runner.files import Migration
    from .report import MigrationReport

# asyncpg asks for types that it does not know yet, with a query that has the first of these in it, and puts the
# just-in-time compiler off meanwhile.
_OF_ASYNCPG = ("typeinfo_tree", "set_config('jit', ")

LockHolders = dict[tuple[int, str], str]
"""The version of the migration that took each lock first."""


class State(NamedTuple):
    """A database at one moment, seen from one session."""

    locks: Held
    relations: Relations
    schema: Schema


async def state_of(conn: Connection, *, in_transaction: bool) -> State:
    """Return the state of a database.

    Arguments:
        conn: the session; what its transaction did counts.
        in_transaction: whether the migration runs in that transaction.
    """
    locks = await held(conn, await conn.fetchval("SELECT pg_backend_pid()"))
    relations = await relations_of(conn, in_transaction=in_transaction)
    return State(locks, relations, await schema_of(conn))


def fill_in(report: MigrationReport, before: State, after: State) -> None:
    """Write into a report everything but the locks, which are not seen in the same way in every migration."""
    report.rewrites = rewrites_between(before.relations, after.relations)
    report.scans = scans_between(before.relations, after.relations)
    report.rows = rows_between(before.relations, after.relations)
    report.changes = changes_between(before.schema, after.schema)


class Recorder:
    """Times a migration and notes its SQL, for the length of a ``with`` block."""

    def __init__(self, conn: Connection, report: MigrationReport) -> None:
        self._conn, self._report = conn, report

    def __enter__(self) -> None:
        self._conn.add_query_logger(self._note)
        self._started = time.monotonic()

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._report.seconds = time.monotonic() - self._started
        self._conn.remove_query_logger(self._note)

    def _note(self, record: asyncpg.connection.LoggedQuery) -> None:
        if not any(sign in record.query for sign in _OF_ASYNCPG):
            self._report.statements.append(record.query)


def observed(migration: Migration, report: MigrationReport, holders: LockHolders, *, guarded: bool) -> Migration:
    """Return a migration that does the same in its transaction, and reports on itself.

    Arguments:
        migration: what to run.
        report: what to fill in.
        holders: the locks of the migrations before it in the same transaction; its own are added.
        guarded: whether the transaction is that of ``guard.rolled_back``, and has to be checked as COMMIT would.
    """

    async def up(conn: Connection) -> None:
        before = await state_of(conn, in_transaction=True)
        with Recorder(conn, report):
            await migration.up(conn)
        if not await _goes_on(conn, guarded=guarded):
            return  # the runner says what is wrong
        after = await state_of(conn, in_transaction=True)
        if guarded:
            await check_deferred(conn)
        fill_in(report, before, after)
        taken = after.locks - before.locks
        report.locks = locks_of(taken, before.relations)
        for version in sorted(set(holders.values())):
            earlier = {lock for lock in before.locks if holders.get(lock) == version}
            report.locks += locks_of(earlier, before.relations, version)
        for lock in taken:
            holders[lock] = report.version

    return migration._replace(up=up)


async def _goes_on(conn: Connection, *, guarded: bool) -> bool:
    """Tell whether the connection is in the transaction that it was in, and that has not failed."""
    if not conn.is_in_transaction():
        return False
    try:
        return await is_guarded(conn) or not guarded
    except asyncpg.InFailedSQLTransactionError:
        return False

"""The pending migrations on the database itself, in one transaction that is rolled back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import asyncpg

from ..connection import Connection
from ..errors import MigrationError
from ..runner import failures as failure
from ..runner.application import apply, run_up
from ..runner.files import Migration, line_in, loaded
from ..runner.history import ensure_migrations_table
from ..runner.session import reset
from .guard import GuardedConnection, begin_again, check_constraints, is_guarded, rolled_back
from .lock import locks_of
from .observation import Recorder, State, fill_in, state_of
from .report import MigrationReport

Files = Sequence[tuple[str, Path]]

_REFUSED = "The rehearsal made that COMMIT or ROLLBACK fail: nothing of it is kept."

LockHolders = dict[tuple[int, str], str]
"""The version of the migration that took each lock first."""


async def run_on_database(conn: GuardedConnection, waiting: Files, *, is_new: bool) -> list[MigrationReport]:
    """Run migrations and undo them, up to the first that fails or has to be outside a transaction.

    Arguments:
        conn: a connection outside a transaction.
        waiting: the migrations.
        is_new: whether the database has no table ``schema_migrations``.
    """
    reports: list[MigrationReport] = []
    holders: LockHolders = {}
    async with rolled_back(conn):
        if is_new:
            await ensure_migrations_table(conn)
        for version, path in waiting:
            report = MigrationReport(version, path)
            try:
                with loaded(path) as migration:
                    if not migration.transactional:
                        break
                    reports.append(report)
                    await apply(conn, version, _observed(conn, migration, report, holders))
                    await begin_again(conn)
            except MigrationError as error:
                report.error = error
                if report not in reports:
                    reports.append(report)
                break
    return reports


def _observed(
    conn: GuardedConnection, migration: Migration, report: MigrationReport, holders: LockHolders
) -> Migration:
    """Return a migration that does the same and what a COMMIT does, and reports on itself."""

    async def up(_: Connection) -> None:
        before = await state_of(conn, in_transaction=True)
        await _run_up(conn, migration, report)
        # Otherwise the runner says what is wrong with its transaction; coverage does not see a coroutine end there.
        if await goes_on(conn, guarded=True):  # pragma: no branch
            await _observe(conn, report, before, holders)

    return migration._replace(up=up)


async def _observe(conn: GuardedConnection, report: MigrationReport, before: State, holders: LockHolders) -> None:
    """Do what a COMMIT does, and note what the migration has changed and locked."""
    await conn.execute(reset())
    await check_constraints(conn)
    after = await state_of(conn, in_transaction=True)
    fill_in(report, before, after)
    taken = after.locks - before.locks
    report.locks = locks_of(taken, before.relations)
    for version in sorted(set(holders.values())):
        earlier = {lock for lock in before.locks if holders.get(lock) == version}
        report.locks += locks_of(earlier, before.relations, version)
    holders.update(dict.fromkeys(taken, report.version))


async def _run_up(conn: GuardedConnection, migration: Migration, report: MigrationReport) -> None:
    """Run ``up``; a statement that would end the transaction is an error, even one that it has caught."""
    conn.guarded = True
    try:
        with Recorder(conn, report):
            await run_up(conn, migration)
    except Exception:
        if conn.refused is None:
            raise
    finally:
        conn.guarded = False
    if conn.refused is not None:
        report.statements.append(str(conn.refused))
        error = failure.transaction_ended(migration)
        error.message = f"{error.message}\n{_REFUSED}"
        error.line = line_in(migration.path, conn.refused.__traceback__)
        raise error from conn.refused


async def goes_on(conn: Connection, *, guarded: bool) -> bool:
    """Tell whether a connection is in the transaction that it was in, and that has not failed.

    Arguments:
        conn: the connection.
        guarded: whether that is the one of ``guard.rolled_back``.
    """
    if not conn.is_in_transaction():
        return False
    try:
        return await is_guarded(conn) or not guarded
    except asyncpg.InFailedSQLTransactionError:
        return False

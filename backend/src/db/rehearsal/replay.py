"""The pending migrations on a copy of the schema, where each is committed, as at a start."""

from __future__ import annotations

from collections.abc import Sequence

from ..connection import Connection
from ..errors import MigrationError
from ..runner.application import apply, run_up
from ..runner.files import Migration, loaded
from ..runner.history import ensure_migrations_table, mark_migration_applied
from ..runner.session import reset, settings
from .lock import locks_of
from .observation import Recorder, fill_in, state_of
from .report import MigrationReport
from .transaction import Files, goes_on
from .watch import WatchedConnection, watched


async def replay(url: str, applied: Sequence[str], waiting: Files) -> list[MigrationReport]:
    """Run migrations on a copy, up to the first that fails.

    Arguments:
        url: the copy.
        applied: the versions that the database has had.
        waiting: the migrations.

    Returns:
        A report on each. It has no time: the tables of the copy are empty.
    """
    conn = await WatchedConnection.to(url)
    reports: list[MigrationReport] = []
    try:
        await ensure_migrations_table(conn)
        for version in applied:
            await mark_migration_applied(conn, version)
        for version, path in waiting:
            report = MigrationReport(version, path)
            reports.append(report)
            try:
                with loaded(path) as migration:
                    report.transactional = migration.transactional
                    observe = _inside if migration.transactional else _outside
                    # As at a start, where one outside a transaction waits for as long as it has to.
                    await conn.execute(settings() if migration.transactional else settings(lock_timeout=0))
                    await apply(conn, version, await observe(conn, url, migration, report))
            except MigrationError as error:
                report.error = error
                break
            finally:
                report.seconds = None
    finally:
        await conn.close()
    return reports


async def _inside(conn: WatchedConnection, _: str, migration: Migration, report: MigrationReport) -> Migration:
    """Return a migration that does the same in its transaction, and reports on itself."""
    # Nothing of an earlier transaction is counted, and nothing is asked in this one: SET TRANSACTION comes first in it.
    await conn.execute("SELECT pg_stat_force_next_flush()")
    before = await state_of(conn, in_transaction=True)

    async def up(conn: Connection) -> None:
        with Recorder(conn, report):
            await run_up(conn, migration)
        if await goes_on(conn, guarded=False):
            after = await state_of(conn, in_transaction=True)
            fill_in(report, before, after)
            report.locks = locks_of(after.locks, before.relations)
            await conn.execute(reset())

    return migration._replace(up=up)


async def _outside(conn: WatchedConnection, url: str, migration: Migration, report: MigrationReport) -> Migration:
    """Return a migration that does the same outside a transaction, and reports on itself."""
    before = await state_of(conn, in_transaction=False)

    async def up(_: Connection) -> None:
        async with watched(url, conn) as watch:
            with Recorder(conn, report):
                await run_up(conn, migration)
        if not conn.is_in_transaction():  # the runner says what is wrong
            fill_in(report, before, await state_of(conn, in_transaction=False))
            report.locks = locks_of(watch.taken, before.relations)
            report.gap = watch.gap
            await conn.execute(reset())

    return migration._replace(up=up)

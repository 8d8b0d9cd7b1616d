"""The rehearsal itself: the pending migrations, on the database and, where need be, on a copy of its schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..commands.command_line import Refusal
from ..connection import CONNECTION_ERRORS, is_pooled
from ..errors import MigrationError, MigrationSqlError
from ..runner import failures as failure
from ..runner.files import get_migration_files, refuse_empty
from ..runner.history import get_applied_migrations, has_migrations_table, pending
from ..runner.lock import one_runner
from ..runner.retries import with_retries
from ..runner.session import is_lost, settings
from . import squawk
from .copy import CopyError, schema_copy
from .guard import GuardedConnection
from .replay import replay
from .report import MigrationReport, Rehearsal
from .transaction import Files, run_on_database

# What PostgreSQL refuses in a transaction that has done something before: to use an enum's value that is not committed,
# and SET TRANSACTION. Each migration has a transaction of its own at a start.
_NEEDS_COMMIT = ("55P04", "25001")

_POOLED = (
    "a pooler stands between the rehearsal and the server, and may give its lock and its settings to other clients."
    "\nName the server itself: DATABASE_URL=postgresql://user:password@host:5432/database make rehearse"
)
_OUTSIDE = "It has transactional = False, so it cannot be rolled back."
_ALONE = "It has to run in a transaction of its own, with those before it committed."
_AFTER = "It comes after {}, which did not run on the database."
_HELD = (
    "a lock that is 'held since' an earlier migration is one that this migration may or may not take. PostgreSQL shows"
    " no lock twice, and a copy of the schema, which would tell, cannot be had: {}"
)
_IS_OUTSIDE, _IS_ALONE = "has transactional = False", "has to run in a transaction of its own"
_NO_COPY = "{} {} and cannot be rehearsed, because no copy of the schema can be had: {}"


async def rehearse(database_url: str, directory: Path) -> Rehearsal:
    """Run the pending migrations of a directory and undo them.

    No other runner applies a migration meanwhile: the rehearsal waits for the migration lock, and holds it.

    Arguments:
        database_url: ``postgresql://user:password@host:port/database``.
        directory: where the migration files are.

    Returns:
        What they did, and the error of the one that failed.

    Raises:
        MigrationError: the database cannot be reached, or a file's name is wrong.
        Refusal: the role may not do what a rehearsal needs.
    """
    files = get_migration_files(directory)
    refuse_empty(directory, files)
    conn = await GuardedConnection.to(database_url)
    try:
        if await is_pooled(conn):
            raise Refusal(_POOLED)
        await conn.execute(settings())
        async with one_runner(conn):
            return await _rehearse(conn, database_url, files)
    except CONNECTION_ERRORS as error:
        if await is_lost(conn, error):
            raise failure.connection_lost(error) from error
        raise Refusal(f"the rehearsal cannot run: {error}") from error
    finally:
        await conn.close()


async def _rehearse(conn: GuardedConnection, database_url: str, files: Files) -> Rehearsal:
    applied = await get_applied_migrations(conn) if await has_migrations_table(conn) else None
    waiting = pending(applied or [], files)
    version = conn.get_server_version()
    # asyncpg gives the 6 of 18.6 as micro.
    rehearsal = Rehearsal(f"{version.major}.{version.micro}", len(waiting))
    if waiting:
        rehearsal.reports = await _on_database(conn, waiting, is_new=applied is None)
        await _add_from_copy(rehearsal, conn, database_url, applied or [], waiting)
        rehearsal.failed |= any(report.error for report in rehearsal.reports)
        _lint(rehearsal)
    return rehearsal


async def _on_database(conn: GuardedConnection, waiting: Files, *, is_new: bool) -> list[MigrationReport]:
    """Run migrations on the database, all of them again where another session is in the way of one."""
    reports: list[MigrationReport] = []

    async def run_all(*_: object) -> None:
        reports[:] = await run_on_database(conn, waiting, is_new=is_new)
        if reports and reports[-1].error is not None:
            raise reports[-1].error

    try:
        await with_retries(run_all, conn, *waiting[0])
    except MigrationError as error:
        reports[-1].error = error
    return reports


def _fails_with(reports: Sequence[MigrationReport], *sqlstates: str) -> bool:
    error = reports[-1].error if reports else None
    return isinstance(error, MigrationSqlError) and error.sqlstate in sqlstates


async def _add_from_copy(
    rehearsal: Rehearsal, conn: GuardedConnection, database_url: str, applied: Sequence[str], waiting: Files
) -> None:
    """Add what only a copy shows: migrations that a transaction cannot hold, and locks that an earlier one has."""
    reports = rehearsal.reports
    done = [report for report in reports if report.error is None]
    needs_commit = _fails_with(reports, *_NEEDS_COMMIT)
    if len(done) < len(reports) and not needs_commit:
        waiting = waiting[: len(done)]
    if len(waiting) == len(done) and not _has_held_locks(reports):
        return
    try:
        async with schema_copy(conn, database_url) as copy:
            rehearsal.notes += copy.notes
            copies = await replay(copy.url, applied, waiting)
        _check_copies(copies[: len(done)])
    except CopyError as error:
        if _has_held_locks(reports):
            rehearsal.notes.append(_HELD.format(error))
        if len(waiting) > len(done):
            rehearsal.failed = True
            rehearsal.reports = done
            reason = _IS_ALONE if needs_commit else _IS_OUTSIDE
            rehearsal.notes.append(_NO_COPY.format(waiting[len(done)][1].name, reason, error))
        return
    for report, copied in zip(done, copies, strict=False):
        if any(lock.since for lock in report.locks):
            report.locks = copied.locks
    rest = copies[len(done) :]
    if not rest or (needs_commit and rest[0].error is not None):
        return
    rest[0].on_copy = _ALONE if needs_commit else _OUTSIDE
    for report in rest[1:]:
        report.on_copy = _AFTER.format(rest[0].path.name)
    rehearsal.reports = [*done, *rest]


def _check_copies(copies: Sequence[MigrationReport]) -> None:
    for report in copies:
        if report.error is not None:
            raise CopyError(f"{report.path.name} fails on it: {report.error.message}")


def _has_held_locks(reports: Sequence[MigrationReport]) -> bool:
    return any(lock.since for report in reports for lock in report.locks)


def _lint(rehearsal: Rehearsal) -> None:
    program = squawk.program()
    if program is None:
        rehearsal.notes.append("squawk is not installed (the package squawk-cli): the SQL was not checked.")
        return
    for report in rehearsal.reports:
        report.findings = squawk.findings_of(
            program,
            report.statements,
            transactional=report.transactional,
            server_version=rehearsal.server_version,
        )

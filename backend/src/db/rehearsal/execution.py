"""The rehearsal itself: the pending migrations, on the database and, where need be, on a copy of its schema."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING

import asyncpg

from ..commands.command_line import Refusal
from ..connection import CONNECTION_ERRORS, connect, is_pooled
from ..errors import MigrationError, MigrationSqlError, TransactionEndedError
from ..program import client
from ..runner import failures as failure
from ..runner.application import apply
from ..runner.files import Migration, get_migration_files, loaded, refuse_empty
from ..runner.history import ensure_migrations_table, history, mark_migration_applied, pending
from ..runner.lock import jittered, one_runner
from ..runner.retries import FIRST_LOCK_PAUSE, LAST_LOCK_PAUSE, LOCK_TIMEOUT, LOCK_TRIES
from ..server import ServerError, binary
from . import squawk
from .copy import CopyError, schema_copy
from .guard import rolled_back
from .lock import locks_of
from .observation import LockHolders, Recorder, State, fill_in, observed, state_of
from .report import MigrationReport, Rehearsal
from .sampler import sampled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..connection import Connection

    Files = Sequence[tuple[str, Path]]

logger = logging.getLogger(__name__)

_AND_CHAIN = re.compile(rb"\band\s+chain\b", re.IGNORECASE)
_LOCK_NOT_AVAILABLE = "55P03"

# A rehearsal that is killed must not keep its locks until its statement ends. Some systems cannot look for a client.
_SETTINGS = f"""
    SET lock_timeout = {LOCK_TIMEOUT};
    DO $$ BEGIN
        PERFORM set_config('client_connection_check_interval', '1000', false);
    EXCEPTION WHEN invalid_parameter_value THEN
        NULL;
    END $$;
"""
_POOLED = (
    "a pooler stands between the rehearsal and the server, and may give its lock and its settings to other clients."
    "\nName the server itself: DATABASE_URL=postgresql://user:password@host:5432/database make rehearse"
)
_OUTSIDE = "It has transactional = False, so it cannot be rolled back."
_AFTER = "It comes after {}, which did not run on the database."
_REFUSED = "The rehearsal made that COMMIT or ROLLBACK fail: nothing of it is kept."
_CHAINS = (
    "its SQL says AND CHAIN, which would take it out of the transaction that the rehearsal rolls back: it is not run."
)
_HELD = (
    "a lock that is 'held since' an earlier migration is one that this migration may or may not take. PostgreSQL shows"
    " no lock twice, and a copy of the schema, which would tell, cannot be had: {}"
)


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
    conn = await connect(database_url, application_name="plantops-rehearsal", statement_cache_size=0)
    try:
        if await is_pooled(conn):
            raise Refusal(_POOLED)
        await conn.execute(_SETTINGS)
        async with one_runner(conn):
            return await _rehearse(conn, database_url, files)
    except CONNECTION_ERRORS as error:
        if conn.is_closed() or failure.is_lost(error):
            raise failure.connection_lost(error) from error
        raise Refusal(f"the rehearsal cannot run: {error}") from error
    finally:
        await conn.close()


async def _rehearse(conn: asyncpg.Connection[asyncpg.Record], database_url: str, files: Files) -> Rehearsal:
    applied = await history(conn)
    waiting = pending(applied or [], files)
    version = conn.get_server_version()
    # asyncpg gives the 6 of 18.6 as micro.
    rehearsal = Rehearsal(f"{version.major}.{version.micro}", len(waiting))
    if waiting:
        rehearsal.reports = await _on_database_with_retries(conn, waiting, is_new=applied is None)
        failed = any(report.error for report in rehearsal.reports)
        rest = [] if failed else waiting[len(rehearsal.reports) :]
        if rest or any(lock.since for report in rehearsal.reports for lock in report.locks):
            await _on_copy(database_url, applied or [], waiting, rest, rehearsal)
        rehearsal.failed |= any(report.error for report in rehearsal.reports)
        _lint(rehearsal)
    return rehearsal


# On the database


async def _on_database_with_retries(
    conn: asyncpg.Connection[asyncpg.Record], waiting: Files, *, is_new: bool
) -> list[MigrationReport]:
    """Run migrations on the database, all of them again where one cannot get a table lock."""
    pause = FIRST_LOCK_PAUSE
    for attempt in range(1, LOCK_TRIES + 1):
        reports = await _on_database(conn, waiting, is_new=is_new)
        error = reports[-1].error if reports else None
        if not isinstance(error, MigrationSqlError) or error.sqlstate != _LOCK_NOT_AVAILABLE:
            break
        if attempt < LOCK_TRIES:
            wait = jittered(pause)
            logger.warning(
                "%s could not lock a table within %d ms (try %d of %d); the rehearsal starts again in %.1f s",
                reports[-1].path.name,
                LOCK_TIMEOUT,
                attempt,
                LOCK_TRIES,
                wait,
            )
            await asyncio.sleep(wait)
            pause = min(2 * pause, LAST_LOCK_PAUSE)
    return reports


async def _on_database(
    conn: asyncpg.Connection[asyncpg.Record], waiting: Files, *, is_new: bool
) -> list[MigrationReport]:
    """Run migrations in a transaction that is rolled back, up to the first that fails or needs to be outside one."""
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
                    # The transaction after ROLLBACK AND CHAIN is not read-only, and could be committed.
                    if _AND_CHAIN.search(path.read_bytes()):
                        raise TransactionEndedError(_CHAINS, file=path)
                    await apply(conn, version, observed(migration, report, holders, guarded=True))
            except MigrationError as error:
                if isinstance(error, TransactionEndedError):
                    error.message = f"{error.message}\n{_REFUSED}"
                report.error = error
                if report not in reports:
                    reports.append(report)
                break
    return reports


# On a copy


async def _on_copy(
    database_url: str, applied: Sequence[str], waiting: Files, rest: Files, rehearsal: Rehearsal
) -> None:
    """Run migrations on a copy of the schema, where they commit.

    Arguments:
        database_url: the database.
        applied: the versions that it has had.
        waiting: all pending migrations. The locks of those that the database has run are seen better here, each alone.
        rest: those that the database has not run; their reports are added.
        rehearsal: what is known; its reports are completed.
    """
    known = {report.version: report for report in rehearsal.reports}
    try:
        binary("postgres")  # whatever pg_dump there is: a copy needs a server of its own
        pg_dump = await client("pg_dump", database_url, at_least=int(rehearsal.server_version.partition(".")[0]))
        with schema_copy(database_url, pg_dump) as url:
            conn = await connect(url, application_name="plantops-rehearsal", statement_cache_size=0)
            try:
                await ensure_migrations_table(conn)
                for version in applied:
                    await mark_migration_applied(conn, version)
                first: Path | None = None
                for version, path in waiting:
                    if version in known and known[version].error is not None:
                        return
                    report = MigrationReport(version, path)
                    await _one_on_copy(conn, url, report)
                    if version in known and report.error is not None:
                        raise CopyError(f"{path.name} fails on it: {report.error.message}")
                    if version in known:
                        if any(lock.since for lock in known[version].locks):
                            known[version].locks = report.locks
                        continue
                    report.on_copy = _AFTER.format(first.name) if first else _OUTSIDE
                    first = first or path
                    rehearsal.reports.append(report)
                    if report.error is not None:
                        return
            finally:
                await conn.close()
    except (CopyError, ServerError) as error:
        if any(lock.since for report in rehearsal.reports for lock in report.locks):
            rehearsal.notes.append(_HELD.format(error))
        if rest:
            rehearsal.failed = True
            rehearsal.notes.append(
                f"{rest[0][1].name} has transactional = False and cannot be rehearsed, because no copy of the schema"
                f" can be had: {error}"
            )


async def _one_on_copy(conn: asyncpg.Connection[asyncpg.Record], url: str, report: MigrationReport) -> None:
    try:
        with loaded(report.path) as migration:
            report.transactional = migration.transactional
            if migration.transactional:
                await apply(conn, report.version, observed(migration, report, {}, guarded=False))
            else:
                await apply(conn, report.version, _sampled(migration, report, url))
    except MigrationError as error:
        report.error = error
    report.seconds = None


def _sampled(migration: Migration, report: MigrationReport, url: str) -> Migration:
    """Return a migration that does the same outside a transaction, and reports on itself."""

    async def up(conn: Connection) -> None:
        before: State = await state_of(conn, in_transaction=False)
        pid = await conn.fetchval("SELECT pg_backend_pid()")
        async with sampled(url, pid) as taken:
            with Recorder(conn, report):
                await migration.up(conn)
        if not conn.is_in_transaction():  # the runner says what is wrong
            fill_in(report, before, await state_of(conn, in_transaction=False))
            report.locks = locks_of(taken, before.relations)

    return migration._replace(up=up)


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

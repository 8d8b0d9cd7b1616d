"""One migration: its ``up``, its record, and what may go wrong between the two."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

import asyncpg

from .. import errors
from ..connection import CONNECTION_ERRORS, Connection, settled
from . import failures as failure
from .files import Migration
from .history import mark_migration_applied
from .lock import keep_lock
from .redaction import described
from .session import is_lost, is_session, settings
from .statements import Statements
from .unawaited import Unawaited

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


async def apply(conn: Connection, version: str, migration: Migration) -> None:
    """Run a loaded migration and record it, as ``migration_runner.apply_migration`` describes.

    Where the connection is a runner's ``Session``, what the migration changed of it is undone; any other is its
    caller's, who looks after it.

    Arguments:
        conn: the connection.
        version: the text to record.
        migration: the loaded file.

    Raises:
        MigrationError: one of its subclasses says what is wrong, in which file, and what to do.
    """
    joined = bool(await settled(conn.is_in_transaction()))
    sent = Statements(conn)
    committing = False
    try:
        if not migration.transactional:
            await _run_outside(conn, version, migration, sent, joined=joined)
        own = not (joined and migration.transactional)
        async with await settled(conn.transaction()) if own else contextlib.nullcontext():
            if migration.transactional:
                if own and is_session(conn):
                    await conn.prepare_transaction()
                await _run_inside(conn, migration, sent)
            await _record(conn, version, migration)
            committing = True
    except asyncio.CancelledError as error:
        if committing:
            error.add_note(f"{migration.path.name} was committing: it is not known whether it is recorded.")
        raise
    except errors.MigrationError:
        raise
    except (Exception, SystemExit) as error:
        # That a broken connection cannot roll back is no news, and must not hide what broke it.
        told = [cause for cause in failure.causes(error) if isinstance(cause, errors.MigrationError)]
        if told and isinstance(error, CONNECTION_ERRORS):
            raise told[0] from told[0].__cause__
        if isinstance(error, asyncpg.InterfaceError) and "another operation is in progress" in str(error):
            if is_session(conn):
                # Nothing can be sent on it, ROLLBACK neither, until the statement that is running has ended.
                conn.terminate()
            line = failure.line_of(migration.path, error)
            text = failure.BUSY.format(outcome=failure.outcome(migration))
            raise errors.MigrationCodeError(text, file=migration.path, line=line) from error
        if isinstance(error, asyncpg.InFailedSQLTransactionError) and migration.transactional:
            # Only the consequence: the cause is the error before it, which up has caught.
            first = f"The first error was {described(sent.aborted_by)}\n" if sent.aborted_by is not None else ""
            raise errors.SwallowedErrorError(failure.SWALLOWED.format(first=first), file=migration.path) from error
        if await is_lost(conn, error):
            raise failure.connection_lost(error, migration.path) from error
        raise failure.up_failed(migration, error) from error


async def run_up(conn: Connection, migration: Migration) -> None:
    """Run ``up`` and nothing else, and end the tasks that it has left: they would go on in the next migration.

    Raises:
        MigrationCodeError: it has left some.
    """
    await migration.up(conn)
    if left := Unawaited.tasks_left(migration.path, conn):
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        text = failure.TASK_LEFT.format(outcome=failure.outcome(migration))
        raise errors.MigrationCodeError(text, file=migration.path)


async def _run_up(conn: Connection, migration: Migration, sent: Statements) -> None:
    """Run ``up``, and note what it sends.

    Raises:
        MigrationCodeError: it left a statement out, by making a coroutine and not awaiting it, or what it awaited was
            canceled, and nobody has canceled the runner; or its SQL is no Unicode text.
    """
    task = asyncio.current_task()
    cancelled_before = task.cancelling() if task else 0
    try:
        with Unawaited() as unawaited, sent:
            try:
                await run_up(conn, migration)
            finally:
                if not is_session(conn):
                    # asyncpg reports each statement when the event loop comes round.
                    await asyncio.sleep(0)
    except asyncio.CancelledError as error:
        if task and task.cancelling() > cancelled_before:
            raise
        raise failure.up_failed(migration, error) from error
    except UnicodeEncodeError as error:
        # asyncpg cannot roll back after it, and closes the connection, which would pass for the cause.
        raise failure.up_failed(migration, error) from error
    except asyncpg.LockNotAvailableError as error:
        if sent.limits_locks:
            error.add_note("could not lock a table within the limit that it sets itself")
        raise
    except BaseExceptionGroup as group:
        raise failure.first_cause(group) from group
    for warning in unawaited.found(migration.path):
        text = failure.NEVER_AWAITED.format(warning=warning.message, outcome=failure.outcome(migration))
        raise errors.MigrationCodeError(text, file=Path(warning.filename), line=warning.lineno)


async def _run_inside(conn: Connection, migration: Migration, sent: Statements) -> None:
    """Run ``up`` in the transaction that the connection is in, and see that it is still the same one."""
    try:
        await _run_up(conn, migration, sent)
    except (Exception, SystemExit) as error:
        going_on = await settled(conn.is_in_transaction()) and not sent.ends_transaction
        if isinstance(error, errors.MigrationError) or going_on or await is_lost(conn, error):
            raise
        raise failure.transaction_ended(migration, error) from error
    # Of COMMIT AND CHAIN, and of COMMIT and BEGIN together, the connection shows nothing.
    if sent.ends_transaction or not await settled(conn.is_in_transaction()):
        raise failure.transaction_ended(migration)
    await _tidy(conn, migration, sent)


async def _run_outside(conn: Connection, version: str, migration: Migration, sent: Statements, *, joined: bool) -> None:
    """Run ``up`` as the connection is, and see that it left the database in order."""
    old = await _invalid_indexes(conn)
    if is_session(conn) and not joined:
        # That it can be recorded is seen before anything of it is done that is kept.
        trial = conn.transaction()
        await trial.start()
        try:
            await _record(conn, version, migration)
        finally:
            await trial.rollback()
        # CREATE INDEX CONCURRENTLY keeps nobody waiting while it waits; a time-out would leave an invalid index. The
        # other settings are there already, unless a pooler has given the runner another session.
        await conn.execute(settings(lock_timeout=0))
    sent.look_for(old.values())
    try:
        await _run_up(conn, migration, sent)
    except (Exception, SystemExit) as error:
        if joined or isinstance(error, errors.MigrationError) or await is_lost(conn, error):
            raise
        if await settled(conn.is_in_transaction()):
            await conn.execute("ROLLBACK")
        in_the_way = sent.mentioned if isinstance(error, asyncpg.DuplicateTableError) else ()
        invalid = await _invalid_indexes(conn)
        left = [index for index, name in invalid.items() if index not in old or name in in_the_way]
        raise failure.up_failed(migration, error, left) from error
    finally:
        # A pooler hands the session to somebody else.
        sent.may_change_session = True
        if not joined and not await settled(conn.is_closed()) and not await settled(conn.is_in_transaction()):
            await _tidy(conn, migration, sent)
    if not joined and await settled(conn.is_in_transaction()):
        await conn.execute("ROLLBACK")
        raise errors.TransactionEndedError(failure.LEFT_OPEN, file=migration.path)
    invalid = await _invalid_indexes(conn)
    if left := [index for index in invalid if index not in old]:
        text = failure.INDEXES_LEFT.format(outcome=failure.outcome(migration, left))
        raise errors.InvalidIndexError(text, file=migration.path)
    if passed_over := [index for index, name in invalid.items() if name in sent.mentioned]:
        text = failure.INDEXES_PASSED_OVER.format(drops=failure.drops(passed_over))
        raise errors.InvalidIndexError(text, file=migration.path)
    if invalid:
        logger.warning(
            "the database has an invalid index, which no query uses, and which %s has nothing to do with: %s",
            migration.path.name,
            ", ".join(invalid),
        )


async def _tidy(conn: Connection, migration: Migration, sent: Statements) -> None:
    """Undo what a migration may have changed of a runner's session, and see that it has left the lock alone."""
    if is_session(conn):
        await conn.restore(settings_too=sent.may_change_session, names_too=sent.names_statements)
        if sent.may_change_session:
            await keep_lock(conn, migration.path)


async def _invalid_indexes(conn: Connection) -> dict[str, str]:
    """Return the invalid indexes: how SQL names each, and its name without a schema."""
    # In a transaction, within which a pooler does not change the session.
    async with await settled(conn.transaction()):
        return {row["name"]: row["relname"] for row in await conn.fetch(_INVALID_INDEXES)}


async def _record(conn: Connection, version: str, migration: Migration) -> None:
    try:
        await mark_migration_applied(conn, version)
    except errors.MigrationError as error:
        error.file = migration.path
        raise
    except asyncpg.PostgresError as error:
        if isinstance(error, asyncpg.InFailedSQLTransactionError) or await is_lost(conn, error):
            raise
        raise failure.history_failed(error, migration.path) from error

"""What a failed migration says: the text of each error, and what an exception means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import asyncpg

from .. import errors
from .files import Migration, describe, line_in
from .redaction import described, public_message, public_sql, query_of, shown_sql

_UNDONE = "Nothing of this migration is kept, and it is not recorded."

# What is wrong with an up, beside the errors that come out of it.
BUSY = (
    "up sent a statement while another one was still running.\n"
    "A connection runs one statement at a time: await each of them, and start none with gather, create_task or a"
    " TaskGroup.\n{outcome}"
)
NEVER_AWAITED = "{warning}, so what it was to do has not been done.\nWrite await before the call.\n{outcome}"
TASK_LEFT = "up started a task and returned before it had ended.\nAwait what create_task or gather returns.\n{outcome}"
SWALLOWED = (
    "a statement failed, and up went on as if it had not.\n{first}"
    "PostgreSQL commits nothing of a transaction after an error. Let the error out of up, or put the statement that"
    " may fail into async with conn.transaction(), which makes a savepoint.\n"
    f"{_UNDONE}"
)
LEFT_OPEN = (
    "up began a transaction and left it open; it has been rolled back.\n"
    "The migration is not recorded. End each BEGIN in it with COMMIT, or use async with conn.transaction()."
)
INDEXES_LEFT = "up left an invalid index.\n{outcome}"
INDEXES_PASSED_OVER = (
    "an earlier CREATE INDEX CONCURRENTLY failed, and IF NOT EXISTS passes over what it left.\n"
    "PostgreSQL reads no invalid index, though it may still keep it up to date. The migration is not recorded."
    " Remove the index, then start again:{drops}"
)
# And what comes between, which is no fault of it.
TABLE_LOCKED = (
    "could not lock a table in {tries} tries.\nIn its way: {blocker}\n"
    "Let that transaction end, or end its session with SELECT pg_terminate_backend(the process's number);"
    f" then start again.\n{_UNDONE}"
)
LOCK_LOST = (
    "the migration lock is no longer this runner's, and another runner may be at work.\n"
    "The connection that held it has ended (a pooler or the server closed it), or the migration released it. This"
    " migration is not recorded. Start again: what is recorded is not run again."
)

# What to do about an error, by its SQLSTATE.
_REMEDIES = {
    "25001": "Let it run outside a transaction: set transactional = False in its file, and put nothing else there.",
    "25006": "The server is read-only: a standby, perhaps. Let DATABASE_URL name the primary.",
    "26000": "A pooler in transaction mode sends each half of a prepared statement to another session. Start with a"
    " DATABASE_URL that names the server itself.",
    "40001": "Another session changed the same rows in each try. Start again when it has ended.",
    "40P01": "Two sessions waited for each other, and PostgreSQL ended this one. Start again.",
    "42501": "Grant the role of DATABASE_URL that right, or start once with the owner.",
    "53100": "The server's disk is full. Make room on it, and start again.",
    "57014": "Either statement_timeout ran out, which SET statement_timeout = 0 in the migration lifts,"
    " or somebody canceled the statement. Start again.",
}
# The same about the table schema_migrations.
_HISTORY_REMEDIES = {
    "23505": "The runner records a migration itself: take the INSERT out of it.",
    "25006": _REMEDIES["25006"],
    "42501": "Grant the role of DATABASE_URL the right to do so, or start once with the owner of the database.",
    "42703": "Another tool made it, or somebody changed it. Leave that tool its table, and give this backend a"
    " database or a schema of its own.",
    "42P01": "A migration that sets search_path for the session hides the table: use SET LOCAL search_path.",
}


def connection_lost(error: BaseException, path: Path | None = None) -> errors.MigrationError:
    """Return the error for a connection that broke, or that a pooler took away."""
    if "query_wait_timeout" in str(error):
        return errors.DatabaseUnavailableError(
            "the pooler had no connection to the server for this runner within its query_wait_timeout.\n"
            "The runner that migrates takes two, and each that waits takes one now and then. Raise the pooler's"
            " pool_size to the number of runners plus one, or let DATABASE_URL name the server itself.",
            file=path,
        )
    # asyncpg's complaint may hide what PostgreSQL said when it ended the connection.
    told = next((cause for cause in causes(error) if isinstance(cause, asyncpg.PostgresError)), error)
    return errors.ConnectionLostError(
        "the connection to the database broke.\n"
        "A migration that was being applied is not recorded, unless it was committing at that moment."
        " Start again when the server is back: what is recorded is not run again.\n"
        f"({describe(told)})",
        file=path,
    )


def first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the exception of a group that says most: an error of PostgreSQL's, or else the first."""
    leaves = [first_cause(error) if isinstance(error, BaseExceptionGroup) else error for error in group.exceptions]
    consequences = (asyncpg.InFailedSQLTransactionError, asyncpg.InterfaceError)
    return min(leaves, key=lambda leaf: (isinstance(leaf, consequences), not isinstance(leaf, asyncpg.PostgresError)))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and what it is the consequence of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def line_of(path: Path, error: BaseException) -> int | None:
    """Return the line of a file that an error or one of its causes passed through."""
    lines = (line_in(path, cause.__traceback__) for cause in causes(error))
    return next(filter(None, lines), None)


def _remedy(migration: Migration, error: asyncpg.PostgresError) -> str | None:
    # By the name of PostgreSQL's own function, which is in no other language, unlike the text.
    if error.sqlstate == "25001" and getattr(error, "server_source_function", None) != "PreventInTransactionBlock":
        return "SET TRANSACTION comes before every other statement of up, or in a transaction of its own making."
    if error.sqlstate == "25001" and not migration.transactional:
        return "Several statements in one string are one transaction. Send each with a conn.execute of its own."
    if error.sqlstate == "08P01" and "\0" in query_of(error):
        return "Its text holds a NUL character, which PostgreSQL takes for its end. Take it out."
    return _REMEDIES.get(error.sqlstate or "")


def up_failed(migration: Migration, error: BaseException, left: Sequence[str] = ()) -> errors.MigrationError:
    """Return the error for an exception that came out of ``up`` or of the COMMIT after it.

    Arguments:
        migration: the migration that failed.
        error: what it raised.
        left: the invalid indexes that it left behind.
    """
    kept = outcome(migration, left)
    line = line_of(migration.path, error)
    failed: errors.MigrationError
    if isinstance(error, asyncpg.PostgresError):
        labeled = {
            "Detail": error.detail,
            "Hint": error.hint,
            "Context": public_sql(error.context or ""),
            "SQL": shown_sql(error),
            "SQLSTATE": error.sqlstate,
        }
        text = [
            public_message(str(error.args[0]), query_of(error)),
            *(f"    {label}: {text}".replace("\n", "\n        ") for label, text in labeled.items() if text),
            kept,
            *filter(None, [_remedy(migration, error)]),
        ]
        failed = errors.MigrationSqlError(
            "\n".join(text),
            file=migration.path,
            line=line,
            sqlstate=error.sqlstate or "",
            detail=error.detail,
            hint=error.hint,
        )
    else:
        failed = errors.MigrationCodeError(f"up raised {describe(error)}\n{kept}", file=migration.path, line=line)
    failed.undone = migration.transactional
    return failed


def outcome(migration: Migration, left: Sequence[str] = ()) -> str:
    """Say what is kept of a migration that failed, and how to remove the invalid indexes that it left."""
    if migration.transactional:
        return _UNDONE
    text = "It runs outside a transaction: what it did before this is kept, and it is not recorded."
    remedy = "\nIt left an index behind that PostgreSQL marks as invalid. Remove it before the next start:"
    return f"{text}{remedy}{drops(left)}" if left else text


def drops(indexes: Iterable[str]) -> str:
    """Return the statements that remove indexes."""
    return "".join(f"\n    DROP INDEX CONCURRENTLY {index};" for index in indexes)


def transaction_ended(migration: Migration, error: BaseException | None = None) -> errors.TransactionEndedError:
    """Return the error for an ``up`` that committed or rolled back the runner's transaction, and failed perhaps."""
    failed = f"Then it raised {described(error)}\n" if error is not None else ""
    return errors.TransactionEndedError(
        f"up ended the transaction that it runs in.\n{failed}"
        "What it committed is kept, and it is not recorded: make the file safe to run again, and take the COMMIT or"
        " ROLLBACK out of its SQL, or set transactional = False in it.",
        file=migration.path,
    )


def history_failed(error: BaseException, path: Path | None = None) -> errors.HistoryError:
    """Return the error for a ``schema_migrations`` that cannot be created, read or written."""
    problem = f"the table schema_migrations cannot be used: {str(error).splitlines()[0]}"
    remedy = _HISTORY_REMEDIES.get(getattr(error, "sqlstate", None) or "")
    return errors.HistoryError("\n".join(filter(None, [problem, remedy])), file=path)

"""The migration runner: applies the migrations that a database has not had yet, in order, each once.

A migration is a file ``NNN_description.py`` with ``async def up(conn)``. It and its row in ``schema_migrations`` are
one transaction. A file that sets ``transactional = False`` runs outside a transaction and is recorded after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from . import migration_failure as failure
from .connection import connect
from .errors import DatabaseUnavailableError, MigrationError, MigrationSqlError
from .migration_file import MIGRATIONS_DIRECTORY, Migration, Source, get_migration_files, loaded, version_order
from .migration_lock import blockers, jittered, one_runner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from .connection import Connection

__all__ = [
    "MIGRATIONS_DIRECTORY",
    "apply_migration",
    "ensure_migrations_table",
    "get_applied_migrations",
    "get_migration_files",
    "mark_migration_applied",
    "run_migrations",
]

T = TypeVar("T")

logger = logging.getLogger(__name__)

# A statement that waits for a table lock makes every later reader of the table wait behind it. It gives up after this
# many milliseconds, its transaction is rolled back, and the readers go on during the pause before the next try.
LOCK_TIMEOUT = 500
# Together, tries and pauses outlast a transaction of half a minute.
LOCK_TRIES = 12
FIRST_LOCK_PAUSE = 0.5
LAST_LOCK_PAUSE = 4.0

_LOCK_NOT_AVAILABLE = "55P03"

# A server learns that its client was killed only when it looks; without this it would finish the statement first, and
# keep the lock as long. Some systems cannot look: there PostgreSQL refuses the setting, and it stays as it is.
_SETTINGS = f"""
    SET lock_timeout = {LOCK_TIMEOUT};
    DO $$ BEGIN
        PERFORM set_config('client_connection_check_interval', '1000', false);
    EXCEPTION WHEN invalid_parameter_value THEN
        NULL;
    END $$;
"""

# Indexes that a failed CREATE INDEX CONCURRENTLY left, and not those that another session is building at present, nor
# those of partitioned tables (relkind I), which are invalid until each partition has its own.
_INVALID_INDEXES = """
    SELECT indexrelid::regclass::text AS name, relname
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE NOT indisvalid AND relkind = 'i'
        AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE index_relid = indexrelid)
    ORDER BY 1
"""


async def ensure_migrations_table(conn: Connection) -> None:
    """Create the table ``schema_migrations`` if the database has none."""
    await conn.execute("""
        CREATE TABLE IF NOT EXISTS schema_migrations (
            version TEXT PRIMARY KEY,
            applied_at TIMESTAMPTZ DEFAULT NOW()
        )
    """)


async def get_applied_migrations(conn: Connection) -> list[str]:
    """Return the versions that are recorded as applied, in ascending order of their numbers."""
    rows = await conn.fetch("SELECT version FROM schema_migrations")
    return sorted((row["version"] for row in rows), key=version_order)


async def mark_migration_applied(conn: Connection, version: str) -> None:
    """Record a version as applied."""
    await conn.execute("INSERT INTO schema_migrations (version) VALUES ($1)", version)


async def apply_migration(conn: Connection, version: str, filepath: Path) -> None:
    """Load a migration, run its ``up(conn)`` and record its version.

    Both happen in one transaction: the one that the connection is already in, or else a new one. A migration with
    ``transactional = False`` is run as the connection is, without the connection's ``lock_timeout``, and recorded only
    if it leaves no invalid index.

    Arguments:
        conn: an asyncpg connection, or anything that behaves like one.
        version: the text to record.
        filepath: the migration file.

    Raises:
        MigrationError: one of its subclasses says what is wrong, in which file, and what to do.
    """
    with loaded(filepath) as migration:
        await _apply(conn, version, migration)


async def run_migrations(database_url: str, *, directory: str | os.PathLike[str] = MIGRATIONS_DIRECTORY) -> list[str]:
    """Apply the pending migrations of a directory to a database, in the order of their numbers.

    Any number of processes may call this at once: one applies the migrations, and the others wait for it. Where
    nothing is pending, no lock is taken and nobody waits.

    Arguments:
        database_url: ``postgresql://user:password@host:port/database``. Behind PgBouncer it has to be a pool in session
            mode, because the lock belongs to the session.
        directory: where the migration files are.

    Returns:
        The versions that this call applied.

    Raises:
        MigrationError: one of its subclasses says what is wrong, in which file, and what to do. Migrations before that
            file stay applied.
    """
    files = get_migration_files(directory)
    conn = await connect(database_url)
    try:
        applied = await _history(conn)
        if applied is not None:
            _warn_of_unknown(applied, files)
            if not _pending(applied, files):
                return []
        await conn.execute(_SETTINGS)
        async with one_runner(conn):
            return await _apply_pending(conn, database_url, files)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        if conn.is_closed() or failure.is_lost(error):
            raise failure.connection_lost(error) from error
        raise failure.history_failed(error) from error
    finally:
        await conn.close()


async def _history(conn: Connection) -> list[str] | None:
    """Return the applied versions, or None where the table is not there yet."""
    try:
        return await get_applied_migrations(conn)
    except asyncpg.UndefinedTableError:
        return None


def _pending(applied: Sequence[str], files: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    known = set(applied)
    return [(version, path) for version, path in files if version not in known]


def _warn_of_unknown(applied: Sequence[str], files: Sequence[tuple[str, Path]]) -> None:
    unknown = set(applied).difference(version for version, _ in files)
    if unknown:
        logger.warning(
            "the database has had migrations that this code has no file for: %s; is the code older than the database?",
            ", ".join(sorted(unknown, key=version_order)),
        )


async def _apply_pending(
    conn: asyncpg.Connection[asyncpg.Record], database_url: str, files: Sequence[tuple[str, Path]]
) -> list[str]:
    # Read again: another runner may have applied them before this one got the lock.
    applied = await _history(conn)
    if applied is None:
        # Not created where it is there: that asks for a right on the schema that a taken-over role may not have.
        await ensure_migrations_table(conn)
        applied = []
    newest = max((int(version) for version in applied if version.isdecimal()), default=-1)
    done: list[str] = []
    pending = _pending(applied, files)
    ahead: dict[Path, Source] = {}
    loop = asyncio.get_running_loop()
    for number, (version, path) in enumerate(pending):
        if int(version) < newest:
            logger.warning("%s is applied after the newer migration %03d", path.name, newest)
        started = time.monotonic()
        with loaded(path, ahead.pop(path, None)) as migration:
            for _, following in pending[number + 1 : number + 2]:
                loop.call_soon(_read_ahead, following, ahead)
            await _apply_with_retries(conn, database_url, version, migration)
        logger.info("applied %s in %.0f ms", path.name, 1000 * (time.monotonic() - started))
        done.append(version)
    return done


def _read_ahead(path: Path, sources: dict[Path, Source]) -> None:
    """Read a migration while PostgreSQL works; a file that cannot be read is reported when its turn comes."""
    with contextlib.suppress(MigrationError):
        sources[path] = Source(path)


async def _apply_with_retries(
    conn: asyncpg.Connection[asyncpg.Record], database_url: str, version: str, migration: Migration
) -> None:
    """Apply a migration, again and again while it cannot get a table lock."""
    if not migration.transactional:
        # CREATE INDEX CONCURRENTLY keeps nobody waiting while it waits, and a time-out would leave an invalid index.
        await conn.execute("SET lock_timeout = 0")
        await _apply(conn, version, migration)
        await conn.execute(f"SET lock_timeout = {LOCK_TIMEOUT}")
        return
    pause = FIRST_LOCK_PAUSE
    seen: list[str] = []
    for attempt in range(1, LOCK_TRIES + 1):
        try:
            # The first try is not watched: that costs a connection, and the first try seldom fails.
            async with _watched(conn, database_url, seen) if attempt > 1 else contextlib.nullcontext():
                await _apply(conn, version, migration)
            return
        except MigrationSqlError as error:
            if error.sqlstate != _LOCK_NOT_AVAILABLE:
                raise
            blocker = seen[-1] if seen else "another session"
            if attempt == LOCK_TRIES:
                raise failure.lock_timeout(migration, error, LOCK_TRIES, blocker) from error
            wait = jittered(pause)
            logger.warning(
                "%s could not lock a table within %d ms (try %d of %d), and tries again in %.1f s; in its way: %s",
                migration.path.name,
                LOCK_TIMEOUT,
                attempt,
                LOCK_TRIES,
                wait,
                blocker,
            )
        await asyncio.sleep(wait)
        pause = min(2 * pause, LAST_LOCK_PAUSE)


@contextlib.asynccontextmanager
async def _watched(conn: asyncpg.Connection[asyncpg.Record], database_url: str, seen: list[str]) -> AsyncIterator[None]:
    """Note in a list what the connection is found waiting for, seen from a second connection."""
    pid = await conn.fetchval("SELECT pg_backend_pid()")
    task = asyncio.create_task(_watch(database_url, pid, seen))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _watch(database_url: str, pid: int, seen: list[str]) -> None:
    # A server with no connection to spare must not fail the migration.
    with contextlib.suppress(DatabaseUnavailableError):
        observer = await connect(database_url, application_name="plantops-migrations-observer")
        try:
            while True:
                seen.extend(filter(None, [await blockers(observer, pid)]))
                await asyncio.sleep(LOCK_TIMEOUT / 1000 / 4)
        finally:
            observer.terminate()


async def _apply(conn: Connection, version: str, migration: Migration) -> None:
    joined = bool(await _settled(conn.is_in_transaction()))
    try:
        if not migration.transactional:
            await _apply_outside(conn, version, migration, joined=joined)
        elif joined:
            await _apply_inside(conn, version, migration)
        else:
            async with await _settled(conn.transaction()):
                await _apply_inside(conn, version, migration)
    except MigrationError:
        raise
    except (Exception, SystemExit) as error:
        if await _is_lost(conn, error):
            raise failure.connection_lost(error, migration.path) from error
        raise failure.up_failed(migration, error) from error


async def _apply_inside(conn: Connection, version: str, migration: Migration) -> None:
    """Run ``up`` and record it in the transaction that the connection is in."""
    # COMMIT AND CHAIN, and COMMIT and BEGIN together, show in nothing but the number of the transaction.
    number = await _transaction_number(conn) if migration.may_end_transaction else None
    with _Statements.of(conn) as statements:
        try:
            await migration.up(conn)
        except (Exception, SystemExit) as error:
            if await _settled(conn.is_in_transaction()) or await _is_lost(conn, error):
                raise
            raise failure.transaction_ended(migration, error) from error
    if not await _settled(conn.is_in_transaction()):
        raise failure.transaction_ended(migration)
    try:
        if number is not None and await _transaction_number(conn) != number:
            raise failure.transaction_ended(migration)
        await _record(conn, version, migration)
    except asyncpg.InFailedSQLTransactionError as error:
        raise failure.error_swallowed(migration, statements.aborted_by) from error


async def _apply_outside(conn: Connection, version: str, migration: Migration, *, joined: bool) -> None:
    """Run ``up`` as the connection is, and record it if it left the database in order."""
    before = await conn.fetch(_INVALID_INDEXES)
    old = {row["name"] for row in before}
    with _Statements.of(conn) as statements:
        try:
            await migration.up(conn)
        except (Exception, SystemExit) as error:
            if joined or await _is_lost(conn, error):
                raise
            if await _settled(conn.is_in_transaction()):
                await conn.execute("ROLLBACK")
            left = [row["name"] for row in await conn.fetch(_INVALID_INDEXES) if row["name"] not in old]
            raise failure.up_failed(migration, error, left) from error
    if not joined and await _settled(conn.is_in_transaction()):
        await conn.execute("ROLLBACK")
        raise failure.transaction_left_open(migration)
    invalid = await conn.fetch(_INVALID_INDEXES)
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
    await _record(conn, version, migration)


async def _record(conn: Connection, version: str, migration: Migration) -> None:
    try:
        await mark_migration_applied(conn, version)
    except asyncpg.InFailedSQLTransactionError:
        raise
    except asyncpg.PostgresError as error:
        if failure.is_lost(error):
            raise
        raise failure.history_failed(error, migration.path) from error


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
    def of(cls, conn: Connection) -> _Statements:
        """Return the statements of a connection; one that is not asyncpg's reports none."""
        return cls(conn if isinstance(conn, asyncpg.Connection | asyncpg.pool.PoolConnectionProxy) else None)

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

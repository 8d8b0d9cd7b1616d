"""What people reported of runners, and what this one answers: the true cause, and what to do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from src.db import errors
from src.db.commands import interruption
from src.db.commands.interruption import Interrupted, run_until_signalled
from src.db.migration_runner import get_applied_migrations, run_migrations
from src.db.runner import lock, retries, session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Write = Callable[[str, str], Path]


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    conn = await asyncpg.connect(database_url)
    yield conn
    await conn.close()


def up(body: str, before: str = "") -> str:
    return f"import asyncio\n{before}\nasync def up(conn):\n    {body}\n"


OUTSIDE = "transactional = False"
GATHER = "await asyncio.gather(conn.execute('SELECT pg_sleep(0.1)'), conn.execute('SELECT 2'))"
TASKS = "async with asyncio.TaskGroup() as tasks: tasks.create_task(conn.execute('SELECT 1 / 0'))"
CANCELLED = "task = asyncio.create_task(asyncio.sleep(1)); task.cancel(); await task"
LATE_SET = "await conn.execute('SELECT 1'); await conn.execute('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE')"
TWICE = "await conn.execute('CREATE INDEX CONCURRENTLY a ON t (a); CREATE INDEX CONCURRENTLY b ON t (a)')"


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        (up("await conn.execute('SELECT 1; -- \\0')"), 4, ["invalid message format", "holds a NUL character"]),
        (up("await conn.execute('SELECT 1; -- \\ud800')"), 4, ["up raised UnicodeEncodeError", "Nothing of this"]),
        (up("await conn.execute('SELECT pg_sleep(9)', timeout=0.1)"), 4, ["up raised TimeoutError"]),
        (up(TWICE, OUTSIDE), 4, ["cannot run inside a transaction block", "Send each with a conn.execute of its own"]),
        (up(LATE_SET), 4, ["must be called before any query", "SET TRANSACTION comes before every other statement"]),
        (up(GATHER), 4, ["while another one was still running", "Nothing of this migration is kept"]),
        (up(GATHER, OUTSIDE), 4, ["while another one was still running", "It runs outside a transaction"]),
        (up("up.task = asyncio.create_task(conn.execute('SELECT pg_sleep(0.1)')); await asyncio.sleep(0)"), None, [
            "up started a task and returned before it had ended",
        ]),
        (up(TASKS), 4, ["division by zero", "SELECT 1 / 0"]),
        (up(CANCELLED), 4, ["up raised CancelledError"]),
    ],
)  # fmt: skip
async def test_the_cause_is_told(  # noqa: PLR0913, PLR0917 - fixtures
    database_url: str, write: Write, tmp_path: Path, text: str, line: int | None, parts: list[str]
) -> None:
    conn = await asyncpg.connect(database_url)
    await conn.execute("CREATE TABLE t (a int)")
    write("001_a.py", text)
    with pytest.raises(errors.MigrationError) as caught:
        await run_migrations(database_url, directory=tmp_path)
    assert caught.value.line == line
    assert [part for part in parts if part not in str(caught.value)] == []
    assert await get_applied_migrations(conn) == []
    await conn.close()


async def test_a_statement_that_is_too_long(
    database_url: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LONGEST_SQL", 5000)
    write("001_a.py", up("await conn.execute('SELECT ' + 5000 * ' ' + '1')"))
    with pytest.raises(errors.MigrationCodeError, match=r"001_a\.py, line 4: .* longer than 1 GB"):
        await run_migrations(database_url, directory=tmp_path)


async def test_an_invalid_index_is_in_the_way(
    database_url: str, conn: asyncpg.Connection[asyncpg.Record], write: Write, tmp_path: Path
) -> None:
    await conn.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)")
    with pytest.raises(asyncpg.UniqueViolationError):
        await conn.execute("CREATE UNIQUE INDEX CONCURRENTLY doubled ON t (a)")
    write("001_a.py", up("await conn.execute('CREATE INDEX CONCURRENTLY doubled ON t (a)')", OUTSIDE))
    with pytest.raises(errors.MigrationSqlError, match=r"already exists[\S\s]*DROP INDEX CONCURRENTLY doubled;"):
        await run_migrations(database_url, directory=tmp_path)


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        ("version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL", "golang-migrate"),
        ("version text PRIMARY KEY", "no column applied_at, so another tool made it"),
        ("id text", 'column "version" does not exist\nAnother tool made it'),
    ],
)
async def test_the_table_of_another_tool(  # noqa: PLR0913, PLR0917 - fixtures
    database_url: str,
    conn: asyncpg.Connection[asyncpg.Record],
    write: Write,
    tmp_path: Path,
    columns: str,
    parts: str,
) -> None:
    await conn.execute(f"CREATE TABLE schema_migrations ({columns})")
    with contextlib.suppress(asyncpg.PostgresError):
        await conn.execute("INSERT INTO schema_migrations VALUES (3, false)")
    write("001_a.py", "SELECT 1")
    with pytest.raises(errors.HistoryError) as caught:
        await run_migrations(database_url, directory=tmp_path)
    assert parts in str(caught.value)


async def test_a_record_that_would_be_swallowed_is_noticed_before_anything_is_kept(
    migrated_url: str, write: Write, tmp_path: Path
) -> None:
    conn = await asyncpg.connect(migrated_url)
    await conn.execute("CREATE RULE none AS ON INSERT TO schema_migrations DO INSTEAD NOTHING")
    write("007_a.py", up("await conn.execute('CREATE TABLE a ()')", OUTSIDE))
    with pytest.raises(errors.HistoryError, match=r"007_a\.py: .* wrote no row for 007"):
        await run_migrations(migrated_url, directory=tmp_path)
    assert await conn.fetchval("SELECT to_regclass('a')") is None
    await conn.close()


async def test_a_limit_of_its_own_is_not_told_as_the_runners(
    migrated_url: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retries, "LOCK_TRIES", 2)
    monkeypatch.setattr(retries, "FIRST_LOCK_PAUSE", 0.01)
    write("007_a.py", "LOCK TABLE plants NOWAIT")
    conn = await asyncpg.connect(migrated_url)
    async with conn.transaction():
        await conn.execute("LOCK TABLE plants")
        with caplog.at_level(logging.WARNING), pytest.raises(errors.LockTimeoutError):
            await run_migrations(migrated_url, directory=tmp_path)
    assert "007_a.py could not lock a table within the limit that it sets itself (try 1 of 2)" in caplog.text
    await conn.close()


async def test_changes_that_collide_in_each_try_are_told_as_that(
    database_url: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "LOCK_TRIES", 2)
    monkeypatch.setattr(retries, "FIRST_LOCK_PAUSE", 0.01)
    write("001_a.py", "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'collided'; END $$")
    with pytest.raises(errors.MigrationSqlError, match=r"collided[\S\s]*Another session changed the same rows"):
        await run_migrations(database_url, directory=tmp_path)


# Modules that migrations share.


async def test_a_migration_imports_what_is_beside_it(database_url: str, write: Write, tmp_path: Path) -> None:
    write("_more.py", "NAME = 'shared'\n")
    write(
        "_helpers.py",
        "from ._more import NAME\n\nasync def make(conn):\n    await conn.execute(f'CREATE TABLE {NAME} ()')\n",
    )
    write("001_a.py", "from ._helpers import make as up\n")
    write(
        "002_b.py", "async def up(conn):\n    from ._more import NAME\n    await conn.execute(f'DROP TABLE {NAME}')\n"
    )
    assert await run_migrations(database_url, directory=tmp_path) == ["001", "002"]
    assert [name for name in sys.modules if name.startswith("<migration")] == []


async def test_a_statement_that_a_shared_module_does_not_await(database_url: str, write: Write, tmp_path: Path) -> None:
    write("_helpers.py", "def make(conn):\n    conn.execute('CREATE TABLE a ()')\n")
    write("001_a.py", "from ._helpers import make\n\nasync def up(conn):\n    make(conn)\n")
    with pytest.raises(errors.MigrationCodeError, match=r"_helpers\.py, line 2: .* was never awaited"):
        await run_migrations(database_url, directory=tmp_path)


# Signals.


async def test_a_signal_while_a_record_is_committed(migrated_url: str, write: Write, tmp_path: Path) -> None:
    """A deferred trigger makes COMMIT wait, as a synchronous standby that is away does."""
    conn = await asyncpg.connect(migrated_url)
    write(
        "007_a.py",
        "CREATE TABLE a (); CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';"
        " CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON schema_migrations DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    task = asyncio.create_task(run_migrations(migrated_url, directory=tmp_path))
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    while not await conn.fetchval(asked):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.__notes__ == ["007_a.py was committing: it is not known whether it is recorded."]
    await conn.close()


def test_what_a_task_has_noted_is_told() -> None:
    async def committing() -> None:
        signal.raise_signal(signal.SIGTERM)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            error.add_note("It is not known.")
            raise

    with pytest.raises(Interrupted, match=r"^ended by SIGTERM\. It is not known\. Start again"):
        run_until_signalled(committing())


def test_a_signal_ends_a_command_whose_server_does_not_answer(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    """A proxy swallows everything from the moment of the signal on."""
    monkeypatch.setattr(interruption, "PATIENCE", 0.2)
    monkeypatch.setattr(session, "FAREWELL", 0.2)
    write("001_a.py", "SELECT pg_sleep(60)")

    async def run() -> None:
        deaf = asyncio.Event()

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer):
                while data := await reader.read(65536):
                    if not deaf.is_set():
                        writer.write(data)

        carried: list[asyncio.Task[None]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            database = await connection_of(database_url)
            carried.extend(asyncio.create_task(carry(*pair)) for pair in ((reader, database[1]), (database[0], writer)))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        name = database_url.partition("?")[0].rpartition("/")[2]
        user = database_url.partition("//")[2].partition("@")[0]

        async def signal_later() -> None:
            conn = await asyncpg.connect(database_url)
            asked = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
            )
            while not await conn.fetchval(asked):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            deaf.set()
            signal.raise_signal(signal.SIGTERM)
            await conn.close()

        later = asyncio.create_task(signal_later())
        try:
            await run_migrations(f"postgresql://{user}@127.0.0.1:{port}/{name}?sslmode=disable", directory=tmp_path)
        finally:
            await later
            for task in carried:
                task.cancel()
            server.close()
            await asyncio.wait(carried)

    with pytest.raises(Interrupted, match=r"The server does not answer: .* unless it was committing"):
        run_until_signalled(run())


async def connection_of(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a socket to the server of a URL."""
    parts = urlsplit(url)
    host = parse_qs(parts.query).get("host", [parts.hostname or "127.0.0.1"])[0]
    if host.startswith("/"):
        port = parse_qs(parts.query).get("port", ["5432"])[0]
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, parts.port or 5432)


async def test_the_holder_of_the_lock_may_have_just_ended(
    conn: asyncpg.Connection[asyncpg.Record], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "REPORT_AFTER", 0)
    await lock.Queue().report(conn)
    assert caplog.messages == ["waiting for the migration lock, held by a session that has just ended"]

"""The runner behind a pooler, told so: what it does then, it does on a connection to the server itself as well.

PgBouncer itself is in test_pgbouncer.py, where it is installed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from src.db import connection
from src.db.commands.command_line import Refusal
from src.db.connection import connect, is_pooled
from src.db.errors import ConnectionLostError, DatabaseUnavailableError, LockTimeoutError, MigrationSqlError
from src.db.migration_runner import apply_migration, get_applied_migrations, run_migrations
from src.db.rehearsal import execution
from src.db.runner import failures, lock, retries, session
from src.db.runner.lock import LOCK_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE = 60


@pytest.fixture(autouse=True)
def pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runner take every connection for that of a pooler."""

    async def yes(_: object) -> bool:
        return True

    for module in (connection, session, execution):
        monkeypatch.setattr(module, "is_pooled", yes)


async def test_a_server_is_no_pooler(database_url: str) -> None:
    conn = await connect(database_url)
    assert not await is_pooled(conn)
    await conn.close()


async def test_several_at_once(database_url: str, write: Callable[[str, str], Path], tmp_path: Path) -> None:
    write("001_audit.py", "CREATE TABLE audit (version text)")
    for number in range(2, 7):
        row = "SELECT pg_sleep(0.03); INSERT INTO audit VALUES ('NNN')"
        write(f"{number:03d}_row.py", row.replace("NNN", f"{number:03d}"))
    outside = """
        transactional = False

        async def up(conn):
            await conn.execute("INSERT INTO audit VALUES ('NNN'); SELECT pg_sleep(0.1)")
            await conn.execute("CREATE INDEX CONCURRENTLY iNNN ON audit (version)")
    """
    for number in (7, 8):
        write(f"{number:03d}_index.py", outside.replace("NNN", f"{number:03d}"))
    runs = await asyncio.wait_for(
        asyncio.gather(*(run_migrations(database_url, directory=tmp_path) for _ in range(6))), PATIENCE
    )
    versions = [f"{number:03d}" for number in range(1, 9)]
    assert sorted(version for applied in runs for version in applied) == versions
    conn = await asyncpg.connect(database_url)
    assert [row["version"] for row in await conn.fetch("SELECT version FROM audit ORDER BY 1")] == versions[1:]
    assert await get_applied_migrations(conn) == versions
    # Those of the other tests on this server are in other databases.
    locks = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE datname = current_database()"
    assert await conn.fetchval(f"{locks} AND locktype = 'advisory'") == 0
    await conn.close()
    assert await run_migrations(database_url, directory=tmp_path) == []


@pytest.fixture
def reported_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "REPORT_AFTER", 0.05)


@pytest.mark.usefixtures("reported_soon")
async def test_it_waits_for_a_runner_without_a_pooler(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write("001_x.py", "SELECT 1")
    holder = await asyncpg.connect(database_url, server_settings={"application_name": "direct"})
    await holder.execute(f"SELECT pg_advisory_lock({LOCK_KEY})")
    running = asyncio.create_task(run_migrations(database_url, directory=tmp_path))
    async with asyncio.timeout(PATIENCE):
        while "waiting for the migration lock" not in caplog.text:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.02)
    assert "(direct)" in caplog.text
    assert not running.done()
    await holder.close()
    assert await asyncio.wait_for(running, PATIENCE) == ["001"]


async def test_it_sees_who_is_in_its_way(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "LOCK_TRIES", 2)
    monkeypatch.setattr(retries, "FIRST_LOCK_PAUSE", 0.1)
    write("007_x.py", "ALTER TABLE plants ADD COLUMN x text")
    # A pooler gives its clients numbers of its own.
    monkeypatch.setattr(asyncpg.Connection, "get_server_pid", lambda _: 0)
    holder = await asyncpg.connect(migrated_url, server_settings={"application_name": "report"})
    async with holder.transaction():
        await holder.execute("LOCK TABLE plants IN ACCESS SHARE MODE")
        with pytest.raises(LockTimeoutError, match=r"In its way: process \d+ \(report\)"):
            await run_migrations(migrated_url, directory=tmp_path)
    await holder.close()


@pytest.mark.parametrize("transactional", [True, False])
async def test_a_failure_and_the_session_after_it(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path, *, transactional: bool
) -> None:
    body = (
        f"transactional = {transactional}\n\n"
        "async def up(conn):\n    await conn.execute('CREATE SCHEMA IF NOT EXISTS s; SET search_path = s')\n"
    )
    write("001_x.py", body + "    await conn.execute('SELECT 1 / 0')\n")
    with pytest.raises(MigrationSqlError, match="division by zero"):
        await run_migrations(database_url, directory=tmp_path)
    write("001_x.py", body)
    write("002_y.py", "CREATE TABLE y ()")
    assert await run_migrations(database_url, directory=tmp_path) == ["001", "002"]
    conn = await asyncpg.connect(database_url)
    assert await conn.fetchval("SELECT to_regclass('public.y') IS NOT NULL")
    await conn.close()


async def test_the_session_of_a_caller_is_the_callers(migrated_url: str, write: Callable[[str, str], Path]) -> None:
    path = write(
        "007_x.py",
        """
        transactional = False

        async def up(conn):
            await conn.execute("SET work_mem = '1MB'")
        """,
    )
    conn = await asyncpg.connect(migrated_url)
    await apply_migration(conn, "007", path)
    assert await conn.fetchval("SHOW work_mem") == "1MB"
    await conn.close()


async def test_the_backends_pool_prepares_nothing_for_later(database_url: str) -> None:
    async with await connection.create_pool(database_url, min_size=1) as pool, pool.acquire() as conn:
        assert await conn.fetchval("SELECT 'here'") == "here"
        assert await conn.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0


async def test_a_rehearsal_is_refused(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "001_x.py").touch()
    with pytest.raises(Refusal, match="a pooler stands between the rehearsal and the server"):
        await execution.rehearse(database_url, tmp_path)


async def test_a_transaction_that_held_the_lock_and_has_ended(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'plantops-migrations-lock'"
    write("001_x.py", f"{ended} AND datname = current_database()")
    with pytest.raises(ConnectionLostError, match=r"001_x\.py: the migration lock is no longer this runner's"):
        await run_migrations(database_url, directory=tmp_path)


async def test_a_pooler_with_one_connection(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def execute(conn: session.Session, sql: str) -> str:
        return await asyncpg.Connection.execute(conn, "SELECT pg_sleep(60)" if sql == "SELECT 1" else sql)

    monkeypatch.setattr(session.Session, "execute", execute)
    monkeypatch.setattr(lock, "SINGLE_TIMEOUT", 0.1)
    monkeypatch.setattr(lock, "BUSY_TIMEOUT", 0.1)
    write("001_x.py", "SELECT 2")
    with pytest.raises(DatabaseUnavailableError, match="no second connection to the server"):
        await run_migrations(database_url, directory=tmp_path)


@pytest.mark.usefixtures("reported_soon")
async def test_the_statement_of_a_killed_runner_is_outlasted(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write("001_x.py", "SELECT 1")
    left = await asyncpg.connect(database_url, server_settings={"application_name": session.APPLICATION})
    statement = asyncio.create_task(left.execute("SELECT pg_sleep(600)"))
    looking = await asyncpg.connect(database_url)
    async with asyncio.timeout(PATIENCE):
        while not await lock.sessions(looking, lock._LEFT):  # noqa: ASYNC110 - a statement of another session has no event
            await asyncio.sleep(0.02)
        running = asyncio.create_task(run_migrations(database_url, directory=tmp_path))
        while "waiting for the statement of a runner that has gone" not in caplog.text:  # noqa: ASYNC110 - nor has a log
            await asyncio.sleep(0.02)
        assert not running.done()
        await looking.execute("SELECT pg_cancel_backend($1)", left.get_server_pid())
        with pytest.raises(asyncpg.QueryCanceledError):
            await statement
        assert await running == ["001"]
    await left.close()
    await looking.close()


def test_a_pooler_that_gave_no_connection() -> None:
    error = failures.connection_lost(asyncpg.ProtocolViolationError("query_wait_timeout"))
    assert isinstance(error, DatabaseUnavailableError)
    assert "within its query_wait_timeout" in str(error)

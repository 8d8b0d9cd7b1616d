"""The migration runner among others: runners, readers, and what is killed, in real processes."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest

from src.db.connection import connect
from src.db.errors import LockTimeoutError
from src.db.migration_runner import get_applied_migrations, run_migrations
from src.db.runner import lock, retries, session
from src.db.runner.lock import LOCK_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from handbook.postgres import Postgres

BACKEND = Path(__file__).resolve().parents[1]
RUN = """
import asyncio, sys
from src.db.migration_runner import run_migrations
print("ready", flush=True)
print(*asyncio.run(run_migrations(sys.argv[1], directory=sys.argv[2])))
"""
# A limit, in seconds, on what should end long before it.
PATIENCE = 60


async def start(postgres: Postgres, url: str, directory: Path) -> asyncio.subprocess.Process:
    """Start a process that runs migrations."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUN,
        url,
        str(directory),
        cwd=BACKEND,
        env={**os.environ, **postgres.environment},
        stdout=asyncio.subprocess.PIPE,
    )


async def until(conn: asyncpg.Connection[asyncpg.Record], question: str) -> None:
    """Ask the server until it says yes."""
    async with asyncio.timeout(PATIENCE):
        answer = False
        while not answer:
            await asyncio.sleep(0.02)
            answer = await conn.fetchval(question)


@pytest.mark.slow
async def test_twenty_processes_at_once(
    postgres: Postgres, database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write("001_audit.py", "CREATE TABLE audit (version TEXT)")
    for number in range(2, 9):
        row = "SELECT pg_sleep(0.02); INSERT INTO audit VALUES ('NNN')"
        write(f"{number:03d}_row.py", row.replace("NNN", f"{number:03d}"))
    write(
        "005_index.py",
        """
        transactional = False

        async def up(conn):
            await conn.execute("INSERT INTO audit VALUES ('005')")
            await conn.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_audit ON audit (version)")
        """,
    )
    (tmp_path / "005_row.py").unlink()
    processes = [await start(postgres, database_url, tmp_path) for _ in range(20)]
    outputs = await asyncio.wait_for(asyncio.gather(*(process.communicate() for process in processes)), PATIENCE)
    assert [process.returncode for process in processes] == [0] * 20
    versions = [f"{number:03d}" for number in range(1, 9)]
    assert sorted(version for output, _ in outputs for version in output.decode().split()[1:]) == versions
    conn = await asyncpg.connect(database_url)
    assert await get_applied_migrations(conn) == versions
    rows = await conn.fetch("SELECT version FROM audit ORDER BY version")
    assert [row["version"] for row in rows] == versions[1:]
    assert await conn.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_audit'::regclass")
    await conn.close()


@pytest.mark.slow
async def test_killed_at_many_moments(
    postgres: Postgres, database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    versions = [f"{number:03d}" for number in range(1, 61)]
    for version in versions:
        write(
            f"{version}_two.py",
            f"""
            async def up(conn):
                await conn.execute("CREATE TABLE first_{version} ()")
                await conn.execute("SELECT pg_sleep(0.01)")
                await conn.execute("CREATE TABLE second_{version} ()")
            """,
        )
    conn = await asyncpg.connect(database_url)
    moments = random.Random(2)  # noqa: S311 - the same moments each time
    kills = 0
    applied: list[str] = []
    while applied != versions:
        process = await start(postgres, database_url, tmp_path)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        try:
            await asyncio.wait_for(process.wait(), moments.uniform(0.01, 0.25))
            assert process.returncode == 0
        except TimeoutError:
            process.kill()
            await process.wait()
            kills += 1
        rows = await conn.fetch(
            "SELECT right(relname, 3) AS version, count(*) FROM pg_class WHERE relname ~ '^(first|second)_' GROUP BY 1"
        )
        history = await conn.fetch("SELECT version FROM schema_migrations") if rows else []
        # A commit may end between the two questions: what it added is looked at the next time.
        known = {row["version"] for row in rows}
        assert {row["count"] for row in rows} <= {2}
        assert known <= {row["version"] for row in history}
        applied = sorted(known)
    assert kills >= 5
    assert await get_applied_migrations(conn) == versions
    await conn.close()


async def test_a_killed_runner_does_not_keep_its_statement_and_lock(
    postgres: Postgres, database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    conn = await asyncpg.connect(database_url)
    await conn.execute("CREATE TABLE pace (seconds INTEGER); INSERT INTO pace VALUES (600)")
    write("001_slow.py", "SELECT pg_sleep(seconds) FROM pace")
    process = await start(postgres, database_url, tmp_path)
    await until(
        conn, "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    )
    process.kill()
    await process.wait()
    await conn.execute("UPDATE pace SET seconds = 0")
    # The statement that it left would take ten minutes.
    assert await asyncio.wait_for(run_migrations(database_url, directory=tmp_path), PATIENCE) == ["001"]
    await conn.close()


@pytest.mark.slow
async def test_no_reader_is_stalled_while_a_migration_waits_for_its_table(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write("007_location.py", "ALTER TABLE plants ADD COLUMN location TEXT")
    holder = await asyncpg.connect(migrated_url, server_settings={"application_name": "report"})
    reader = await asyncpg.connect(migrated_url)
    stalls = []
    reading = True
    held = asyncio.Event()

    async def read() -> None:
        while reading:
            started = time.monotonic()
            await reader.fetchval("SELECT count(*) FROM plants")
            stalls.append(time.monotonic() - started)
            await asyncio.sleep(0.02)

    async def hold() -> float:
        async with holder.transaction():
            await holder.execute("SELECT count(*) FROM plants")
            held.set()
            await asyncio.sleep(8)
            # Its COMMIT, and so the lock's end, comes after this: the runner may be done before we hear of it.
            return time.monotonic()

    holding = asyncio.create_task(hold())
    readers = asyncio.create_task(read())
    await held.wait()
    assert await run_migrations(migrated_url, directory=tmp_path) == ["007"]
    ended = time.monotonic()
    reading = False
    await readers
    assert ended > await holding
    # It did wait, and it let the readers through.
    assert 0.1 < max(stalls) < 4.0
    assert await reader.fetchval("SELECT count(*) FROM information_schema.columns WHERE column_name = 'location'") == 1
    await holder.close()
    await reader.close()
    warnings = [record.getMessage() for record in caplog.records if "could not lock" in record.getMessage()]
    assert warnings[0].startswith("007_location.py could not lock a table within 500 ms (try 1 of 12)")
    assert any(re.search(r"in its way: process \d+ \(report\), idle in transaction since \d{4}-", w) for w in warnings)


@pytest.mark.parametrize("observed", [True, False])
async def test_a_lock_that_is_never_free(  # noqa: PLR0913 - fixtures
    postgres: Postgres,
    migrated_url: str,
    write: Callable[[str, str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    observed: bool,
) -> None:
    monkeypatch.setattr(retries, "LOCK_TRIES", 2)
    monkeypatch.setattr(retries, "FIRST_LOCK_PAUSE", 0.1)
    write("007_location.py", "ALTER TABLE plants ADD COLUMN location TEXT")
    holder = await asyncpg.connect(migrated_url, server_settings={"application_name": "report"})
    admin = await asyncpg.connect(postgres.url("postgres"))
    database = urlsplit(migrated_url).path.removeprefix("/")
    async with holder.transaction():
        await holder.execute("LOCK TABLE plants IN ACCESS SHARE MODE")
        running = asyncio.create_task(run_migrations(migrated_url, directory=tmp_path))
        if not observed:
            await until(holder, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
            await admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
        with pytest.raises(LockTimeoutError) as caught:
            await running
    if not observed:
        await admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')
    text = str(caught.value)
    assert text.startswith("007_location.py, line 2: could not lock a table in 2 tries.\n")
    assert ("In its way: process" in text, "LOCK TABLE plants …\n" in text) == (observed, observed)
    assert text.endswith("[PM12] Background: docs/errors.md#pm12")
    assert "007" not in await get_applied_migrations(holder)
    assert await run_migrations(migrated_url, directory=tmp_path) == ["007"]
    await holder.close()
    await admin.close()


async def test_after_a_migration_outside_a_transaction_a_lock_is_not_waited_for_longer(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "LOCK_TRIES", 1)
    write("007_look.py", "transactional = False\n\n\nasync def up(conn):\n    await conn.execute('SELECT 1')\n")
    write("008_location.py", "ALTER TABLE plants ADD COLUMN location TEXT")
    holder = await asyncpg.connect(migrated_url)
    async with holder.transaction(), asyncio.timeout(PATIENCE):
        await holder.execute("LOCK TABLE plants IN ACCESS SHARE MODE")
        with pytest.raises(LockTimeoutError):
            await run_migrations(migrated_url, directory=tmp_path)
    assert (await get_applied_migrations(holder))[-1] == "007"
    await holder.close()


async def test_a_waiting_runner_holds_nothing_and_says_what_it_waits_for(
    database_url: str,
    write: Callable[[str, str], Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock, "REPORT_AFTER", 0.1)
    monkeypatch.setattr(lock, "LAST_PAUSE", 0.2)
    write("001_x.py", "SELECT 1")
    holder = await asyncpg.connect(database_url, server_settings={"application_name": "other-runner"})
    await holder.execute(f"SELECT pg_advisory_lock({LOCK_KEY})")
    await holder.execute("CREATE TABLE big (id INTEGER)")
    running = asyncio.create_task(run_migrations(database_url, directory=tmp_path))
    states = []
    for _ in range(20):
        states += await holder.fetch(
            "SELECT state, backend_xmin, xact_start FROM pg_stat_activity"
            " WHERE application_name = 'plantops-migrations' AND datname = current_database()"
        )
        await asyncio.sleep(0.05)
    idle = [state for state in states if state["state"] == "idle"]
    assert len(idle) > len(states) / 2
    assert {(state["backend_xmin"], state["xact_start"]) for state in idle} == {(None, None)}
    # What the lock is polled for: this would wait for the snapshot of a session that waits inside PostgreSQL.
    await asyncio.wait_for(holder.execute("CREATE INDEX CONCURRENTLY idx_big ON big (id)"), PATIENCE)
    assert not running.done()
    await holder.execute(f"SELECT pg_advisory_unlock({LOCK_KEY})")
    assert await asyncio.wait_for(running, PATIENCE) == ["001"]
    waits = [record for record in caplog.records if "waiting for the migration lock" in record.getMessage()]
    assert len(waits) == 1
    assert waits[0].levelno == logging.WARNING
    assert re.search(r"held by process \d+ \(other-runner\), (idle|active) since ", waits[0].getMessage())
    await holder.close()


async def test_nothing_pending_takes_no_lock(migrated_url: str) -> None:
    holder = await asyncpg.connect(migrated_url)
    await holder.execute(f"SELECT pg_advisory_lock({LOCK_KEY})")
    assert await asyncio.wait_for(run_migrations(migrated_url), 10) == []
    await holder.close()


@pytest.mark.parametrize("text", ["SELECT 1", "SELECT 1 / 0", "raise"])
async def test_the_lock_and_the_connection_are_given_back(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path, text: str
) -> None:
    write("001_x.py", text if text.startswith("SELECT") else f"{text}\n")
    await asyncio.gather(run_migrations(database_url, directory=tmp_path), return_exceptions=True)
    conn = await asyncpg.connect(database_url)
    assert await conn.fetchval(f"SELECT pg_try_advisory_lock({LOCK_KEY})")
    await conn.close()


async def test_the_lock_does_not_last_as_long_as_its_session(database_url: str) -> None:
    first, second = await connect(database_url), await connect(database_url)
    async with lock.one_runner(first):
        assert not await second.fetchval(f"SELECT pg_try_advisory_lock({LOCK_KEY})")
    assert await second.fetchval(f"SELECT pg_try_advisory_lock({LOCK_KEY})")
    await first.close()
    await second.close()


async def test_a_server_that_refuses_a_setting_is_migrated_without_it(database_url: str) -> None:
    # Where PostgreSQL cannot look for a client that has gone, it allows no value but 0: like -1 here.
    conn = await connect(database_url)
    await conn.execute(session.settings().replace("'1000'", "'-1'"))
    assert await conn.fetchval("SHOW client_connection_check_interval") == "0"
    assert await conn.fetchval("SHOW lock_timeout") == "500ms"
    await conn.execute(session.settings())
    assert await conn.fetchval("SHOW client_connection_check_interval") == "1s"
    await conn.close()


def test_the_lock_has_the_number_that_it_is_documented_to_have() -> None:
    import hashlib  # noqa: PLC0415 - one test of the file asks for it

    digest = hashlib.sha256(b"plantops.schema_migrations").digest()
    assert int.from_bytes(digest[:8], "big", signed=True) == LOCK_KEY


def test_the_limits_are_those_that_the_handbook_names() -> None:
    assert (retries.LOCK_TRIES, session.LOCK_TIMEOUT) == (12, 500)
    assert (retries.FIRST_LOCK_PAUSE, retries.LAST_LOCK_PAUSE) == (0.5, 4.0)
    assert (lock.FIRST_PAUSE, lock.LAST_PAUSE, lock.REPORT_AFTER, lock.REPORT_EVERY) == (0.025, 2.0, 1.0, 30.0)
    pauses = [lock.jittered(4.0) for _ in range(1000)]
    assert min(pauses) >= 2.0
    assert max(pauses) <= 4.0
    assert max(pauses) - min(pauses) > 1


def test_a_wait_is_told_only_when_it_is_long(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    lock.Queue().tell("what is soon over")
    monkeypatch.setattr(lock, "REPORT_AFTER", 0)
    lock.Queue().tell("what takes long")
    assert caplog.messages == ["waiting for what takes long"]

"""A real PgBouncer in front of the server, where it is installed; what needs none is in test_migration_session.py."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from src.db.connection import create_pool
from src.db.errors import DatabaseUnavailableError
from src.db.migration_runner import run_migrations
from src.db.runner import lock
from src.db.server import Server, throwaway

Write = Callable[[str, str], Path]

BACKEND = Path(__file__).resolve().parents[1]
# A limit, in seconds, on what should end long before it.
PATIENCE = 60
MODES = ["session", "transaction"]


@contextlib.contextmanager
def pgbouncer(server: Server, mode: str, size: int, wait: int = 120) -> Iterator[str]:
    """Start PgBouncer before a server and give the URL of the server's database through it."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    host = parse_qs(urlsplit(server.url()).query)["host"][0]
    owner = Path(host).stat()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "s").mkdir()
        # It refuses to run as root, and the server's socket is its owner's alone.
        os.chown(directory / "s", owner.st_uid, owner.st_gid)
        settings = directory / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={host} user=plantops\n[pgbouncer]\nauth_type = any\npool_mode = {mode}\n"
            f"default_pool_size = {size}\nquery_wait_timeout = {wait}\n"
            f"listen_port = 6432\nunix_socket_dir = {directory}/s\n"
        )
        with subprocess.Popen(
            [program, "--quiet", str(settings)],
            user=owner.st_uid,
            env={**os.environ, **server.environment},
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                deadline = time.monotonic() + PATIENCE
                while not (directory / "s" / ".s.PGSQL.6432").exists() and time.monotonic() < deadline:
                    time.sleep(0.02)
                yield f"postgresql://plantops@/plantops?host={directory}/s&port=6432"
            finally:
                process.terminate()


RUN = """
import asyncio, sys
from src.db.migration_runner import run_migrations
print(*asyncio.run(run_migrations(sys.argv[1], directory=sys.argv[2])))
"""


async def started(url: str, directory: Path, server: Server) -> asyncio.subprocess.Process:
    """Start a runner as a process of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN, url, str(directory)),
        cwd=BACKEND,
        env={**os.environ, **server.environment},
        stdout=subprocess.PIPE,
    )


@pytest.mark.parametrize("mode", [pytest.param("session", marks=pytest.mark.slow), "transaction"])
async def test_several_runners(write: Write, tmp_path: Path, mode: str) -> None:
    write("001_audit.py", "CREATE TABLE audit (version text)")
    for number in range(2, 10):
        row = """
            async def up(conn):
                await conn.execute("INSERT INTO audit VALUES ($1)", "NNN")
                await conn.execute("SET work_mem = '64kB'; SELECT pg_sleep(0.02)")
        """
        write(f"{number:03d}_row.py", row.replace("NNN", f"{number:03d}"))
    write(
        "010_index.py",
        """
        transactional = False

        async def up(conn):
            await conn.execute("INSERT INTO audit VALUES ('010'); SELECT pg_sleep(0.1)")
            await conn.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_audit ON audit (version)")
        """,
    )
    versions = [f"{number:03d}" for number in range(1, 11)]
    with throwaway() as server, pgbouncer(server, mode, 20 if mode == "session" else 5) as url:
        conn = await asyncpg.connect(server.url())
        # A snapshot that is kept would be older than the lock, and CREATE INDEX CONCURRENTLY would wait for it.
        await conn.execute("ALTER DATABASE plantops SET default_transaction_isolation = 'repeatable read'")
        processes = [await started(url, tmp_path, server) for _ in range(6)]
        outputs = await asyncio.wait_for(asyncio.gather(*(process.communicate() for process in processes)), PATIENCE)
        assert [process.returncode for process in processes] == [0] * 6
        assert sorted(version for output, _ in outputs for version in output.decode().split()) == versions
        rows = await conn.fetch("SELECT version FROM audit ORDER BY 1")
        assert [row["version"] for row in rows] == versions[1:]
        assert await conn.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_audit'::regclass")
        # Nothing of the runner's is left in the sessions that the pooler gives to others.
        other = await asyncpg.connect(url, statement_cache_size=0)
        async with other.transaction():
            shown = await other.fetchrow("SELECT current_setting('lock_timeout'), current_setting('work_mem')")
        assert tuple(shown or ()) == ("0", "4MB")
        assert await conn.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
        await other.close()
        async with await create_pool(url, min_size=2) as pool:
            answers = await asyncio.gather(*(pool.fetchval("SELECT count(*) FROM audit") for _ in range(20)))
        assert answers == [9] * 20
        await conn.close()


# Pools that are small.


@pytest.mark.parametrize("mode", MODES)
async def test_a_pool_of_one_is_told_at_once(write: Write, tmp_path: Path, mode: str) -> None:
    write("001_a.py", "SELECT 1")
    with throwaway() as server, pgbouncer(server, mode, 1) as url:
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailableError, match="no second connection to the server"):
            await run_migrations(url, directory=tmp_path)
        # It waits longer where the pooler has other connections, which somebody else may give back.
        assert time.monotonic() - started < lock.BUSY_TIMEOUT / 2


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [1, 2, 4])
async def test_three_runners_and_a_small_pool(write: Write, tmp_path: Path, mode: str, size: int) -> None:
    write("001_a.py", "CREATE TABLE a (); SELECT pg_sleep(5)")
    with throwaway() as server, pgbouncer(server, mode, size, wait=3) as url:
        runs = (run_migrations(url, directory=tmp_path) for _ in range(3))
        ended = await asyncio.wait_for(asyncio.gather(*runs, return_exceptions=True), PATIENCE)
        conn = await asyncpg.connect(server.url())
        applied = await conn.fetchval("SELECT to_regclass('a') IS NOT NULL")
        assert await conn.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
        await conn.close()
    failures = [error for error in ended if isinstance(error, BaseException)]
    told = ("no second connection to the server", "within its query_wait_timeout")
    assert [error for error in failures if not any(text in str(error) for text in told)] == []
    assert {type(error) for error in failures} <= {DatabaseUnavailableError}
    assert (applied, ["001"] in ended) == ((False, False) if size == 1 else (True, True))
    if size == 4:
        assert failures == []


async def test_a_busy_pool_is_waited_for(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SINGLE_TIMEOUT", 0.3)
    write("001_a.py", "SELECT 1")
    with throwaway() as server, pgbouncer(server, "transaction", 2) as url:
        other = await asyncpg.connect(url, statement_cache_size=0)
        await other.execute("BEGIN")
        running = asyncio.create_task(run_migrations(url, directory=tmp_path))
        async with asyncio.timeout(PATIENCE):
            while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"):  # noqa: ASYNC110 - of another session
                await asyncio.sleep(0.02)
        await asyncio.sleep(3 * lock.SINGLE_TIMEOUT)
        other.terminate()
        assert await running == ["001"]


# A runner that is killed.


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
async def test_what_a_killed_runner_does_outside_a_transaction_is_not_begun_beside_it(
    write: Write, tmp_path: Path, mode: str
) -> None:
    both = "INSERT INTO audit SELECT now(); SELECT pg_sleep(4)"
    write("001_a.py", f"transactional = False\n\nasync def up(conn):\n    await conn.execute({both!r})\n")
    with throwaway() as server, pgbouncer(server, mode, 5) as url:
        conn = await asyncpg.connect(server.url())
        await conn.execute("CREATE TABLE audit (at timestamptz)")
        killed = await started(url, tmp_path, server)
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        async with asyncio.timeout(PATIENCE):
            while not await conn.fetchval(sleeping):  # noqa: ASYNC110 - there is no event of another process
                await asyncio.sleep(0.02)
            killed.kill()
            await killed.wait()
            following = asyncio.create_task(run_migrations(url, directory=tmp_path))
            most = 0
            while not following.done():
                most = max(most, await conn.fetchval(sleeping))
                await asyncio.sleep(0.02)
        assert await following == ["001"]
        assert most == 1
        await conn.close()

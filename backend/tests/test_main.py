"""The backend's start-up: the whole process, on a real database and a real port."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from handbook.baseline import DIRECTORY, copy_baseline
from handbook.postgres import Postgres
from src import main
from src.db.migration_runner import get_migration_files

BACKEND = Path(main.__file__).parents[1]
ALL = [version for version, _ in get_migration_files()]
PATIENCE = 60  # seconds for what another process has to do, on a machine with other work
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: ")


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
def environment(port: int, postgres: Postgres, database_url: str, tmp_path: Path) -> dict[str, str]:
    own = {"DATABASE_URL": database_url, "PLANTOPS_PORT": str(port), "PLANTOPS_DATA": str(tmp_path / "data")}
    return {**os.environ, **postgres.environment, **own}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A copy of the backend, whose migrations a test may change."""
    ignored = shutil.ignore_patterns("__pycache__", "migrations")
    shutil.copytree(BACKEND / "src", tmp_path / "backend" / "src", ignore=ignored)
    copy_baseline(BACKEND.parent / DIRECTORY, tmp_path / DIRECTORY)
    return tmp_path / "backend"


@contextlib.contextmanager
def running(environment: dict[str, str], *command: str, cwd: Path = BACKEND) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", *(command or ("src.main",))],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(port: int, path: str) -> tuple[int, Any]:
    """Ask a backend that is starting until it answers, and return its status and JSON."""
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        finally:
            connection.close()


def ask_until_ready(port: int) -> Any:
    """Ask a backend that is starting until it is ready, and return its JSON."""
    deadline = time.monotonic() + PATIENCE
    while (answer := ask(port, "/api/ready"))[0] != 200:
        assert answer == (503, {"ready": False})
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return answer[1]


def refuses(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


async def tables(database_url: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        count: int = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        return count
    finally:
        await connection.close()


def test_migrates_then_serves_until_it_is_told_to_stop(port: int, environment: dict[str, str]) -> None:
    for applied in (ALL, []):
        with running(environment) as process:
            assert ask_until_ready(port) == {"ready": True, "version": ALL[-1], "applied": applied}
            assert ask(port, "/api/health") == (200, {"alive": True})
            process.terminate()
            output, _ = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, output
        assert refuses(port)
        assert all(LINE.match(line) for line in output.splitlines())
        assert f"INFO src.main: Backend ready on http://127.0.0.1:{port}\n" in output


def test_ctrl_c_stops_it_as_well(port: int, environment: dict[str, str]) -> None:
    with running(environment) as process:
        ask_until_ready(port)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert "Traceback" not in output


def test_a_failed_migration_stops_the_start_with_its_own_text(
    port: int, environment: dict[str, str], workspace: Path
) -> None:
    migration = workspace / "src" / "db" / "migrations" / "007_fail.py"
    migration.write_text("async def up(conn):\n    await conn.execute('SELECT nothing')\n")
    with running(environment, cwd=workspace) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "ERROR src.main: 007_fail.py, line 2: " in output
    assert 'column "nothing" does not exist' in output
    assert "docs/errors.md#pm07" in output
    assert "Traceback" not in output
    assert "Backend ready" not in output
    assert refuses(port)


def test_health_answers_while_a_migration_runs(port: int, environment: dict[str, str], workspace: Path) -> None:
    migration = workspace / "src" / "db" / "migrations" / "007_slow.py"
    migration.write_text("async def up(conn):\n    await conn.execute('SELECT pg_sleep(600)')\n")
    with running(environment, cwd=workspace) as process:
        for _ in range(20):
            assert ask(port, "/api/health") == (200, {"alive": True})
            assert ask(port, "/api/ready") == (503, {"ready": False})
            time.sleep(0.05)
        process.terminate()
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "WARNING src.main: The start was broken off\n" in output
    assert "Backend ready" not in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_is_ready_again_when_the_development_server_is_back(
    port: int, environment: dict[str, str], tmp_path: Path
) -> None:
    own = {**environment, "DATABASE_URL": ""}
    with running(own) as process:
        ask_until_ready(port)
        postmaster = int((tmp_path / "data" / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while ask(port, "/api/ready")[0] == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)  # nobody reads the log of the requests meanwhile, and its pipe has an end
        # Any command starts the server again, with another socket, and the backend keeps it running.
        subprocess.run([sys.executable, "-m", "src.db", "status"], cwd=BACKEND, env=own, check=True)
        assert ask_until_ready(port)["version"] == ALL[-1]
        process.terminate()
        output, _ = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in output


def test_an_unreachable_database_stops_the_start(environment: dict[str, str]) -> None:
    with running({**environment, "DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/d"}) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "annot connect" in output
    assert "secret" not in output
    assert "Traceback" not in output


def test_wrong_settings_stop_the_start(environment: dict[str, str]) -> None:
    with running({**environment, "PLANTOPS_PORT": "x", "PLANTOPS_LOG_LEVEL": "y"}) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "ERROR src.main: PLANTOPS_PORT is 'x'." in output
    assert "\nPLANTOPS_LOG_LEVEL is 'y'." in output
    assert "Traceback" not in output


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_an_address_that_cannot_be_had_stops_the_start_before_a_migration(
    host: str, port: int, environment: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", port)), running({**environment, "PLANTOPS_HOST": host}) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"Cannot listen on {host}, port {port}: " in output
    assert "PLANTOPS_PORT" in output
    assert "Traceback" not in output
    assert await tables(environment["DATABASE_URL"]) == 0


async def test_a_signal_ends_a_start_that_waits(environment: dict[str, str]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        holder = await asyncpg.connect(environment["DATABASE_URL"])
        stack.push_async_callback(holder.close)
        watcher = await asyncpg.connect(environment["DATABASE_URL"])
        stack.push_async_callback(watcher.close)
        await holder.execute("BEGIN; CREATE TABLE plants (id text PRIMARY KEY)")
        process = stack.enter_context(running(environment))
        waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while not await watcher.fetchval(f"SELECT count(*) {waiting}"):
            assert process.poll() is None
        process.terminate()
        output, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, output
    assert "Traceback" not in output
    assert "WARNING src.main: The start was broken off\n" in output
    assert "Backend ready" not in output


def test_uvicorn_serves_the_application_too(port: int, environment: dict[str, str]) -> None:
    with running(environment, "uvicorn", "src.main:app", "--port", str(port)) as process:
        assert ask(port, "/api/ready")[1]["version"] == ALL[-1]
        process.terminate()
        process.communicate(timeout=PATIENCE)


def test_uvicorn_listens_after_the_migrations(port: int, environment: dict[str, str], workspace: Path) -> None:
    """Lifespan comes before the socket: health does not answer, as it does under ``python -m src.main``."""
    migration = workspace / "src" / "db" / "migrations" / "007_slow.py"
    migration.write_text(
        "async def up(conn):\n    print('begun', flush=True)\n    await conn.execute('SELECT pg_sleep(2)')\n"
    )
    with running(environment, "uvicorn", "src.main:app", "--port", str(port), cwd=workspace) as process:
        assert process.stdout is not None
        assert any(line == "begun\n" for line in process.stdout)
        assert refuses(port)
        assert ask(port, "/api/health") == (200, {"alive": True})
        assert ask(port, "/api/ready")[1]["version"] == "007"


def test_uvicorn_shows_the_plain_error(port: int, environment: dict[str, str]) -> None:
    wrong = {**environment, "DATABASE_URL": "nonsense"}
    with running(wrong, "uvicorn", "src.main:app", "--port", str(port)) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "DATABASE_URL (its value is not shown" in output
    assert "Traceback" not in output


def test_is_not_ready_where_no_migration_ran(port: int, environment: dict[str, str]) -> None:
    with running(environment, "uvicorn", "src.main:app", "--port", str(port), "--lifespan", "off") as process:
        assert ask(port, "/api/ready") == (503, {"ready": False})
        assert ask(port, "/api/health")[0] == 200
        process.terminate()
        process.communicate(timeout=PATIENCE)


@pytest.mark.slow
def test_starts_the_development_server_where_no_url_is_set(
    port: int, environment: dict[str, str], tmp_path: Path
) -> None:
    with running({**environment, "DATABASE_URL": ""}) as process:
        assert ask_until_ready(port)["applied"] == ALL
        process.terminate()
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
    assert (tmp_path / "data" / "postgres").is_dir()


async def test_an_error_that_explains_nothing_keeps_its_traceback() -> None:
    @contextlib.asynccontextmanager
    async def broken(_: Starlette) -> AsyncIterator[None]:
        raise RuntimeError
        yield

    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    app = Starlette(lifespan=broken, middleware=[Middleware(main.PlainStartupFailure)])
    with pytest.raises(RuntimeError):
        await app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send)
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "Traceback" in sent[0]["message"]


def test_a_signal_before_it_serves_ends_it_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def signaled(*_: object) -> int:
        main._exit(signal.SIGTERM, None)
        return 1

    monkeypatch.setattr(main, "_serve", signaled)
    assert main.main([]) == 0

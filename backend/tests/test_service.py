"""The background service: real backends that are started, replaced and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from handbook.baseline import DIRECTORY, copy_baseline
from handbook.postgres import Postgres
from src import service
from src.config import Settings
from src.db.migration_runner import get_migration_files
from src.main import SHUTDOWN_SECONDS

BACKEND = Path(service.__file__).parents[1]

Command = Callable[..., "subprocess.CompletedProcess[str]"]

HOLDER = """
import fcntl, os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
file = open(sys.argv[1], "w+")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(0.1)
file.write(f"{os.getpid()}\\n")
file.flush()
time.sleep(60)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A copy of the backend, whose files a test may change."""
    ignored = shutil.ignore_patterns("__pycache__", "migrations")
    shutil.copytree(BACKEND / "src", tmp_path / "backend" / "src", ignore=ignored)
    copy_baseline(BACKEND.parent / DIRECTORY, tmp_path / DIRECTORY)
    return tmp_path / "backend"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
def command(workspace: Path, data: Path, port: int, postgres: Postgres, database_url: str) -> Iterator[Command]:
    """Run ``python -m src.service``; what it started is stopped when the test is over."""
    own = {"DATABASE_URL": database_url, "PLANTOPS_PORT": str(port), "PLANTOPS_DATA": str(data)}

    def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "src.service", *arguments],
            check=False,
            cwd=workspace,
            env={**os.environ, **postgres.environment, **own, **variables},
            capture_output=True,
            text=True,
        )

    yield command
    command("stop")


def backends(data: Path) -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline", "environ"])
    return [
        process
        for process in found
        if "src.main" in (process.info["cmdline"] or [])
        and (process.info["environ"] or {}).get("PLANTOPS_DATA") == str(data)
    ]


def settings_of(data: Path, port: int) -> Settings:
    return Settings("postgresql://unused/db", "127.0.0.1", port, "INFO", data)


def test_the_log_is_its_owners_alone(command: Command, data: Path) -> None:
    assert command("restart").returncode == 0
    assert (data / "backend.log").stat().st_mode & 0o777 == 0o600


def test_starts_replaces_and_stops_the_backend(command: Command, data: Path, port: int) -> None:
    first = command("restart")
    assert (first.returncode, first.stderr) == (0, "")
    lines = first.stdout.splitlines()
    files = get_migration_files()
    assert [line.split()[1] for line in lines[:-1]] == [path.name for _, path in files]
    assert all(line.startswith("Applied ") and line.endswith(" ms") for line in lines[:-1])
    assert lines[-1] == f"Backend ready on http://127.0.0.1:{port} (schema version {files[-1][0]})"
    [one] = backends(data)
    assert (data / "backend.pid").read_text() == f"{one.pid}\n"

    second = command("restart")
    assert second.stdout == (
        f"No pending migrations\nBackend ready on http://127.0.0.1:{port} (schema version {files[-1][0]})\n"
    )
    [other] = backends(data)
    assert other.pid != one.pid
    assert os.getsid(other.pid) == other.pid

    log = command("logs")
    assert log.returncode == 0
    assert "INFO src.main: Backend ready" in log.stdout
    assert "Applied" not in log.stdout

    assert command("stop").stdout == "Backend stopped\n"
    assert backends(data) == []
    stopped = command("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "The backend is not running\n")


def test_names_what_was_applied_where_the_log_leaves_it_out(command: Command) -> None:
    result = command("restart", PLANTOPS_LOG_LEVEL="WARNING")
    assert result.stdout.splitlines()[0] == "Applied 001"
    assert len(result.stdout.splitlines()) == 7


def test_shows_why_a_migration_failed(command: Command, workspace: Path, data: Path) -> None:
    migration = workspace / "src" / "db" / "migrations" / "007_fail.py"
    migration.write_text("async def up(conn):\n    await conn.execute('SELECT nothing')\n")
    result = command("restart")
    assert result.returncode == 1
    assert len(result.stdout.splitlines()) == 6
    assert result.stderr.startswith("007_fail.py, line 2: ")
    assert 'column "nothing" does not exist' in result.stderr
    assert result.stderr.endswith("docs/errors.md#pm07\nThe backend did not start.\n")
    assert backends(data) == []
    assert command("stop").stdout == "The backend is not running\n"


def test_shows_the_whole_log_of_a_crash(command: Command, workspace: Path) -> None:
    (workspace / "src" / "listener.py").write_text("raise RuntimeError('broken')\n")
    shutil.copy(BACKEND / "src" / "listener.py", workspace / "listener.py")
    (workspace / "src" / "service.py").write_text(
        (workspace / "src" / "service.py").read_text().replace("src.listener", "listener")
    )
    result = command("restart")
    assert result.returncode == 1
    assert "RuntimeError: broken\n" in result.stderr
    assert result.stderr.endswith("The backend did not start.\n")


def test_says_that_another_program_has_the_port(command: Command, port: int, data: Path) -> None:
    with socket.create_server(("127.0.0.1", port)):
        result = command("restart")
    assert result.returncode == 1
    assert result.stderr == (
        f"Cannot listen on 127.0.0.1, port {port}: Address already in use. Stop the program that uses this address, "
        "or set PLANTOPS_HOST or PLANTOPS_PORT to another one.\n"
    )
    assert backends(data) == []


@pytest.mark.slow
def test_two_restarts_at_once_leave_one_backend(command: Command, data: Path) -> None:
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda _: command("restart"), range(2)))
    assert [result.returncode for result in results] == [0, 0], [result.stderr for result in results]
    assert len(backends(data)) == 1


def test_replaces_a_backend_that_was_killed(command: Command, data: Path) -> None:
    assert command("restart").returncode == 0
    [backend] = backends(data)
    backend.kill()
    assert command("restart").returncode == 0
    assert len(backends(data)) == 1


def test_spares_a_stranger_that_has_the_backends_number_now(command: Command, data: Path) -> None:
    data.mkdir()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (data / "backend.pid").write_text(f"{stranger.pid}\n0123456789\n")
        assert command("stop").stdout == "The backend is not running\n"
        assert command("restart").returncode == 0
        assert stranger.poll() is None
        stranger.kill()
    assert (data / "backend.pid").read_text() == f"{backends(data)[0].pid}\n"


def test_kills_a_backend_that_does_not_stop(data: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "STOP_SECONDS", 0.3)
    data.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data / "backend.pid")], stdout=subprocess.PIPE, text=True
    ) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        assert service.stop(settings_of(data, port))
        assert deaf.wait() == -signal.SIGKILL


def test_is_not_ready_before_it_says_so(data: Path, port: int) -> None:
    """A server that answers 503 counts as starting."""
    with socket.create_server(("127.0.0.1", port)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b'HTTP/1.1 503 Service Unavailable\r\n\r\n{"ready": false}')

        thread = threading.Thread(target=answer)
        thread.start()
        assert service._ask(settings_of(data, port)) is None
        thread.join()
    assert service._ask(settings_of(data, port)) is None


def test_whoever_reads_the_log_may_stop_early(data: Path, port: int) -> None:
    """As ``make logs | head`` does; the log is longer than a pipe takes."""
    data.mkdir()
    (data / "backend.log").write_text(100_000 * "a line\n")
    reading, writing = os.pipe()
    environment = {**os.environ, "PLANTOPS_DATA": str(data), "PLANTOPS_PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "-m", "src.service", "logs"],
        cwd=BACKEND,
        env=environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(writing)
        assert os.read(reading, 6) == b"a line"
        os.close(reading)
        _, problems = process.communicate(timeout=20)
    assert (process.returncode, problems) == (0, "")


def test_says_that_there_is_no_log(command: Command, data: Path) -> None:
    result = command("logs")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("There is no log: ")
    assert command("stop").stdout == "The backend is not running\n"
    assert not data.exists()


def test_explains_wrong_settings_and_wrong_commands(command: Command) -> None:
    wrong = command("restart", PLANTOPS_PORT="x")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("PLANTOPS_PORT is 'x'.")
    for arguments in ((), ("start",), ("stop", "now")):
        unknown = command(*arguments)
        assert (unknown.returncode, unknown.stderr) == (2, "Usage: python -m src.service restart|stop|logs\n")


def test_the_bounds_are_those_that_the_reference_names() -> None:
    assert (SHUTDOWN_SECONDS, service.STOP_SECONDS) == (5, 10.0)

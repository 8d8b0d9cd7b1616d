"""``python -m src.db.commands.prompt psql``: psql on the database that the backend uses."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from src.db.commands.prompt import on_database, psql

BACKEND = Path(__file__).parents[1]
PRINTING = '#!/bin/sh\necho "$PGPASSWORD" "$@"\n'

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "src.db.commands.prompt", "psql", *arguments],
            check=False,
            cwd=BACKEND,
            env={**os.environ, "PLANTOPS_DATA": str(tmp_path / "data"), **variables},
            capture_output=True,
            text=True,
        )

    return run


def test_uses_the_database_of_the_environment(run: Run, database_url: str) -> None:
    result = run("-XAtc", "SELECT 6 * 7", DATABASE_URL=database_url)
    assert (result.returncode, result.stdout, result.stderr) == (0, "42\n", "")


@pytest.mark.slow
def test_uses_the_development_server(run: Run, tmp_path: Path) -> None:
    result = run("-XAtc", "SELECT current_database()", DATABASE_URL="")
    assert (result.returncode, result.stdout) == (0, "plantops\n")
    assert (tmp_path / "data" / "postgres").is_dir()


def test_names_files_from_the_top_of_the_checkout_as_the_shell_does(run: Run, database_url: str) -> None:
    result = run("-XAtc", r"\! pwd -P", DATABASE_URL=database_url)
    assert result.stdout == f"{BACKEND.parent.resolve()}\n"


def test_gives_the_exit_status_of_psql(run: Run, database_url: str) -> None:
    assert run("-Xc", "SELECT nothing", DATABASE_URL=database_url).returncode == 1
    assert run("-c", "SELECT 1", DATABASE_URL="postgresql://u@/d?host=/nowhere").returncode == 2


def test_explains_a_wrong_setting(run: Run) -> None:
    result = run(PLANTOPS_PORT="x")
    assert result.returncode == 1
    assert result.stderr.startswith("PLANTOPS_PORT is 'x'")


async def asleep(database_url: str) -> None:
    """Wait until a statement sleeps."""
    conn = await asyncpg.connect(database_url)
    sleeping = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    while not await conn.fetch(sleeping):  # noqa: ASYNC110 - an event of another process
        await asyncio.sleep(0.02)
    await conn.close()


def test_leaves_ctrl_c_to_psql(database_url: str) -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "src.db.commands.prompt",
            "psql",
            "-XAtc",
            "\\echo ready",
            "-c",
            "SELECT pg_sleep(1000)",
        ],
        cwd=BACKEND,
        env={**os.environ, "DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        asyncio.run(asleep(database_url))
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 1
        assert "Traceback" not in process.stderr.read()


def test_a_psql_that_is_killed_counts_as_in_a_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _fake(tmp_path, monkeypatch, "#!/bin/sh\nkill -KILL $$\n")
    monkeypatch.setattr(sys, "argv", ["prompt", "psql"])
    monkeypatch.setenv("DATABASE_URL", "postgresql://user@host/db")
    before = signal.getsignal(signal.SIGINT)
    try:
        assert on_database(psql) == 137
    finally:
        signal.signal(signal.SIGINT, before)


def test_keeps_the_password_out_of_the_arguments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _fake(tmp_path, monkeypatch, PRINTING)
    monkeypatch.setattr(sys, "argv", ["prompt", "psql", "-l"])
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:pass%20word@host:5432/db?sslmode=require")
    before = signal.getsignal(signal.SIGINT)
    try:
        assert on_database(psql) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().out == "pass word --dbname postgresql://user@host:5432/db?sslmode=require -l\n"


def _fake(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Take the wheel away, and put a program of ours on PATH as psql."""
    (directory / "psql").write_text(script)
    (directory / "psql").chmod(0o755)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("PATH", str(directory))

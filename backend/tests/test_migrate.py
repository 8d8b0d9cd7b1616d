"""The command ``migrate``."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import pty
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from src.db import connection
from src.db.commands.command_line import main

if TYPE_CHECKING:
    from collections.abc import Callable

    from handbook.postgres import Postgres

BACKEND = Path(__file__).resolve().parents[1]


def test_a_line_a_migration(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    level = logging.getLogger("src.db.migration_runner").level
    assert main(["migrate", "--database-url", database_url]) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    assert len(lines) == 6
    assert re.fullmatch(r"applied 001_create_plants\.py in \d+ ms", lines[0])
    assert output.err == ""
    assert main(["migrate", "--database-url", database_url, "--wait", "5"]) == 0
    assert capsys.readouterr().out == "No pending migrations\n"
    assert logging.getLogger("src.db.migration_runner").level == level


def test_json_and_warnings(
    migrated_url: str, tmp_path: Path, write: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write("007_x.py", "SELECT 1")
    arguments = ["migrate", "--json", "--database-url", migrated_url, "--directory", str(tmp_path)]
    assert main(arguments) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == {"applied": ["007"]}
    assert output.err.startswith("warning: the database has had migrations that this code has no file for: 001, ")
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"applied": []}


def test_a_failure(
    migrated_url: str, tmp_path: Path, write: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write("007_x.py", "SELECT 1 / 0")
    assert main(["migrate", "--database-url", migrated_url, "--directory", str(tmp_path)]) == 1
    assert "\n007_x.py, line 2: division by zero\n" in capsys.readouterr().err


def test_progress_on_a_terminal(
    postgres: Postgres, database_url: str, tmp_path: Path, write: Callable[[str, str], Path]
) -> None:
    long = f"001_{'x' * 80}.py"
    write(long, "SELECT 1")
    write("002_slow.py", "SELECT pg_sleep(1.7)")
    here, there = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "src.db", "migrate", "--directory", str(tmp_path)],
        cwd=BACKEND,
        env={**os.environ, **postgres.environment, "DATABASE_URL": database_url, "COLUMNS": "80"},
        stdout=there,
        stderr=there,
    ) as process:
        os.close(there)
        shown = b""
        try:
            while chunk := os.read(here, 4096):
                shown += chunk
        except OSError:  # what Linux says at the end of a terminal
            pass
    os.close(here)
    assert process.returncode == 0
    text = shown.decode()
    # A line that is longer than the terminal would leave its start behind when it is drawn again.
    assert f"\r\033[K{f'applying {long}'[:79]}\r\033[K" in text
    assert "\r\033[Kapplying 002_slow.py (2 of 2), 1 s" in text
    assert re.search(r"\r\033\[Kapplied 002_slow\.py in \d+ ms\r\n.*\r\033\[K$", text)  # it may be drawn once more


class Told(io.StringIO):
    """A standard error that says when something was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.event = threading.Event()

    def write(self, text: str) -> int:
        self.event.set()
        return super().write(text)


def listener() -> socket.socket:
    """Return a socket with a port of its own, on which nothing answers yet."""
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    return reserved


def test_waiting_for_a_server_that_starts(
    migrated_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port answers after a while, and passes on what it gets to the server."""

    async def relay(reserved: socket.socket) -> None:
        async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                writer.write(data)
            writer.close()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            their_reader, their_writer = await asyncio.open_unix_connection(path)
            await asyncio.gather(copy(reader, their_writer), copy(their_reader, writer))

        async with await asyncio.start_server(connected, sock=reserved):
            while not finished.is_set():  # noqa: ASYNC110 - an event of another thread
                await asyncio.sleep(0.02)

    def late() -> None:
        told.event.wait()
        asyncio.run(relay(reserved))

    hosts = parse_qs(urlsplit(migrated_url).query).get("host")
    if not hosts:
        pytest.skip("the server of TEST_DATABASE_URL has no socket to relay to")
    told = Told()
    monkeypatch.setattr(sys, "stderr", told)
    path = f"{hosts[0]}/.s.PGSQL.5432"
    finished = threading.Event()
    with listener() as reserved:
        port = reserved.getsockname()[1]
        thread = threading.Thread(target=late)
        thread.start()
        try:
            name = migrated_url.partition("?")[0].rpartition("/")[2]
            url = f"postgresql://plantops@127.0.0.1:{port}/{name}?sslmode=disable"
            assert main(["migrate", "--wait", "60", "--database-url", url]) == 0
        finally:
            finished.set()
            told.event.set()
            thread.join()
    assert capsys.readouterr().out == "No pending migrations\n"
    place = f"127.0.0.1:{port}, database {name}"
    assert told.getvalue() == f"waiting up to 60 s: cannot connect to {place}: nothing answers at that address.\n"


def test_waiting_in_vain(capsys: pytest.CaptureFixture[str]) -> None:
    with listener() as reserved:
        port = reserved.getsockname()[1]
        started = time.monotonic()
        assert main(["migrate", "--wait", "0.6", "--database-url", f"postgresql://127.0.0.1:{port}/x"]) == 1
        assert time.monotonic() - started > 0.6
    assert "nothing answers at that address.\nStart PostgreSQL" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_no_number_of_seconds(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["migrate", f"--wait={text}"])
    assert f"argument --wait: '{text}' is not a number of seconds, such as 60" in capsys.readouterr().err


def test_no_wait_for_what_time_does_not_mend(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = database_url.replace("/handbook_", "/no_such_", 1)
    started = time.monotonic()
    assert main(["migrate", "--wait", "600", "--database-url", url]) == 1
    assert time.monotonic() - started < 60
    assert "the server has no such database" in capsys.readouterr().err


def test_the_wait_bounds_connecting(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/x?sslmode=disable"
        started = time.monotonic()
        assert main(["migrate", "--wait", "0.6", "--database-url", url]) == 1
        assert 0.6 <= time.monotonic() - started < connection.CONNECT_TIMEOUT
    assert "the server did not answer within" in capsys.readouterr().err


def test_waiting_for_a_connection_to_spare(
    migrated_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that may have no connection may have one after a while."""
    role = f"limited_{time.monotonic_ns()}"

    async def execute(sql: str) -> None:
        conn = await asyncpg.connect(migrated_url)
        await conn.execute(sql)
        await conn.close()

    def relent() -> None:
        told.event.wait()
        asyncio.run(execute(f"ALTER ROLE {role} CONNECTION LIMIT -1"))

    url = migrated_url.replace("plantops@", f"{role}@")
    if url == migrated_url:
        pytest.skip("the server of TEST_DATABASE_URL may want a password of a new role")
    told = Told()
    monkeypatch.setattr(sys, "stderr", told)
    asyncio.run(execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0; GRANT SELECT ON schema_migrations TO {role}"))
    thread = threading.Thread(target=relent)
    thread.start()
    try:
        assert main(["migrate", "--wait", "60", "--database-url", url]) == 0
    finally:
        told.event.set()
        thread.join()
        asyncio.run(execute(f"DROP OWNED BY {role}; DROP ROLE {role}"))
    assert capsys.readouterr().out == "No pending migrations\n"
    assert "the server has no connection left.\n" in told.getvalue()


def test_output_that_cannot_be_written_ends_no_migration(
    postgres: Postgres, database_url: str, tmp_path: Path, write: Callable[[str, str], Path]
) -> None:
    write("001_x.py", "CREATE TABLE x ()")
    write("002_y.py", "CREATE TABLE y ()")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "src.db", "migrate", "--directory", str(tmp_path)]
    environment = {**os.environ, **postgres.environment, "DATABASE_URL": database_url}
    done = subprocess.run(command, cwd=BACKEND, env=environment, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")

    async def applied() -> int:
        conn = await asyncpg.connect(database_url)
        count: int = await conn.fetchval("SELECT count(*) FROM schema_migrations")
        await conn.close()
        return count

    assert asyncio.run(applied()) == 2
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(command, cwd=BACKEND, env=environment, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr == b"The command is done, but its output cannot be written: No space left on device.\n"

"""The command line of the migrations: what all commands share."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from src.db import server
from src.db.commands import command_line, status

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

BACKEND = Path(__file__).resolve().parents[1]
COMMANDS = ("status", "migrate", "rehearse", "new", "seal", "verify")


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "src.db", *arguments],
        cwd=BACKEND,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_program_lists_its_commands() -> None:
    done = run("--help")
    assert done.returncode == 0
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")]
    assert tuple(listed[-len(COMMANDS) :]) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command_line.main([name, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: python -m src.db {name} ")
    assert "Exit status: 0 done, 1 findings or failure, 2 wrong usage" in text
    assert ("--database-url URL" in text) == (name in COMMANDS[:3])
    assert ("--json" in text) == (name in {*COMMANDS[:3], "verify"})


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["status", "--frobnicate"], ["new"], ["new", "Bad name"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command_line.main(arguments)
    assert caught.value.code == 2
    assert "python -m src.db" in capsys.readouterr().err


def test_a_url_that_is_none_is_wrong_usage_and_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["status", "--database-url", "mysql://me:hush@host/plants"]) == 2
    text = capsys.readouterr().err
    assert "is not the URL of a PostgreSQL database" in text
    assert "hush" not in text


def test_an_error_is_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["status", "--database-url", "postgresql://me:hush@127.0.0.1:1/plants"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("cannot connect to 127.0.0.1:1, database plants: nothing answers at that address.\n")
    assert "hush" not in output.err


def test_the_option_comes_before_the_variable(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nowhere")
    assert command_line.main(["status", "--database-url", migrated_url]) == 0
    monkeypatch.setenv("DATABASE_URL", migrated_url)
    assert command_line.main(["status"]) == 0
    assert capsys.readouterr().out.count("6 applied, 0 pending") == 2


def test_the_development_server_is_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("PLANTOPS_DATA", str(tmp_path / "data"))
    assert command_line.main(["status"]) == 0
    assert capsys.readouterr().out.endswith("\n0 applied, 6 pending\n")

    def missing() -> Path:
        raise server.ServerError

    monkeypatch.setattr("src.db.server.usage.installed", missing)
    assert command_line.main(["status"]) == 1
    assert capsys.readouterr().err == "\n"


def test_ctrl_c_outside_the_event_loop(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: argparse.Namespace) -> int:
        signal.raise_signal(signal.SIGINT)
        return 0

    monkeypatch.setattr(status, "run", interrupted)
    assert command_line.main(["status", "--database-url", migrated_url]) == 130
    assert capsys.readouterr().err == ""


@pytest.fixture
def closed_pipe() -> Iterator[int]:
    """The end to write to of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_a_reader_that_has_gone(closed_pipe: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "src.db", "verify"], cwd=BACKEND, stdout=closed_pipe, stderr=subprocess.PIPE
    ) as process:
        _, error = process.communicate()
    assert process.returncode == 1
    assert error == b""


def test_a_name_that_the_terminal_cannot_show(tmp_path: Path) -> None:
    (tmp_path / "001_ä.py").write_text("x = 1\n")
    done = run("verify", "--directory", str(tmp_path), PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("001_\\xe4.py: must define an async up(conn) function")


def test_an_output_that_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    assert command_line.main(["verify"]) == 0
    assert output.getvalue().endswith("all sealed, nothing wrong\n")

"""``python -m src.db.commands.prompt shell`` and ``python``: on a terminal, as they are typed into."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from commands.terminal import Terminal, terminal
from src.db import server
from src.db.commands import prompt
from src.db.server import data_directory, database_server, development

BACKEND = Path(prompt.__file__).parents[3]
SHELL, PYTHON = "%% ", ">>> "


def opened(command: str, **variables: str) -> AbstractContextManager[Terminal]:
    environment = {**os.environ, "SHELL": "/bin/sh", "PS1": SHELL, **variables}
    return terminal([sys.executable, "-m", prompt.__name__, command], BACKEND, environment)


def left(python: Terminal) -> None:
    python.send("exit()\n")
    assert python.end() == 0


def piped(command: str, text: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", prompt.__name__, command],
        check=False,
        cwd=BACKEND,
        env={**os.environ, **variables},
        input=text,
        capture_output=True,
        text=True,
    )


def test_the_shell_has_the_programs_and_the_database(database_url: str) -> None:
    with opened("shell", DATABASE_URL=database_url) as shell:
        assert "leaves this shell" in shell.read(SHELL)
        assert "1\n" in shell.ask("psql -XAtc 'SELECT 1 WHERE current_database() LIKE $$handbook%$$'", SHELL)
        assert database_url in shell.ask('echo "$DATABASE_URL"', SHELL)
        assert str(server.binary("createdb")) in shell.ask("command -v createdb", SHELL)
        assert shell.ask("test -f Makefile && echo at the top", SHELL).startswith("at the top")
        # What failed last in it is no failure of the shell.
        shell.ask("false", SHELL)
        shell.send("exit\n")
        assert shell.end() == 0


def test_python_awaits_and_has_a_connection(database_url: str) -> None:
    with opened("python", DATABASE_URL=database_url) as python:
        assert "`conn` is a connection to" in python.read(PYTHON)
        assert python.ask("await conn.fetchval('SELECT 6 * 7')", PYTHON) == "42\n"
        assert "NameError: name 'os' is not defined" in python.ask("os.getcwd()", PYTHON)
        shown = python.ask("await conn.execute('SELEC')", PYTHON)
        assert shown.startswith('Traceback (most recent call last):\n  File "<input>", line 1, in <module>\n')
        assert shown.endswith('PostgresSyntaxError: syntax error at or near "SELEC"\n')
        left(python)


def test_python_runs_a_paste_as_one_block(database_url: str) -> None:
    with opened("python", DATABASE_URL=database_url) as python:
        python.read(PYTHON)
        shown = python.ask("def double(x):\n    y = 2 * x\n\n    return y\nprint(double(21))\n7 * 7", PYTHON)
        assert shown.endswith("print(double(21))\n7 * 7\n42\n")
        assert python.ask("(6 *\n7)", PYTHON).endswith("42\n")
        assert "SyntaxError" in python.ask("x =\ny", PYTHON)
        # What is pasted may go on, and what is typed ends with an empty line.
        python.send("x = (6,\n7\n")
        python.read(r"\.\.\. ")
        assert python.ask(")", PYTHON) == ""
        assert python.ask("x", PYTHON) == "(6, 7)\n"
        python.send("for n in range(2):\n")
        python.read(r"\.\.\. ")
        python.send("    print(n)\n")
        python.read(r"\.\.\. ")
        assert python.ask("", PYTHON) == "0\n1\n"
        left(python)


def test_python_goes_on_after_an_interruption_and_a_lost_connection(database_url: str) -> None:
    with opened("python", DATABASE_URL=database_url) as python:
        python.read(PYTHON)
        python.send("import asyncio; print('begun'); await asyncio.sleep(1000)\n")
        python.read("begun\n")
        python.send("\x03")
        assert "KeyboardInterrupt" in python.read(PYTHON)
        python.ask("pid = conn.get_server_pid()", PYTHON)
        python.ask("await conn.close()", PYTHON)
        assert python.ask("conn.get_server_pid() != pid", PYTHON) == "True\n"
        python.ask("conn = 'mine'", PYTHON)
        assert python.ask("conn", PYTHON) == "'mine'\n"
        left(python)


def test_python_says_that_the_database_has_gone(database_url: str) -> None:
    with opened("python", DATABASE_URL=database_url) as python:
        python.read(PYTHON)
        python.ask("import subprocess; await conn.close()", PYTHON)
        name = urlsplit(database_url).path.removeprefix("/")
        python.ask(f"subprocess.call(['dropdb', '{name}'])", PYTHON)
        shown = python.ask("await conn.fetchval('SELECT 1')", PYTHON)
        assert "the server has no such database" in shown
        assert "Traceback" not in shown
        left(python)


def test_what_is_piped_is_one_script(database_url: str) -> None:
    told = piped(
        "python",
        "for n in 6, 7:\n    print(await conn.fetchval('SELECT $1::int', n))\n\n    print()\n1 + 1\n",
        DATABASE_URL=database_url,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "6\n\n7\n\n", "")
    told = piped("shell", "psql -XAtc 'SELECT 1'\n", DATABASE_URL=database_url)
    assert (told.returncode, told.stdout, told.stderr) == (0, "1\n", "")


@pytest.mark.parametrize("command", ["shell", "python"])
def test_they_say_what_is_wrong(command: str) -> None:
    told = piped(command, "", PLANTOPS_PORT="x")
    assert told.returncode == 1
    assert told.stderr.startswith("PLANTOPS_PORT is 'x'")


def test_another_program_is_refused() -> None:
    told = piped("perl", "")
    assert told.returncode == 2
    assert "invalid choice: 'perl'" in told.stderr


def test_python_does_not_start_without_a_database() -> None:
    told = piped("python", "", DATABASE_URL="postgresql://u@/d?host=/nowhere")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("cannot connect to /nowhere, database d")


def test_what_is_started_in_the_shell_keeps_the_server(tmp_path: Path) -> None:
    with database_server("postgresql://u@/d?host=/nowhere", tmp_path) as other:
        assert other() == "postgresql://u@/d?host=/nowhere"
    inner = None
    with development(tmp_path / "data") as shell:
        inner = database_server(shell.url(), tmp_path / "data")
        inside = inner.__enter__()
        passed_on = shell.url()
    try:
        told = subprocess.check_output([server.binary("psql"), "-XAtc", "SELECT 1", "-d", inside()], text=True)
        assert (told, inside()) == ("1\n", passed_on)
    finally:
        inner.__exit__(None, None, None)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "prompt", "leave"), [("shell", SHELL, "exit"), ("python", PYTHON, "exit()")])
def test_the_development_server_ends_with_them(command: str, prompt: str, leave: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with opened(command, DATABASE_URL="", PLANTOPS_DATA=str(data)) as typed:
        assert "the development database" in typed.read(prompt)
        assert (data / "state.json").exists()
        typed.send(f"{leave}\n")
        assert typed.end() == 0
    data_directory.claim(data / "data.lock", data / "postgres")  # waits for PostgreSQL to end
    assert not (data / "state.json").exists()

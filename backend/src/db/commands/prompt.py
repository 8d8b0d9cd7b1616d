"""psql, a shell, or Python on the backend's database: ``python -m src.db.commands.prompt psql|shell|python``.

psql is given the arguments that follow its name.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable

from src.config import TOP, Settings, SettingsError
from src.db.commands.python import python
from src.db.errors import DatabaseUnavailableError
from src.db.server import ServerError, database_server
from src.db.server.program import client, environment
from src.db.url import address, for_libpq

GREETING = "psql, pg_dump, createdb and the like use {}. `exit` leaves this shell.\n"


def psql(database_url: Callable[[], str], _: str) -> int:
    """Run psql at the top of the checkout with the arguments after its name, and return its exit status."""
    program = asyncio.run(client("psql", database_url()))
    url, password = for_libpq(database_url())
    status = _call([program, "--dbname", url, *sys.argv[2:]], password)
    return status if status >= 0 else 128 - status


def shell(database_url: Callable[[], str], named: str) -> int:
    """Run the user's shell at the top of the checkout.

    The exit status is 0: what the last command of an interactive shell returned is no failure of the shell.
    """
    variables = asyncio.run(environment(database_url()))
    if sys.stdin.isatty():
        sys.stderr.write(GREETING.format(named))
    _call([os.environ.get("SHELL") or "/bin/sh"], variables)
    return 0


def _call(command: list[str], variables: dict[str, str]) -> int:
    # Ctrl-C is for what runs: psql has a use of its own for it.
    signal.signal(signal.SIGINT, lambda *_: None)
    return subprocess.call(command, cwd=TOP, env={**os.environ, **variables})  # noqa: S603 - psql, or the user's own shell


PROGRAMS = {"psql": psql, "shell": shell, "python": python}


def on_database(program: Callable[[Callable[[], str], str], int]) -> int:
    """Run a program on DATABASE_URL or the development server, which runs as long as the program does.

    Arguments:
        program: is given a function that returns the URL, and the database's name for a greeting; it returns the exit
            status.

    Returns:
        The program's exit status, or 1 where there is no database.
    """
    try:
        settings = Settings.from_environment()
        named = address(settings.database_url) if settings.database_url else "the development database"
        with database_server(settings.database_url, settings.data) as database_url:
            return program(database_url, named)
    except (SettingsError, ServerError, DatabaseUnavailableError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m src.db.commands.prompt")
    parser.add_argument("program", choices=PROGRAMS)
    sys.exit(on_database(PROGRAMS[parser.parse_args(sys.argv[1:2]).program]))

"""A shell for PostgreSQL's own programs on the backend's database: ``python -m src.db.commands.shell``."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable

from src.config import TOP
from src.db.commands.prompt import on_database
from src.db.server.program import environment

GREETING = "psql, pg_dump, createdb and the like use {}. `exit` leaves this shell.\n"


def shell(database_url: Callable[[], str], named: str) -> int:
    """Run the user's shell at the top of the checkout.

    The exit status is 0: what the last command of an interactive shell returned is no failure of the shell.
    """
    variables = asyncio.run(environment(database_url()))
    if sys.stdin.isatty():
        sys.stderr.write(GREETING.format(named))
    # Ctrl-C is for what runs in the shell.
    signal.signal(signal.SIGINT, lambda *_: None)
    program = os.environ.get("SHELL") or "/bin/sh"
    subprocess.call([program], cwd=TOP, env={**os.environ, **variables})  # noqa: S603 - the user's own shell
    return 0


if __name__ == "__main__":
    sys.exit(on_database(shell))

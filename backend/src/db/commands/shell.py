"""A shell for PostgreSQL's own programs on the backend's database: ``python -m src.db.commands.shell``."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

from src.config import TOP, Settings, SettingsError
from src.db.errors import DatabaseUnavailableError
from src.db.program import environment
from src.db.server import ServerError, database_server
from src.db.url import address

GREETING = "psql, pg_dump, createdb and the like use {}. `exit` leaves this shell.\n"


def main() -> int:
    """Run the user's shell at the top of the checkout, on DATABASE_URL or the development server.

    The server runs as long as the shell. The exit status is 1 if there is no server, and 0 otherwise: what the last
    command of an interactive shell returned is no failure of the shell.
    """
    try:
        settings = Settings.from_environment()
        with database_server(settings.database_url, settings.data) as database_url:
            variables = asyncio.run(environment(database_url()))
            if sys.stdin.isatty():
                sys.stderr.write(GREETING.format(_named(settings)))
            # Ctrl-C is for what runs in the shell.
            signal.signal(signal.SIGINT, lambda *_: None)
            shell = os.environ.get("SHELL") or "/bin/sh"
            subprocess.call([shell], cwd=TOP, env={**os.environ, **variables})  # noqa: S603 - the user's own shell
    except (SettingsError, ServerError, DatabaseUnavailableError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _named(settings: Settings) -> str:
    return address(settings.database_url) if settings.database_url else "the development database"


if __name__ == "__main__":
    sys.exit(main())

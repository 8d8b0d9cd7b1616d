"""``migrate``: apply the pending migrations, with a line for each."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import shutil
import sys
import time
from typing import TextIO

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
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long to wait for a database that is still starting (0)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Apply the pending migrations and return the exit status."""
    progress = _Progress(sys.stderr, shown=sys.stderr.isatty() and not arguments.json)
    handler = _Lines(progress, quiet=arguments.json)
    level = _RUNNER.level
    _RUNNER.addHandler(handler)
    _RUNNER.setLevel(logging.DEBUG if progress.shown else logging.INFO)
    try:
        applied = run_until_signalled(_migrate(arguments, progress))
    finally:
        with contextlib.suppress(OSError):
            progress.clear()
        _RUNNER.removeHandler(handler)
        _RUNNER.setLevel(level)
    if handler.failure is not None:
        raise handler.failure
    if arguments.json:
        sys.stdout.write(json.dumps({"applied": applied}) + "\n")
    elif not applied:
        sys.stdout.write("No pending migrations\n")
    return 0


async def _migrate(arguments: argparse.Namespace, progress: _Progress) -> list[str]:
    ticking = asyncio.create_task(progress.tick())
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


class _Lines(logging.Handler):
    """Writes what the runner logs: what it applied to standard output, and warnings to standard error."""

    def __init__(self, progress: _Progress, *, quiet: bool) -> None:
        super().__init__()
        self._progress = progress
        self._quiet = quiet
        self.failure: OSError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; that it cannot be written must not end the migration that says it."""
        try:
            self._write(record)
        except OSError as error:
            self.failure = error

    def _write(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.levelno < logging.INFO:
            self._progress.show(message)
            return
        self._progress.clear()
        if record.levelno >= logging.WARNING:
            sys.stderr.write(f"warning: {message}\n")
        elif not self._quiet:
            sys.stdout.write(f"{message}\n")
            sys.stdout.flush()


class _Progress:
    """The last line of a terminal, which says what is being done and for how long."""

    def __init__(self, stream: TextIO, *, shown: bool) -> None:
        self._stream = stream
        self.shown = shown
        self._text = "connecting"
        self._started = time.monotonic()

    def show(self, text: str) -> None:
        """Show a text from now on."""
        self._text = text
        self._started = time.monotonic()
        self._draw()

    def clear(self) -> None:
        """Make room for another line; what is shown is shown again below it, unless something else is."""
        if self.shown:
            self._write("")

    async def tick(self) -> None:
        """Keep the time on the line going."""
        with contextlib.suppress(OSError):  # the terminal has gone
            while self.shown:
                await asyncio.sleep(_TICK)
                self._draw()

    def _draw(self) -> None:
        seconds = int(time.monotonic() - self._started)
        self._write(f"{self._text}, {seconds} s" if seconds else self._text)

    def _write(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r\033[K{text[:width]}")
        self._stream.flush()

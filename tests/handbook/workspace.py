"""Page workspaces: the scratch copy of the checkout, the database and the processes that one page's blocks share."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from handbook import interpreter
from handbook.environment import of_block
from handbook.postgres import Postgres
from handbook.process import Process, ProcessError

PAGE = "HANDBOOK_PAGE"
TIME_LIMIT = 120.0  # seconds that a block may take
MOST_PRINTED = 1 << 20  # bytes of what a block prints that are looked at


@dataclass(frozen=True)
class Ran:
    """What became of something that ran: what it printed, what it returned, and why it did not come to its end."""

    printed: str
    result: Any = None
    error: ProcessError | None = None


@dataclass
class Workspace:
    """Where one page's blocks run.

    Arguments:
        directory: the scratch copy of the checkout.
        database: the name of the page's database.
        postgres: the server.
        clean: the process that all of the page's processes are forked from.
        page: the page's path.
        limit: seconds that a block may take.
    """

    directory: Path
    database: str
    postgres: Postgres
    clean: Process
    page: Path
    limit: float = field(default_factory=lambda: TIME_LIMIT)

    @property
    def database_url(self) -> str:
        """The address of the page's database."""
        return self.postgres.url(self.database)

    @cached_property
    def environment(self) -> dict[str, str]:
        """The whole environment of the page's processes."""
        from src.db.url import variables  # noqa: PLC0415 - see `postgres`

        programs = (self.directory / ".venv" / "bin", self.postgres.binary("psql").parent)
        return {
            **of_block(os.environ, self.directory, *programs),
            "DATABASE_URL": self.database_url,
            **variables(self.database_url),
            "PLANTOPS_PORT": str(free_port()),
            "PLANTOPS_DATA": str(self.directory / ".data"),
            PAGE: str(self.directory),
            **self.postgres.shared,
        }

    @cached_property
    def _python(self) -> Process:
        """The page's Python, which lives from its first block on."""
        return self._enter()

    def _enter(self) -> Process:
        python = self.clean.fork()
        python.call(interpreter.enter, str(self.directory), self.environment, str(self.page))
        return python

    def execute(self, source: str, line: int, *, interactive: bool = False) -> Ran:
        """Run Python in the page's process; the result is what failed, as `interpreter.execute` tells it."""
        return self._execute(self._python, source, line, interactive, None)

    def import_file(self, source: str, line: int, target: Path) -> Ran:
        """Import a Python file in a process of its own; the result is what failed."""
        python = self._enter()
        try:
            return self._execute(python, source, line, False, str(target))
        finally:
            python.kill()

    def _execute(self, python: Process, *arguments: Any) -> Ran:
        return _ran(lambda output: python.call(interpreter.execute, *arguments, limit=self.limit, output=output))

    def run(self, arguments: Sequence[str], text: str = "") -> Ran:
        """Run a program to its end; the result is its status.

        Arguments:
            arguments: the program and its arguments.
            text: its standard input.
        """
        with tempfile.TemporaryFile() as source:
            source.write(text.encode())
            source.seek(0)
            where = (arguments, self.environment, self.directory)
            return _ran(lambda output: self.clean.fork().run(*where, (source.fileno(), output), self.limit))

    def end(self) -> None:
        """End the page's Python."""
        if python := self.__dict__.pop("_python", None):
            python.kill()

    @property
    def has_python(self) -> bool:
        """Whether the page's Python lives."""
        return "_python" in self.__dict__


def _ran(action: Callable[[int], Any]) -> Ran:
    """What became of something that prints to a file.

    Arguments:
        action: runs it; it is given the file's descriptor.
    """
    # A file, not a pipe: a pipe stays open for as long as a background process of the block lives.
    with tempfile.TemporaryFile() as output:
        fcntl.fcntl(output, fcntl.F_SETFL, os.O_APPEND)
        try:
            result = action(output.fileno())
        except ProcessError as error:
            return Ran(_printed(output), error=error)
        return Ran(_printed(output), result)


def _printed(file: IO[bytes]) -> str:
    """What stands in a file, to a length at which nobody reads on."""
    file.seek(0)
    text = file.read(MOST_PRINTED).decode(errors="replace")
    left = os.fstat(file.fileno()).st_size - MOST_PRINTED
    return text if left <= 0 else f"{text}\n[{left} more bytes]\n"


def free_port() -> int:
    """A TCP port of this machine that nothing listens on at present."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port

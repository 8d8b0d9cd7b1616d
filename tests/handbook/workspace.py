"""Page workspaces: the scratch copy of the checkout, the database and the processes that one page's blocks share."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from handbook import forked, interpreter
from handbook.block import BlockError
from handbook.environment import of_block
from handbook.output import lines_of
from handbook.postgres import Postgres
from handbook.process import Process, ProcessError

PAGE = "HANDBOOK_PAGE"
TIME_LIMIT = 120.0  # seconds that a block may take
MOST_PRINTED = 1 << 20  # bytes of what a block prints that are looked at


@dataclass(frozen=True)
class Ran:
    """What became of something that ran: what it printed, what it returned, and why it did not come to its end."""

    printed: str
    result: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    def finished(self, line: int) -> str:
        """What it printed.

        Arguments:
            line: the line of the page to blame where it did not come to its end, and nothing says which it was.

        Raises:
            BlockError: it did not, or something failed in it.
        """
        if self.error is not None:
            *details, summary = self.error.rstrip("\n").split("\n")
            raise BlockError(line, summary, [*lines_of(self.printed), *details])
        if "summary" in self.result:
            details = self.result["details"]
            if self.printed.strip():
                details = ["it printed:", *lines_of(self.printed), "", *details]
            raise BlockError(self.result["line"], self.result["summary"], details)
        return self.printed


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
        return self._call(lambda: nullcontext(self._python), interpreter.execute, source, line, interactive, None)

    def import_file(self, source: str, line: int, target: Path) -> Ran:
        """Import a Python file in a process of its own; the result is what failed."""
        return self._call(self._enter, interpreter.execute, source, line, False, str(target))

    def run(self, arguments: Sequence[str], text: str = "") -> Ran:
        """Run a program to its end; the result holds its status.

        Arguments:
            arguments: the program and its arguments.
            text: its standard input.
        """
        where = (self.environment, str(self.directory))
        ran = self._call(self.clean.fork, forked.run, arguments, *where, text)
        reason = ran.result.get("reason")
        return Ran(ran.printed, error=f"cannot start: {reason}") if reason else ran

    def _call(
        self, start: Callable[[], AbstractContextManager[Process]], function: Callable[..., Any], *arguments: Any
    ) -> Ran:
        """What becomes of a call in a process, whose last argument is the file that it prints to."""
        # A file, not a pipe: a pipe stays open for as long as a background process of the block lives.
        with tempfile.TemporaryFile() as output:
            fcntl.fcntl(output, fcntl.F_SETFL, os.O_APPEND)
            try:
                with start() as process:
                    result = process.call(function, *arguments, limit=self.limit, output=output.fileno())
            except ProcessError as error:
                return Ran(_printed(output), error=str(error))
            return Ran(_printed(output), result)

    def end(self) -> None:
        """End the page's Python."""
        if python := self.__dict__.pop("_python", None):
            python.kill()

    @property
    def has_python(self) -> bool:
        """Whether the page's Python lives."""
        return "_python" in self.__dict__


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

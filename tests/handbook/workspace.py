"""Page workspaces: the scratch copy of the checkout, the database and the processes that one page's blocks share."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from handbook import interpreter, launch
from handbook.cluster import restore, state_of
from handbook.environment import of_block
from handbook.forked import end_children, has_children
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
        postgres: the server.
        database: the name of the page's database.
        clean: the process that the page's Python is forked from, and that starts its programs.
        page: the page's path.
        before: what the server holds beside the databases of the run; None where others use it too.
        limit: seconds that a block may take.
    """

    directory: Path
    postgres: Postgres
    database: str
    clean: Process
    page: Path
    before: Mapping[str, str] | None = None
    limit: float = field(default_factory=lambda: TIME_LIMIT)
    _python: Process | None = None
    _is_open: bool = True

    @cached_property
    def _port(self) -> int:
        return free_port()

    @property
    def database_url(self) -> str:
        """The address of the page's database."""
        return self.postgres.url(self.database)

    def environment(self) -> dict[str, str]:
        """The whole environment of the page's processes."""
        from src.db.url import variables  # noqa: PLC0415 - see `postgres`

        programs = (self.directory / ".venv" / "bin", self.postgres.binary("psql").parent)
        return {
            **of_block(os.environ, self.directory, *programs),
            "DATABASE_URL": self.database_url,
            **variables(self.database_url),
            "PLANTOPS_PORT": str(self._port),
            "PLANTOPS_DATA": str(self.directory / ".data"),
            PAGE: str(self.directory),
            **self.postgres.shared,
        }

    @property
    def python(self) -> Process:
        """The page's Python, which lives from its first block on."""
        if self._python is None:
            self._python = self._enter()
        return self._python

    def execute(self, source: str, line: int, *, interactive: bool = False) -> Ran:
        """Run Python in the page's process; the result is what failed, as `interpreter.execute` tells it."""
        return self._call(self.python, interpreter.execute, source, line, interactive)

    def import_file(self, source: str, line: int, target: Path) -> Ran:
        """Import a Python file in a process of its own; the result is what failed."""
        python = self._enter()
        try:
            return self._call(python, interpreter.import_file, source, line, str(target))
        finally:
            python.kill()

    def run(self, arguments: Sequence[str], text: str = "") -> Ran:
        """Run a program to its end; the result is its status, or in words why it has none.

        Arguments:
            arguments: the program and its arguments.
            text: its standard input.
        """
        with tempfile.TemporaryFile() as source:
            source.write(text.encode())
            source.seek(0)
            job = (list(arguments), self.environment(), str(self.directory), self.limit)
            return self._call(self.clean, launch.launch, *job, descriptors=[source.fileno()])

    def _enter(self) -> Process:
        python = self.clean.fork()
        python.call(interpreter.enter, str(self.directory), self.environment(), str(self.page))
        return python

    def _call(
        self, process: Process, function: Callable[..., Any], *arguments: Any, descriptors: Sequence[int] = ()
    ) -> Ran:
        # A file, not a pipe: a pipe stays open for as long as a background process of the block lives.
        with tempfile.TemporaryFile() as output:
            fcntl.fcntl(output, fcntl.F_SETFL, os.O_APPEND)

            def too_much() -> str | None:
                much = os.fstat(output.fileno()).st_size > launch.MOST_WRITTEN
                return f"printed more than {launch.MOST_WRITTEN >> 20} MB" if much else None

            try:
                if process is self.clean:  # which keeps the limit itself
                    result = process.call(function, *arguments, descriptors=[*descriptors, output.fileno()])
                else:
                    found = [output.fileno()]
                    result = process.call(function, *arguments, descriptors=found, limit=self.limit, watch=too_much)
            except ProcessError as error:
                return Ran(_printed(output), error=error)
            return Ran(_printed(output), result)

    def close(self, later: Executor | None = None, *, alone: bool = True) -> list[str]:
        """End the page: its processes, its database and its files.

        Arguments:
            later: does what nobody has to wait for.
            alone: whether no other page is open, so that whatever still runs below the clean process is this page's.

        Returns:
            What the page leaves changed on the server, and cannot be taken back.
        """
        if not self._is_open:
            return []
        self._is_open = False
        self.stop(alone=alone)
        if alone and self.before is not None and state_of(self.postgres) != self.before:
            self._remove()
            return restore(self.postgres, self.before)
        if later is None:
            self._remove()
        else:
            later.submit(self._remove)
        return []

    @property
    def is_idle(self) -> bool:
        """Whether the page is no more than its files and its database: nothing runs, the server is as it was."""
        return self._python is None and not self.clean.call(has_children) and state_of(self.postgres) == self.before

    def stop(self, *, alone: bool = True) -> None:
        """End the page's processes; `alone` is as for `close`."""
        if self._python is not None:
            self._python.kill()
            self._python = None
        if self.clean.is_busy:  # the run was interrupted in the middle of a block
            self.clean.end()
        elif alone:
            self.clean.call(end_children)

    def _remove(self) -> None:
        self.postgres.drop(self.database)
        shutil.rmtree(self.directory, ignore_errors=True)


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

"""Processes to fork from: each calls the functions that it is told to, and can be copied with all that it holds.

`Process.start` makes a clean one, a fresh Python with a single thread and some modules loaded. `fork` copies a process
in the time that a page's first block takes. What a process calls, it calls by the function's name, with arguments that
JSON can hold, and all that comes back is JSON: nothing of what it runs reaches the process that asks.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import Any, Self

import psutil

from handbook import forked

LOOK = 0.2  # seconds between two looks at a process that says nothing
LAST_WORDS = 0.5  # seconds in which a copy that code has made of its process is heard after the process itself
PATIENCE = 20.0  # seconds in which a process ends what it has started
MOST_WRITTEN = 256 << 20  # bytes after which what prints is ended
PATHS = Path(__file__).resolve().parents[1]


class ProcessError(Exception):
    """A process did not come to the end of what it was asked; the text says why."""


class EndedError(ProcessError):
    """The process is no more.

    Arguments:
        status: as `os.waitstatus_to_exitcode` gives it; None where it is not known.
    """

    def __init__(self, status: int | None) -> None:
        how = "" if status is None else f" with status {status}"
        if status is not None and status < 0:
            how = f" by {signal.Signals(-status).name}"
        super().__init__(f"its process was ended{how}")
        self.status = status


class Process:
    """A process that can be asked to call functions, and to be copied; as a context, one that is killed at its end.

    Arguments:
        connection: what it is asked through.
        pid: its number.
        reap: waits for its end, and returns its status.
    """

    def __init__(self, connection: Connection[Any, Any], pid: int, reap: Callable[[], int | None]) -> None:
        self.pid = pid
        self.has_ended = False
        self._connection = connection
        self._reap = reap

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @classmethod
    def start(cls, modules: Iterable[str], environment: Mapping[str, str]) -> Process:
        """Start a clean process.

        Arguments:
            modules: names of what it loads, so that no copy has to.
            environment: all of its environment.
        """
        ours, theirs = Pipe()
        code = (
            f"import sys; sys.path.insert(0, {str(PATHS)!r}); from handbook.forked import main; "
            f"main({theirs.fileno()}, {[*modules]!r})"
        )
        with theirs:
            started = subprocess.Popen(
                [sys.executable, "-c", code],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        return cls(ours, started.pid, started.wait)

    def fork(self) -> Process:
        """A copy of this process, with all that it holds by now; it ends with the connection to it.

        Raises:
            ProcessError: this one does not answer.
        """
        ours, theirs = Pipe()
        with theirs:
            self._send(None, (), theirs.fileno())
        pid = self._reply()["result"]

        def reap() -> int | None:
            with suppress(ProcessError):
                status: int | None = self.call(forked.reap, pid)
                return status
            return None

        return Process(ours, pid, reap)

    def call(
        self, function: Callable[..., Any], *arguments: Any, limit: float = math.inf, output: int | None = None
    ) -> Any:
        """What a function returns in that process.

        Arguments:
            function: one of a module; it is given the arguments, and then `output` if there is one.
            arguments: what JSON can hold.
            limit: seconds after which the process is killed.
            output: an open file that the function prints to; where it grows too large the process is killed.

        Raises:
            EndedError: the process ended.
            ProcessError: it was killed, or code there has copied the process and the copy went on, or the function
                raised; the text says which, and is the traceback if it raised.
        """
        self._send(function, arguments, output)
        reply = self._reply(limit, output)
        if reply.get("forks") and self._connection.poll(LAST_WORDS):
            reply = self._read()
        if "error" in reply:
            raise ProcessError(reply["error"])
        return reply.get("result")

    def kill(self) -> int | None:
        """End the process, and return its status; what it has started is left alone."""
        self._connection.close()
        if self.has_ended:
            return None
        self.has_ended = True
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return self._reap()

    def end(self) -> None:
        """End the process and everything below it."""
        if not self.has_ended:
            with suppress(ProcessError):
                self.call(forked.end_children, limit=PATIENCE)
        self.kill()

    def _send(self, function: Callable[..., Any] | None, arguments: tuple[Any, ...], file: int | None) -> None:
        name = f"{function.__module__}:{function.__qualname__}" if function else None
        message = {"call": name, "arguments": arguments, "file": file is not None}
        try:
            self._connection.send_bytes(json.dumps(message).encode())
            if file is not None:
                send_handle(self._connection, file, self.pid)
        except OSError:
            raise EndedError(self.kill()) from None

    def _reply(self, limit: float = math.inf, output: int | None = None) -> dict[str, Any]:
        end = time.monotonic() + limit
        while not self._connection.poll(LOOK):
            if _is_over(self.pid):  # and a copy of it keeps the connection open
                raise EndedError(self.kill())
            reason = f"did not end within {limit:.0f} s" if time.monotonic() > end else None
            if output is not None and os.fstat(output).st_size > MOST_WRITTEN:
                reason = f"printed more than {MOST_WRITTEN >> 20} MB"
            if reason is not None:
                with suppress(psutil.Error):  # a program, which it waits for
                    for child in psutil.Process(self.pid).children():
                        child.kill()
                self.kill()
                raise ProcessError(reason)
        return self._read()

    def _read(self) -> dict[str, Any]:
        try:
            reply: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError, ValueError):
            raise EndedError(self.kill()) from None
        return reply


def _is_over(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True

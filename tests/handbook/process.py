"""Processes to fork from: each calls the functions that it is told to, and can be copied with all that it holds.

`Process.start` makes a clean one, a fresh Python with a single thread and some modules loaded. `fork` copies a process
in the time that a page's first block takes. What a process calls, it calls by the function's name, with arguments that
JSON can hold, and all that comes back is JSON: nothing of what it runs reaches the process that asks.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from handbook.forked import lives_still, reap
from handbook.message import receive, send

LOOK = 0.2  # seconds between two looks at a process that says nothing
LAST_WORDS = 0.5  # seconds in which a copy that code has made of its process is heard after the process itself
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


class LimitError(ProcessError):
    """The process took longer than it was given, and was killed."""


class CopyError(ProcessError):
    """A copy that code has made of its process with `os.fork` came back as if it were the process itself."""

    def __init__(self) -> None:
        super().__init__("os.fork has made a copy of its process that went on past the end of the block")


class Process:
    """A process that can be asked to call functions, and to be copied."""

    def __init__(self, connection: socket.socket, pid: int, parent: Process | None, started: Any = None) -> None:
        self.pid = pid
        self._connection = connection
        self._parent = parent
        self._started: subprocess.Popen[bytes] | None = started
        self.has_ended = False
        self.is_busy = False
        """Whether it was asked something whose answer nobody has waited for: what it would say next is about that."""

    @classmethod
    def start(cls, modules: Iterable[str], environment: Mapping[str, str], paths: Sequence[Path] = (PATHS,)) -> Process:
        """Start a clean process.

        Arguments:
            modules: names of what it loads, so that no copy has to.
            environment: all of its environment.
            paths: directories that it finds modules in, beside the installed ones.
        """
        ours, theirs = socket.socketpair()
        found = [str(path) for path in paths]
        code = (
            f"import sys; sys.path[:0] = {found!r}; from handbook.forked import main; main({theirs.fileno()}, "
            f"{[*modules]!r}); "
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
        return cls(ours, started.pid, None, started)

    def fork(self) -> Process:
        """A copy of this process, with all that it holds by now; it ends with the connection to it.

        Raises:
            ProcessError: this one does not answer.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            self._send({"fork": True}, [theirs.fileno()])
        return Process(ours, self._reply(None)["result"], self)

    def call(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        limit: float | None = None,
        descriptors: Sequence[int] = (),
        watch: Callable[[], str | None] = lambda: None,
    ) -> Any:
        """What a function returns in that process.

        Arguments:
            function: one of a module; it is given the arguments, and then the descriptors if there are any.
            arguments: what JSON can hold.
            limit: seconds after which the process is killed.
            descriptors: open files that the process is to have as well; it closes them.
            watch: asked every now and then; what it returns is why the process is to be killed.

        Raises:
            LimitError: it took too long, or `watch` said so.
            EndedError: the process ended.
            CopyError: code there has copied the process, and the copy went on.
            ProcessError: the function raised; the text is the traceback.
        """
        name = f"{function.__module__}:{function.__qualname__}"
        self.is_busy = True  # before it is asked: an interruption comes at any moment
        self._send({"call": name, "arguments": arguments}, descriptors)
        reply = self._reply(limit, watch)
        self.is_busy = False
        if reply.get("forks") and select.select([self._connection], [], [], LAST_WORDS)[0]:
            self._read()
        if "error" in reply:
            raise ProcessError(reply["error"])
        return reply.get("result")

    def kill(self) -> int | None:
        """End the process, and return its status; what it has started is left alone."""
        self._connection.close()
        with suppress(ProcessLookupError):
            if not self.has_ended:
                os.kill(self.pid, signal.SIGKILL)
        return self._reap()

    def end(self) -> None:
        """End the process and everything below it."""
        if not self.has_ended:
            _kill_below(self.pid)
        self.kill()

    def _reap(self) -> int | None:
        if self.has_ended:
            return None
        self.has_ended = True
        if self._started is not None:
            return self._started.wait()
        assert self._parent is not None
        with suppress(ProcessError):
            status: int | None = self._parent.call(reap, self.pid)
            return status
        return None

    def _send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        try:
            send(self._connection, message, descriptors)
        except OSError:
            raise EndedError(self.kill()) from None

    def _reply(self, limit: float | None, watch: Callable[[], str | None] = lambda: None) -> dict[str, Any]:
        end = None if limit is None else time.monotonic() + limit
        while not select.select([self._connection], [], [], LOOK)[0]:
            reason = watch()
            if reason is None and end is not None and time.monotonic() > end:
                reason = f"did not end within {limit:.0f} s"
            if reason is not None:
                self.kill()
                raise LimitError(reason)
            if not self._lives():
                raise EndedError(self.kill())
        return self._read()

    def _read(self) -> dict[str, Any]:
        try:
            message, _ = receive(self._connection)
        except (OSError, ValueError):
            message = None
        if message is None:
            raise EndedError(self.kill())
        if "copy" in message:
            raise CopyError
        return message

    def _lives(self) -> bool:
        """Whether the process lives: a copy of it may keep the connection open."""
        if self._started is not None:
            return self._started.poll() is None
        assert self._parent is not None
        lives: bool = self._parent.call(lives_still, self.pid)
        return lives


def _kill_below(pid: int) -> None:
    """Kill the descendants of a process until it has none that live."""
    end = time.monotonic() + 10
    with suppress(psutil.Error):
        while time.monotonic() < end:
            found = psutil.Process(pid).children(recursive=True)
            living = [process for process in found if process.status() != psutil.STATUS_ZOMBIE]
            if not living:
                return
            for process in living:
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(0.005)

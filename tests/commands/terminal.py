"""A program on a terminal of its own, driven as a person would drive it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

TIME_LIMIT = 90.0  # seconds that a program may take until it shows its prompt again
COLUMNS = 200


class Terminal:
    """A program on a terminal.

    Arguments:
        pid: the program's process.
        descriptor: the terminal.
    """

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self.descriptor = descriptor

    def send(self, text: str) -> None:
        """Type or paste a text."""
        os.write(self.descriptor, text.encode())

    def read(self, prompt: str) -> str:
        """What is shown up to a prompt.

        Arguments:
            prompt: a pattern, which the text ends with.

        Raises:
            AssertionError: the prompt does not come.
        """
        shown, end = b"", time.monotonic() + TIME_LIMIT
        while not re.search(f"(?:{prompt})$", text := shown.decode(errors="replace").replace("\r\n", "\n")):
            assert time.monotonic() < end, f"no {prompt} after {text!r}"
            if select.select([self.descriptor], [], [], 0.5)[0]:
                try:
                    shown += os.read(self.descriptor, 65536)
                except OSError:  # Linux says so of a terminal that no program has open
                    raise AssertionError(f"ended before {prompt}: {text!r}") from None
        return text

    def ask(self, text: str, prompt: str) -> str:
        """What is shown between a line that is typed and the next prompt."""
        self.send(text + "\n")
        _, _, shown = self.read(prompt).partition("\n")
        # A line of progress is written over.
        return re.sub(r"[^\n]*\r\x1b\[K", "", re.sub(f"(?:{prompt})$", "", shown))

    def end(self) -> int:
        """Wait for the program, and return its exit status."""
        end = time.monotonic() + TIME_LIMIT
        while time.monotonic() < end:
            with suppress(OSError):
                if select.select([self.descriptor], [], [], 0.02)[0]:
                    os.read(self.descriptor, 65536)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("it does not end")


@contextmanager
def terminal(command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Start a program on a terminal of its own; it is gone at the end of the block."""
    pid, descriptor = pty.fork()
    if pid == 0:
        os.chdir(directory)
        os.execvpe(command[0], list(command), {**environment, "TERM": "dumb"})  # noqa: S606 - no shell is wanted
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    try:
        yield Terminal(pid, descriptor)
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(descriptor)

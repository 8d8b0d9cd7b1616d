"""Work in a copy of this process, so that nothing which it does to memory remains."""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import time
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

HEADER = struct.Struct("!Q")
PARENT_GONE, TOO_LONG, ENDED = "the process that asked is gone", "it did not end", "it was ended"
CHECK = 1.0  # seconds between two looks whether the parent still lives


class WorkError(Exception):
    """The copy did not come to a result; the text says why."""


class Copy(Generic[T]):
    """A function that runs in a copy of this process.

    Args:
        work: the function; what it returns can be pickled.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._read, write = os.pipe()
        self._parent = os.getppid()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._read)
            _work(work, write)
        os.close(write)

    def result(self, limit: float) -> T:
        """What the function returns.

        Args:
            limit: the seconds that it may take.

        Raises:
            WorkError: it raised, took longer, or was ended.
        """
        end = time.monotonic() + limit
        try:
            header = self._receive(HEADER.size, end)
            data = self._receive(HEADER.unpack(header)[0], end)
        finally:
            os.close(self._read)
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        succeeded, value = pickle.loads(data)  # noqa: S301 - it comes from this program
        if not succeeded:
            raise WorkError(value)
        result: T = value
        return result

    def _receive(self, count: int, end: float) -> bytes:
        found = b""
        while len(found) < count:
            if os.getppid() != self._parent:
                raise WorkError(PARENT_GONE)
            left = end - time.monotonic()
            if left <= 0:
                raise WorkError(TOO_LONG)
            if select.select([self._read], [], [], min(left, CHECK))[0]:
                chunk = os.read(self._read, count - len(found))
                if not chunk:
                    raise WorkError(ENDED)
                found += chunk
        return found


def _work(work: Callable[[], T], write: int) -> None:
    status = 0
    try:
        # What the copy says beside its result is nobody's.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            data = pickle.dumps((True, work()))
        except BaseException:  # whatever it is, the parent is told
            data = pickle.dumps((False, traceback.format_exc()))
        with os.fdopen(write, "wb") as stream:
            stream.write(HEADER.pack(len(data)) + data)
    except BaseException:  # nobody reads any more
        status = 1
    finally:
        os._exit(status)

"""What runs in a process that is forked from: it does what it is asked, and nothing else (see `process`)."""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from json import dumps
from typing import Any, NoReturn

from handbook.message import receive, send

# Linux's PR_SET_CHILD_SUBREAPER: what loses its parent becomes a child of this process, whatever its session.
SUBREAPER = 36

_forks = 0


def main(descriptor: int, modules: Iterable[str]) -> NoReturn:
    """Be a clean process: load modules, and then do what is asked."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for module in modules:
        importlib.import_module(module)
    adopt_orphans()
    os.register_at_fork(after_in_parent=_count_fork)
    # What is here by now is never collected, in no copy: so it stays shared memory.
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=descriptor))


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 - a count of the process
    _forks += 1


def serve(connection: socket.socket) -> NoReturn:
    """Do what is asked, until nobody can ask any more."""
    global _forks  # noqa: PLW0603 - as above
    me = os.getpid()
    while True:
        message, descriptors = receive(connection)
        if message is None:
            os._exit(0)
        if "fork" in message:
            pid = os.fork()
            if pid == 0:
                connection.close()
                connection, me = socket.socket(fileno=descriptors[0]), os.getpid()
                os.setsid()
                continue
            os.close(descriptors[0])
            send(connection, {"result": pid})
            continue
        _forks = 0
        reply = _called(message, descriptors)
        if os.getpid() != me:
            with suppress(OSError):
                send(connection, {"copy": True})
            os._exit(1)
        send(connection, {**reply, "forks": _forks})


def _called(message: Mapping[str, Any], descriptors: list[int]) -> dict[str, Any]:
    module, _, name = message["call"].partition(":")
    try:
        function: Any = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        reply = {"result": function(*message["arguments"], *([descriptors] if descriptors else []))}
        dumps(reply)
    except BaseException:  # whatever it is, the one who asked is told
        return {"error": traceback.format_exc()}
    else:
        return reply
    finally:
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)


def reap(pid: int) -> int | None:
    """How a child of this process ended; None where that is not known."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None


def lives_still(pid: int) -> bool:
    """Whether a child of this process has not ended; what it ended with can still be asked for."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def adopt_orphans() -> None:
    """Let what the descendants of this process leave behind become its children, where the system can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def has_children() -> bool:
    """Whether anything that this process has started, or adopted, still lives."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def end_children(kept: Sequence[int] = ()) -> None:
    """Kill the children of this process, and theirs, until none is left but those that are kept."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return  # there are none: so it is after nearly every page
        found = [pid for pid in _children() if pid not in kept]
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)


def _children() -> list[int]:
    import psutil  # noqa: PLC0415 - for the few pages that leave something

    return [child.pid for child in psutil.Process().children()]

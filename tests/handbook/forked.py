"""What runs in a process that is forked from: it does what it is asked, and nothing else (see `process`)."""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from json import dumps, loads
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import Any, NoReturn

import psutil

# Linux's PR_SET_CHILD_SUBREAPER: what loses its parent becomes a child of this process, whatever its session.
SUBREAPER = 36
COPIED = "os.fork has made a copy of its process that went on past the end of the block"

_forks: list[None] = []


def main(descriptor: int, modules: Iterable[str]) -> NoReturn:
    """Be a clean process: load modules, and then do what is asked."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for module in modules:
        importlib.import_module(module)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    os.register_at_fork(after_in_parent=lambda: _forks.append(None))
    # What is here by now is never collected, in no copy: so it stays shared memory.
    gc.collect()
    gc.freeze()
    serve(Connection(descriptor))


def serve(connection: Connection[Any, Any]) -> NoReturn:
    """Do what is asked, until nobody can ask any more."""
    me = os.getpid()
    while True:
        try:
            message = loads(connection.recv_bytes())
            files = [recv_handle(connection) for _ in range(message["files"])]
        except (EOFError, OSError):
            os._exit(0)
        _forks.clear()
        if message["call"] is None:
            pid = os.fork()
            if pid == 0:
                connection, me = Connection(files[0]), os.getpid()
                os.setsid()
                continue
            reply: dict[str, Any] = {"result": pid}
            os.close(files[0])
        else:
            reply = _called(message, files)
            if os.getpid() != me:
                with suppress(OSError):
                    connection.send_bytes(dumps({"error": COPIED}).encode())
                os._exit(1)
        connection.send_bytes(dumps({**reply, "forks": len(_forks)}).encode())


def _called(message: Mapping[str, Any], files: list[int]) -> dict[str, Any]:
    module, _, name = message["call"].partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        reply = {"result": function(*message["arguments"], *([files] if files else []))}
        dumps(reply)
    except BaseException:  # whatever it is, the one who asked is told
        return {"error": traceback.format_exc()}
    else:
        return reply
    finally:
        for file in files:
            with suppress(OSError):
                os.close(file)


def become(arguments: Sequence[str], environment: Mapping[str, str], directory: str, files: Sequence[int]) -> str:
    """Be a program from here on.

    Arguments:
        arguments: the program and its arguments.
        environment: its whole environment.
        directory: where it runs.
        files: what it reads, and what it prints to.

    Returns:
        Why it cannot be started.
    """
    source, output = files
    for number, file in enumerate((source, output, output)):
        os.dup2(file, number)
    os.umask(0o022)
    # Python ignores these, and a program would go on doing so: `make | head` would complain of its pipe.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.chdir(directory)
    except OSError:
        return "the page's directory is gone"
    try:
        os.execvpe(arguments[0], list(arguments), environment)  # noqa: S606 - it has no need of a shell
    except OSError as error:
        return str(error.strerror)


def reap(pid: int) -> int | None:
    """How a child of this process ended; None where that is not known."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None


def has_children() -> bool:
    """Whether anything that this process has started, or adopted, still lives."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def end_children() -> None:
    """Kill the children of this process, and what they leave behind, until none is left."""
    end = time.monotonic() + 10
    while has_children() and time.monotonic() < end:
        for child in psutil.Process().children():
            with suppress(psutil.Error):
                child.kill()
        time.sleep(0.001)

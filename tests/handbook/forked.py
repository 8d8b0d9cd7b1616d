"""What runs in a process that is forked from: it does what it is asked, and nothing else (see `process`)."""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from json import dumps, loads
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
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
            file = recv_handle(connection) if message["file"] else None
        except (EOFError, OSError):
            os._exit(0)
        _forks.clear()
        if message["call"] is None:
            assert file is not None
            pid = os.fork()
            if pid == 0:
                connection, me = Connection(file), os.getpid()
                os.setsid()
                continue
            reply: dict[str, Any] = {"result": pid}
        else:
            reply = _called(message, file)
            if os.getpid() != me:
                with suppress(OSError):
                    connection.send_bytes(dumps({"error": COPIED}).encode())
                os._exit(1)
        if file is not None:
            os.close(file)
        connection.send_bytes(dumps({**reply, "forks": len(_forks)}).encode())


def _called(message: Mapping[str, Any], file: int | None) -> dict[str, Any]:
    module, _, name = message["call"].partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        reply = {"result": function(*message["arguments"], *([] if file is None else [file]))}
        dumps(reply)
    except BaseException:  # whatever it is, the one who asked is told
        return {"error": traceback.format_exc()}
    return reply


def run(
    arguments: Sequence[str], environment: Mapping[str, str], directory: str, text: str, output: int
) -> dict[str, Any]:
    """Run a program to its end, in a session of its own.

    Arguments:
        arguments: the program and its arguments.
        environment: its whole environment.
        directory: where it runs.
        text: its standard input.
        output: the file that it prints to.

    Returns:
        Its `status`, or the `reason` why it cannot be started.
    """
    try:
        ended = subprocess.run(
            arguments,
            env=environment,
            cwd=directory,
            input=text.encode(),
            stdout=output,
            stderr=output,
            umask=0o022,
            start_new_session=True,
            check=False,
        )
    except OSError as error:
        gone = not Path(directory).is_dir()
        return {"reason": "the page's directory is gone" if gone else error.strerror}
    return {"status": ended.returncode}


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
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
        time.sleep(0.001)

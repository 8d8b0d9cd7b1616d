"""Programs of a page, such as bash and psql: started by the clean process, so that no page's Python is around them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from handbook.forked import end_children

LOOK = 0.2  # seconds between two looks at a program that runs
MOST_WRITTEN = 256 << 20  # bytes after which what prints is ended


def launch(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    directory: str,
    limit: float,
    descriptors: Sequence[int],
) -> int | str:
    """Run a program to its end, in a session of its own.

    Arguments:
        arguments: the program and its arguments.
        environment: its whole environment.
        directory: where it runs.
        limit: the seconds that it may take.
        descriptors: the files that it reads, and that it prints to.

    Returns:
        Its status, or why it has none.
    """
    source, output = descriptors
    try:
        process = subprocess.Popen(
            arguments,
            cwd=directory,
            env=environment,
            stdin=source,
            stdout=output,
            stderr=output,
            start_new_session=True,
            umask=0o022,
        )
    except OSError as error:
        gone = "the page's directory is gone" if not os.path.isdir(directory) else error.strerror  # noqa: PTH112
        return f"cannot start: {gone}"
    parent, end = os.getppid(), time.monotonic() + limit
    while not _ended(process, min(LOOK, max(end - time.monotonic(), 0))):
        if os.getppid() != parent:
            # Nobody waits for it any more, nor for what it has started.
            end_children()
            os._exit(1)
        reason = f"did not end within {limit:.0f} s" if time.monotonic() >= end else None
        if os.fstat(output).st_size > MOST_WRITTEN:
            reason = f"printed more than {MOST_WRITTEN >> 20} MB"
        if reason is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return reason
    return process.wait()


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a process ends within some seconds."""
    if sys.platform != "linux":
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True
    # Woken at its end: to ask again and again costs every short program some milliseconds.
    descriptor = os.pidfd_open(process.pid)
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)

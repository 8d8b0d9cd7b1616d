"""The process that starts PostgreSQL, and stops it when nobody uses it any more."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .file_lock import lock
from .postmaster import start_postgres
from .problem import with_remedy
from .run_directory import MARKER, remove

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOG_LINES = 20


def spawn(control: Path, run: Path, start: int, own: int) -> None:
    """Start a supervisor that takes over the locks ``start.lock`` and ``supervisor.lock``."""
    run_lock = lock(run / "run.lock", fcntl.LOCK_SH)
    descriptors = (start, own, run_lock)
    # What the run around this one has made of its PostgreSQL is used again: initdb takes most of a start.
    around = os.environ.get(MARKER, run)
    # The shell makes the supervisor nobody's child: no zombie, and no process object that must be waited for. What it
    # starts in the background reads from nowhere.
    python = [sys.executable, "-m", "src.db.server", *map(str, (control, run, around, *descriptors))]
    backend = Path(__file__).parents[3]
    try:
        subprocess.call(  # noqa: S603 - a fixed command
            ["/bin/sh", "-c", '"$@" &', "sh", *python],
            cwd=backend,
            env=_supervisors_environment(backend),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=descriptors,
            start_new_session=True,
        )
    finally:
        os.close(run_lock)


def _supervisors_environment(backend: Path) -> dict[str, str]:
    """Return the environment of a supervisor: this one's, but for what would end it or keep it from its own code."""
    # A server of its own must not end with the throw-away server that its maker belongs to.
    kept = {name: value for name, value in os.environ.items() if name != MARKER and not name.startswith("PYTHON")}
    path = [str(backend), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(path)}


def supervise(control: Path, run: Path, around: Path, descriptors: Iterable[int]) -> None:
    """Start PostgreSQL, stop it when nobody uses it any more, and remove the run directory."""
    start, own, run_lock = descriptors
    os.chdir("/")
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGTERM, _leave)
    # Whoever waits for users.lock, held to the end, must not find a supervisor any more: its own lock is closed before.
    with os.fdopen(own), contextlib.ExitStack() as stack:
        stack.callback(remove, run)
        stack.callback((control / "state.json").unlink, missing_ok=True)
        try:
            host = start_postgres(stack, control, run, around, run_lock)
            state = {"host": str(host)}
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            state = {"error": _report(error, control / "postgres.log")}
        signal.signal(signal.SIGCHLD, _leave)  # PostgreSQL itself was killed
        (control / "state.json").write_text(json.dumps(state))
        os.close(start)
        lock(control / "users.lock", fcntl.LOCK_EX)


def _leave(*_: object) -> None:
    """End the supervisor in order; a signal handler."""
    sys.exit()


def _report(error: Exception, log: Path) -> str:
    """Return why PostgreSQL did not start, with the end of its own log, and what to do."""
    lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log.exists() else []
    return with_remedy("\n".join([f"PostgreSQL did not start: {error}", *(f"    {line}" for line in lines)]))

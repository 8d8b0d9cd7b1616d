"""PostgreSQL's own process, from its start until it is stopped."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from .account import account_of, is_owned, make_directory
from .data_directory import DATA_ARGUMENT, claim, copy_data, initialise
from .installation import PROGRAMS, copy_programs
from .run_directory import INSTALLATION

if TYPE_CHECKING:
    from pathlib import Path

_TEMPLATE = "initialised"  # a throw-away server's data as they were before its start
_SETTINGS = {
    "listen_addresses": "",
    "dynamic_shared_memory_type": "mmap",  # nothing remains in /dev/shm after kill -9
    "max_connections": "200",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_THROWAWAY_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_wal_size": "256MB",
}

# How PostgreSQL is stopped: seconds to wait after each signal. SIGINT makes it write a checkpoint first.
_STOPS = ((60.0, signal.SIGINT), (10.0, signal.SIGQUIT), (None, signal.SIGKILL))


def start_postgres(stack: contextlib.ExitStack, control: Path, run: Path, around: Path, run_lock: int) -> Path:
    """Start PostgreSQL, have the stack stop it, and return the directory of its socket once it is ready."""
    durable = control != run
    data = control / "postgres"
    data_lock = claim(control / "data.lock", data)
    root = os.geteuid() == 0
    account = account_of(data) if root else {}
    installation = (run / INSTALLATION).resolve()
    if (around / INSTALLATION).resolve() != installation:
        around = run
    shared = around / PROGRAMS / installation.parent.name / installation.name
    copied = shared if shared.exists() and not durable else None
    programs = (copied or copy_programs(installation, run)) if root else installation
    log = stack.enter_context((control / "postgres.log").open("wb"))
    process: dict[str, Any] = {
        **account,
        "env": {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        "stdout": log,
        "stderr": subprocess.STDOUT,
        "pass_fds": (run_lock, data_lock),
        "preexec_fn": _follow_parent(),
    }
    settings = _SETTINGS | ({} if durable else _THROWAWAY_SETTINGS)
    options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
    server = [str(programs / "bin" / "postgres"), "-D", DATA_ARGUMENT, *options]
    if not data.exists():
        template = around / _TEMPLATE
        if is_owned(template, account):
            copy_data(template, data, process)
        else:
            initialise(data, programs / "bin" / "initdb", server, process)
            if around == control:
                copy_data(data, template, process)
    sockets = run / "s"
    make_directory(sockets, account)
    postgres = subprocess.Popen(  # noqa: S603 - a fixed command
        [*server, "-c", f'unix_socket_directories="{sockets}"'],
        cwd=data,
        **process,
    )
    stack.callback(stop_postgres, postgres, durable)
    status = data / "postmaster.pid"  # its last line is "ready" once connections are accepted
    while not (status.exists() and status.read_text().endswith("ready   \n")):
        if postgres.poll() is not None:
            raise subprocess.CalledProcessError(postgres.returncode, "postgres")
        time.sleep(0.005)
    return sockets


def _follow_parent() -> Any:
    """Return a function by which a new process asks to be told to quit when its parent dies; None off Linux."""
    import ctypes  # noqa: PLC0415 - needed by the supervisor only

    pr_set_pdeathsig = 1
    libc: Any = ctypes.CDLL(None)
    return functools.partial(libc.prctl, pr_set_pdeathsig, int(signal.SIGQUIT)) if sys.platform == "linux" else None


def stop_postgres(postgres: subprocess.Popen[bytes], durable: bool) -> None:
    """Stop PostgreSQL: with a checkpoint where its data are kept, at once where not."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for seconds, number in _STOPS[not durable :]:
        postgres.send_signal(number)  # nothing happens where it has ended
        with contextlib.suppress(subprocess.TimeoutExpired):
            postgres.wait(seconds)

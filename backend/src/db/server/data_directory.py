"""The data of a server: made by initdb, copied from another server, or claimed from one that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from .account import make_directory
from .handle import DATABASE, USER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# PostgreSQL and initdb take the data directory as their working directory and name it so: an unprivileged account
# can then use one that lies below directories which it may not enter.
DATA_ARGUMENT = "/proc/self/cwd" if sys.platform == "linux" else "."
_BUILTIN_LOCALE = 17  # the first PostgreSQL with a locale of its own


def initialise(data: Path, initdb: Path, server: list[str], process: dict[str, Any]) -> None:
    """Make a data directory with the database plantops; it gets its name when it is complete."""
    unfinished = _unfinished(data, process)
    version = subprocess.check_output(  # noqa: S603 - a fixed command
        [initdb, "--version"], env=process["env"], stderr=process["stdout"], text=True
    )
    options = ["--no-sync", "-E", "UTF8", *locale_options(version)]
    subprocess.run(  # noqa: S603 - a fixed command
        [str(initdb), "-D", DATA_ARGUMENT, "-U", USER, "-A", "trust", *options],
        check=True,
        cwd=unfinished,
        **process,
    )
    subprocess.run(  # noqa: S603 - a fixed command
        [server[0], "--single", *server[1:], "postgres"],
        check=True,
        cwd=unfinished,
        input=f"CREATE DATABASE {DATABASE}\n".encode(),
        **process,
    )
    unfinished.rename(data)


def copy_data(source: Path, copy: Path, process: dict[str, Any]) -> None:
    """Copy a data directory on which no PostgreSQL runs; the copy gets its name when it is complete."""
    unfinished = _unfinished(copy, process)
    subprocess.run(  # noqa: S603 - a fixed command
        ["cp", "-R", f"{source}/.", "."],  # noqa: S607 - found in the PATH, as a shell finds it
        check=True,
        cwd=unfinished,
        **process,
    )
    unfinished.rename(copy)


def _unfinished(data: Path, account: Mapping[str, Any]) -> Path:
    """Make the directory that gets the name of a data directory once it is complete, and return it."""
    unfinished = data.with_name(f"{data.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    make_directory(unfinished, account)
    return unfinished


def locale_options(version: str) -> list[str]:
    """Return initdb's options for text in UTF-8, sorted by code point, from what its ``--version`` prints."""
    major = int(re.findall(r"\d+", version)[0])
    own = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= _BUILTIN_LOCALE else []
    return ["--locale=C", *own]


def claim(path: Path, data: Path) -> int:
    """Lock a data directory, ending a PostgreSQL that a killed supervisor left on it, and return the descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    status = data / "postmaster.pid"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # Where the system tells PostgreSQL of its supervisor's death, it is ending already.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(status.read_text().split()[0]), signal.SIGQUIT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    # With the lock held no process has the data open, so this file is stale, whoever has its process id by now.
    status.unlink(missing_ok=True)
    return descriptor

"""Run directories: made, found again when their makers were killed, and removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from .file_lock import held, lock
from .handle import PORT
from .problem import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psutil

MARKER = "PLANTOPS_RUN"
"""Environment variable that marks the processes that end with a throw-away server."""
INSTALLATION = "installation"
"""The link in a run directory to its PostgreSQL."""

_PREFIX = "plantops-"
_UNNAMED = f".{_PREFIX}"  # a run directory before its lock is held
_UNNAMED_LIFE = 60.0  # seconds after which an unnamed run directory has lost its maker
_SOCKET = f".s.PGSQL.{PORT}"
_SOCKET_PATH_BYTES = 103  # macOS; Linux allows 107
_ROOM = 512 << 20  # bytes that a run directory's file system must have free
_NOEXEC = getattr(os, "ST_NOEXEC", 0)


def make_run_directory(places: Iterable[Path] | None, installation: Path) -> tuple[Path, int]:
    """Make a run directory, with a link to its PostgreSQL, and return it with the descriptor of its lock, held."""
    base = base_directory(places)
    sweep(base)
    unnamed = Path(tempfile.mkdtemp(prefix=_UNNAMED, dir=base))
    unnamed.chmod(0o711)  # the unprivileged account passes through it to what is its own
    run_lock = lock(unnamed / "run.lock", fcntl.LOCK_SH)
    (unnamed / INSTALLATION).symlink_to(installation.absolute())
    return unnamed.rename(base / unnamed.name.removeprefix(".")), run_lock


def base_directory(places: Iterable[Path] | None) -> Path:
    """Return the first place that is writable, has room, and leaves enough of a socket path's length."""
    candidates = tuple(places or (Path("/dev/shm"), Path(tempfile.gettempdir()), Path("/tmp")))  # noqa: S108 - mkdtemp below
    length = _SOCKET_PATH_BYTES - len(f"/{_PREFIX}12345678/s/{_SOCKET}")
    # For root, PostgreSQL runs from a copy in the run directory, under an account that must get there.
    unusable, needed = (_NOEXEC, 0o001) if os.geteuid() == 0 else (0, 0)
    for place in candidates:
        if place.is_dir() and os.access(place, os.W_OK | os.X_OK) and len(os.fsencode(place)) <= length:
            status = os.statvfs(place)
            roomy = status.f_bavail * status.f_frsize >= _ROOM and not status.f_flag & unusable
            if roomy and all(path.stat().st_mode & needed == needed for path in (place, *place.parents)):
                return place
    problem = (
        f"PostgreSQL needs a writable directory with {_ROOM >> 20} MiB free and a path of at most {length} "
        f"bytes; none of these is one: {', '.join(map(str, candidates))}. Free some space, or set TMPDIR."
    )
    raise ServerError(problem)


def sweep(base: Path) -> None:
    """Remove run directories of this user that nobody uses: their makers and supervisors were killed."""
    for path in (*base.glob(f"{_PREFIX}*/run.lock"), *base.glob(f"{_UNNAMED}*/run.lock")):
        with contextlib.suppress(OSError):
            status = path.lstat()
            named = path.parent.name.startswith(_PREFIX)
            if status.st_uid == os.geteuid() and (named or time.time() - status.st_mtime > _UNNAMED_LIFE):
                with held(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    remove(path.parent)


def remove(run: Path) -> None:
    """End every process that is marked with a run directory, and remove the directory."""
    if run.exists():
        _kill_marked(run)
        shutil.rmtree(run, ignore_errors=True)


def _kill_marked(run: Path) -> None:
    """Kill the processes whose environment names a run directory, and those that they start meanwhile."""
    import psutil  # noqa: PLC0415 - needed at the end only, and never by those who merely use a server

    def marked() -> list[psutil.Process]:
        # Looked up, not compared: a comparison the wrong way round would find every other process of the machine.
        by_mark: defaultdict[str | None, list[psutil.Process]] = defaultdict(list)
        for process in psutil.process_iter(["environ"]):
            by_mark[(process.info["environ"] or {}).get(MARKER)].append(process)
        return by_mark[str(run)]

    while processes := [process for process in marked() if process.pid != os.getpid()]:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=1)

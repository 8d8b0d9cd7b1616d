"""The ways to have a server: thrown away afterwards, or kept for development."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import TYPE_CHECKING

from ..url import parameter
from .file_lock import held
from .handle import Server
from .installation import installed
from .problem import ServerError, with_remedy
from .run_directory import MARKER, make_run_directory, remove
from .supervisor import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


@contextlib.contextmanager
def throwaway(places: Iterable[Path] | None = None, installation: Path | None = None) -> Iterator[Server]:
    """Start a fresh server that is fast, not durable, and gone when this process leaves or ends in any way.

    As long as this process uses it, its environment holds no PG* variables: they are about another server.

    Arguments:
        places: directories to try for the server's files; ``/dev/shm`` and the temporary directories when None.
        installation: the directory with the ``bin``, ``lib`` and ``share`` of a PostgreSQL; None for the wheel's.

    Raises:
        ServerError: the wheel is not installed, or no place has room.
    """
    run, run_lock = make_run_directory(places, installation or installed())
    try:
        with held(run / "users.lock", fcntl.LOCK_SH):
            scratch = run / "scratch"
            scratch.mkdir(mode=0o700)
            with (
                held(run / "start.lock", fcntl.LOCK_EX) as start,
                held(run / "supervisor.lock", fcntl.LOCK_EX) as own,
            ):
                spawn(run, run, start, own)
            with _without_client_variables():
                yield Server(run, scratch, {MARKER: str(run)})
    finally:
        fcntl.flock(run_lock, fcntl.LOCK_EX)  # until the supervisor and PostgreSQL have ended
        remove(run)  # there is something to remove where the supervisor was killed
        os.close(run_lock)


@contextlib.contextmanager
def development(directory: Path, places: Iterable[Path] | None = None) -> Iterator[Server]:
    """Use the server whose data are kept in a directory, and start it where it does not run yet.

    All processes that name the same directory share one server; it stops when the last of them leaves. As long as this
    process uses it, its environment holds no PG* variables: they are about another server.

    Arguments:
        directory: where the data, the log and the locks are kept; made where it does not exist.
        places: directories to try for the socket; ``/dev/shm`` and the temporary directories when None.

    Raises:
        ServerError: the wheel is not installed, no place has room, or the directory cannot be written.
    """
    installation = installed()
    control = directory.resolve()
    with contextlib.ExitStack() as stack:
        try:
            control.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(control / "users.lock", fcntl.LOCK_SH))
            with (
                held(control / "start.lock", fcntl.LOCK_EX) as start,
                contextlib.suppress(BlockingIOError),  # the server runs already, and with it its supervisor
                held(control / "supervisor.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as own,
            ):
                run, run_lock = make_run_directory(places, installation)
                (control / "state.json").unlink(missing_ok=True)
                spawn(control, run, start, own)
                os.close(run_lock)
        except OSError as error:
            raise ServerError(with_remedy(str(error))) from error
        stack.enter_context(_without_client_variables())
        yield Server(control, control, {})


@contextlib.contextmanager
def database_server(database_url: str | None, directory: Path) -> Iterator[Callable[[], str]]:
    """Have a server for as long as the context lasts, and give a function that waits for it and returns its URL.

    Arguments:
        database_url: the URL of a server of one's own; None for the development server.
        directory: where the development server keeps its data.

    Raises:
        ServerError: the development server cannot be started.
    """
    if database_url is not None and not _is_development(database_url, directory):
        yield lambda: database_url
        return
    with development(directory) as server:
        yield server.url


@contextlib.contextmanager
def _without_client_variables() -> Iterator[None]:
    """Take away the variables that PostgreSQL's clients would follow, such as PGSSLMODE and PGSERVICE."""
    found = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG")}
    try:
        yield
    finally:
        os.environ.update(found)


def _is_development(database_url: str, directory: Path) -> bool:
    """Tell whether a URL is the development server's, as in `make shell`: what is started there uses it on its own."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        host = json.loads((directory / "state.json").read_text())["host"]
        return bool(parameter(database_url, "host") == host)
    return False

"""Page workspaces: the scratch copy of the backend, the database and the namespace that one page's blocks share."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg
import psutil

from handbook import base
from handbook.database import Server
from handbook.environment import of_block

# What of the checkout a page works on: the backend, and the harness, whose own pages run it. The environment is linked.
COPIED = (
    "Makefile",
    "pyproject.toml",
    "requirements",
    "backend/src",
    "mkdocs.yml",
    ".ci",
    "docs/assets",
    "docs/website",
    "docs/theme",
    "tests/commands",
    "tests/handbook",
    "tests/lies",
    "tests/mutants",
)
LINKED = (".venv",)
# Compiled modules go along: without them each page's first command would compile the backend anew.
IGNORED = shutil.ignore_patterns(base.DIRECTORY.name)
BACKEND_PACKAGE = "src"
PAGE = "HANDBOOK_PAGE"


@dataclass(frozen=True)
class LoggerState:
    """What a page can change of a logger."""

    level: int = logging.NOTSET
    propagate: bool = True
    disabled: bool = False
    handlers: tuple[logging.Handler, ...] = ()
    filters: tuple[Any, ...] = ()


@dataclass
class Workspace:
    """Where one page's blocks run.

    Args:
        project: the checkout.
        serve: gives the server where the page's database is made, once it is needed.
        template: the database it is made from, `migrated` or `empty`.
        name: what the name of its directory starts with.
    """

    project: Path
    serve: Callable[[], Server]
    template: str
    name: str
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    database: str | None = None
    _directory: Path | None = None
    _runner: asyncio.Runner | None = None
    _modules: dict[str, ModuleType] = field(default_factory=dict)
    _changes: dict[str, str | None] = field(default_factory=dict)
    _handlers: list[logging.Handler] = field(default_factory=list)
    _loggers: dict[str, LoggerState] = field(default_factory=dict)
    _port: int | None = None
    _has_processes: bool = False

    @property
    def server(self) -> Server:
        """The server where the page's database is made, and with whose run the page's directory goes."""
        return self.serve()

    @property
    def directory(self) -> Path:
        """The scratch copy of the checkout, made when it is first asked for."""
        if self._directory is None:
            pages = self.server.scratch / "pages"
            pages.mkdir(parents=True, exist_ok=True)
            # Another process of the run may have the same page, and another page may have the same name.
            self._directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=pages))
            for name in COPIED:
                _copy(self.project / name, self._directory / name)
            if (self.project / base.DIRECTORY).is_dir():
                base.copy_base(self.project / base.DIRECTORY, self._directory / base.DIRECTORY)
            for name in LINKED:
                if (self.project / name).exists():
                    (self._directory / name).symlink_to((self.project / name).resolve())
        return self._directory

    @property
    def database_url(self) -> str:
        """The address of the page's database, made when it is first asked for.

        Raises:
            DatabaseError: it cannot be made.
        """
        if self.database is None:
            self.database = self.server.create(self.template)
        return self.server.url(self.database)

    @property
    def modules(self) -> Mapping[str, ModuleType]:
        """The modules of the backend, and of the page's own files, that the page has imported."""
        return self._modules

    @property
    def runner(self) -> asyncio.Runner:
        """The event loop of the page's Python blocks."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner

    def connect(self) -> None:
        """Put `conn`, an asyncpg connection to the page's database, into the namespace, unless it is there."""
        connection = self.namespace.get("conn")
        if connection is None or (isinstance(connection, asyncpg.Connection) and connection.is_closed()):
            self.namespace["conn"] = self.runner.run(asyncpg.connect(self.database_url))

    def variables(self) -> dict[str, str]:
        """The variables that tell a page's processes where its database, port and files are."""
        if self._port is None:
            self._port = free_port()
        return {
            "DATABASE_URL": self.database_url,
            **_libpq(self.database_url),
            "PLANTOPS_PORT": str(self._port),
            "PLANTOPS_DATA": str(self.directory / ".data"),
            PAGE: str(self.directory),
            **self.server.shared,
        }

    def environment(self) -> dict[str, str]:
        """The whole environment of a process that a block starts."""
        self._has_processes = True
        return {**self._surroundings(), **self.variables()}

    def _surroundings(self) -> dict[str, str]:
        """The environment of the page's blocks, without what tells them of its database."""
        programs = (self.directory / ".venv" / "bin", self.server.binary("psql").parent)
        return {**of_block(os.environ, self.directory, *programs), PAGE: str(self.directory)}

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make this page's directory, modules, variables, logging and signals those of the process, for one block.

        Each page imports the backend from its own workspace, so that a file which the page writes is what it imports.
        """
        backend = str(self.directory / "backend")
        before, outside, path = Path.cwd(), self._pop_modules(set()), sys.path[:]
        names, processes = set(sys.modules), _processes.count
        root = logging.getLogger()
        handlers, root.handlers[:] = root.handlers[:], self._handlers
        level = root.level
        loggers = _states_of_loggers()
        _set_loggers(self._loggers)
        signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        sys.modules.update(self._modules)
        sys.path.insert(0, backend)
        environment = dict(os.environ)
        outer: dict[str, str | None] = dict.fromkeys(environment)
        _change_environment(outer | self._surroundings() | (self.variables() if self.database else {}))
        given = dict(os.environ)
        _change_environment(self._changes)
        os.chdir(self.directory)
        try:
            yield
        finally:
            os.chdir(before)
            now = dict(os.environ)
            self._changes = {n: now.get(n) for n in now.keys() | given.keys() if now.get(n) != given.get(n)}
            _change_environment({name: environment.get(name) for name in now.keys() | environment.keys()})
            sys.path[:] = path
            self._handlers, root.handlers[:] = root.handlers[:], handlers
            root.setLevel(level)
            self._loggers = _states_of_loggers()
            _set_loggers(loggers)
            for number, handler in signals.items():
                signal.signal(number, handler)
            self._modules = self._pop_modules(names)
            sys.modules.update(outside)
            self._has_processes |= _processes.count > processes

    def _pop_modules(self, outside: set[str]) -> dict[str, ModuleType]:
        """Take the backend's modules, and those of the page's own files, out of the modules that are loaded.

        Args:
            outside: names of modules that are not the page's own; empty to take the backend's only.
        """
        found = [name for name in sys.modules if name == BACKEND_PACKAGE or name.startswith(BACKEND_PACKAGE + ".")]
        if outside:
            here = f"{self.directory}{os.sep}"
            new = sys.modules.keys() - outside - set(found)
            found += [name for name in new if (getattr(sys.modules[name], "__file__", None) or "").startswith(here)]
        return {name: sys.modules.pop(name) for name in found}

    def close(self) -> None:
        """End the page: its tasks, its connections, its processes, its database and its files."""
        if self._runner is not None:
            for value in list(self.namespace.values()):
                # A connection that a pool has taken back counts as one as well, and is the pool's to end.
                if type(value) is asyncpg.Connection and not value.is_closed():
                    value.terminate()
            self._runner.close()
        with warnings.catch_warnings():
            # What the page leaves open ends with it.
            warnings.simplefilter("ignore", ResourceWarning)
            self.namespace.clear()
        if self._has_processes:
            kill_processes(PAGE, str(self.directory))
        if self.database is not None:
            self.server.drop(self.database)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


def kill_processes(variable: str, value: str) -> None:
    """Kill every process that has this value of a variable in its environment, this one excepted."""
    end = time.monotonic() + 5
    clean = 0
    # A process has no environment to be read just while its program is being replaced: so one look is not enough.
    while clean < 2 and time.monotonic() < end:
        found = list(_processes_with(variable, value))
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        while any(_lives(process) for process in found) and time.monotonic() < end:
            time.sleep(0.002)
        clean = 0 if found else clean + 1


def _processes_with(variable: str, value: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(variable) == value and _lives(process):
                yield process


def _lives(process: psutil.Process) -> bool:
    """Whether a process still does something: one that nobody has waited for does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=IGNORED, symlinks=True)
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def _libpq(url: str) -> dict[str, str]:
    """The variables by which psql, pg_dump and the like find the database of a URL without being told."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    found = {
        "PGHOST": query.get("host") or parts.hostname,
        "PGPORT": query.get("port") or (str(parts.port) if parts.port else None),
        "PGUSER": query.get("user") or parts.username,
        "PGPASSWORD": query.get("password") or (unquote(parts.password) if parts.password else None),
        "PGDATABASE": unquote(parts.path.removeprefix("/")),
    }
    return {name: value for name, value in found.items() if value}


def free_port() -> int:
    """A TCP port of this machine that nothing listens on at present."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _loggers() -> dict[str, logging.Logger]:
    """The backend's loggers: a module that is imported anew gets the one that another page's module has had."""
    known = logging.getLogger().manager.loggerDict
    return {
        name: logger
        for name, logger in known.items()
        if isinstance(logger, logging.Logger) and name.partition(".")[0] == BACKEND_PACKAGE
    }


def _states_of_loggers() -> dict[str, LoggerState]:
    return {
        name: LoggerState(
            logger.level, logger.propagate, logger.disabled, tuple(logger.handlers), tuple(logger.filters)
        )
        for name, logger in _loggers().items()
    }


def _set_loggers(states: Mapping[str, LoggerState]) -> None:
    """Give the backend's loggers their states, those that have none a fresh one."""
    for name, logger in _loggers().items():
        state = states.get(name, LoggerState())
        if logger.level != state.level:  # setting it, which forgets what all loggers know of each other, takes time
            logger.setLevel(state.level)
        logger.propagate, logger.disabled = state.propagate, state.disabled
        logger.handlers[:], logger.filters[:] = state.handlers, state.filters


class _Processes:
    """Counts the processes that this one starts in any way; an audit hook, which Python cannot take back."""

    EVENTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"})

    def __init__(self) -> None:
        self.count = 0
        sys.addaudithook(self._note)

    def _note(self, event: str, _arguments: object) -> None:
        if event in self.EVENTS:
            self.count += 1


_processes = _Processes()


def _change_environment(variables: Mapping[str, str | None]) -> None:
    """Set variables of this process; None takes one away."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value

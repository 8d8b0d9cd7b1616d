"""Snapshots: the state of a page between two blocks, kept so that many lies can start from it.

A page's state is its database, its directory and what its Python holds in memory. The first two are copied and put
back; the last is copied by `fork`. What cannot be copied so, an open connection or a running process, makes a place
between two blocks unfit for a snapshot (`unfit`). Whether a snapshot was faithful is proved each time: see `trial`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from handbook.database import Server
from handbook.workspace import PAGE, Workspace

# What the server holds beside databases: none of it belongs to a copy of the page's database.
CLUSTER = """
    SELECT concat_ws(';',
        (SELECT string_agg(concat(rolname, rolsuper, rolcanlogin, rolconnlimit, rolpassword), ',' ORDER BY rolname)
            FROM pg_authid WHERE rolname !~ '^pg_'),
        (SELECT string_agg(concat(setrole, setconfig), ',' ORDER BY setrole, setdatabase)
            FROM pg_db_role_setting WHERE setdatabase = 0 OR setdatabase IN (SELECT oid FROM pg_database)),
        (SELECT string_agg(concat(roleid, member), ',' ORDER BY roleid, member) FROM pg_auth_members),
        (SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname NOT LIKE $1),
        (SELECT string_agg(concat(name, setting), ',' ORDER BY name)
            FROM pg_file_settings WHERE sourcefile ~ 'auto.conf'))
"""
ROLES = "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'"
OTHERS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend' AND pid <> ALL ($2)
"""
SPECIAL = """
    SELECT datacl IS NOT NULL OR datconnlimit <> -1
        OR EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = pg_database.oid)
    FROM pg_database WHERE datname = $1
"""
# What a session has that a new one would not.
SESSION = """
    SELECT EXISTS (SELECT FROM pg_settings WHERE source = 'session')
        OR EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory')
        OR EXISTS (SELECT FROM pg_listening_channels())
        OR EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema())
        OR current_user <> session_user
"""
# Objects of these modules are tied to an event loop, a process or a connection.
LIVE = (
    "asyncio",
    "_asyncio",
    "asyncpg",
    "subprocess",
    "threading",
    "_thread",
    "socket",
    "concurrent",
    "multiprocessing",
)
HARMLESS = (asyncpg.Record, type, BaseException)


class SpoiltError(Exception):
    """A lie has changed something of the server that cannot be put back."""


def cluster(server: Server) -> str:
    """What the server holds beside the databases of the run."""
    return str(fetch(server, CLUSTER, f"{server.run}%"))


def fetch(server: Server, statement: str, *arguments: object) -> Any:
    """The first value that a statement returns, on the server's connection for maintenance."""

    async def ask() -> Any:
        connection = await server._connection()
        return await connection.fetchval(statement, *arguments)

    return server._wait(ask())


def execute(server: Server, *statements: str) -> None:
    """Run statements on the server's connection for maintenance."""

    async def ask() -> None:
        connection = await server._connection()
        for statement in statements:
            await connection.execute(statement)

    server._wait(ask())


def unfit(workspace: Workspace) -> str | None:
    """Why the state of a page cannot be copied just now; None where it can."""
    return next(_obstacles(workspace), None)


def _obstacles(workspace: Workspace) -> Iterator[str]:
    for name, value in workspace.namespace.items():
        if name != "conn" and _is_live(value):
            yield f"{name} is open"
    connection = workspace.namespace.get("conn")
    mine = []
    if isinstance(connection, asyncpg.Connection) and not connection.is_closed():
        if connection.is_in_transaction() or workspace.runner.run(connection.fetchval(SESSION)):
            yield "the session of conn has a state of its own"
        mine.append(connection.get_server_pid())
    if workspace._runner is not None and (tasks := asyncio.all_tasks(workspace.runner.get_loop())):
        yield f"{len(tasks)} tasks run"
    if threading.active_count() > 1:
        yield "a thread runs"
    if workspace._has_processes and _processes(workspace):
        yield "a process runs"
    if workspace.database is not None:
        if fetch(workspace.server, OTHERS, workspace.database, mine):
            yield "somebody is connected"
        if fetch(workspace.server, SPECIAL, workspace.database):
            yield "the database has settings or rights of its own"


def _is_live(value: object) -> bool:
    if isinstance(value, asyncpg.Connection):
        return not value.is_closed()
    if isinstance(value, asyncio.Future):
        return not value.done()
    if isinstance(value, subprocess.Popen | asyncio.subprocess.Process):
        return value.returncode is None
    if isinstance(value, list | tuple | set | dict) and not isinstance(value, asyncpg.Record):
        return any(_is_live(one) for one in (value.values() if isinstance(value, dict) else value))
    live = (type(value).__module__ or "").split(".")[0] in LIVE and not isinstance(value, HARMLESS)
    return live or asyncio.iscoroutine(value)


def _processes(workspace: Workspace) -> bool:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(PAGE) == str(workspace.directory):
                return True
    return False


def still(workspace: Workspace) -> None:
    """Close what a fork cannot share, and what opens anew when it is needed: connections, and event loops."""
    connection = workspace.namespace.get("conn")
    if isinstance(connection, asyncpg.Connection) and not connection.is_closed():
        workspace.runner.run(connection.close())
    if workspace._runner is not None:
        workspace._runner.close()
        workspace._runner = None
    workspace.server.close()


@dataclass
class Snapshot:
    """A page's database and directory as they were at one place.

    Args:
        workspace: the page's.
        number: what tells this snapshot from the page's others.
    """

    workspace: Workspace
    number: int
    database: str | None = None
    files: Path | None = None
    cluster: str = ""
    roles: frozenset[str] = frozenset()
    _signatures: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def take(self) -> None:
        """Copy the page's database and directory; nobody may be connected to the one."""
        server = self.workspace.server
        if self.workspace.database is not None:
            self.database = f"{self.workspace.database}_{self.number}"
            self._copy_database(self.workspace.database, self.database)
        self.cluster = cluster(server)
        self.roles = frozenset(fetch(server, f"SELECT array({ROLES})"))
        if self.workspace._directory is not None:
            directory = self.workspace._directory
            self.files = directory.with_name(f"{directory.name}.{self.number}")
            shutil.copytree(directory, self.files, symlinks=True)
            self._signatures = dict(_signatures(directory))

    def restore_files(self) -> None:
        """Put the directory back as it was."""
        directory = self.workspace._directory
        if directory is None:
            return
        assert self.files is not None
        directory.mkdir(exist_ok=True)
        now = dict(_signatures(directory))
        for name in sorted(now.keys() - self._signatures.keys(), reverse=True):
            _remove(directory / name)
        changed = [name for name, signature in sorted(self._signatures.items()) if now.get(name) != signature]
        for name in changed:
            source, target = self.files / name, directory / name
            if source.is_dir() and not source.is_symlink():
                if not target.is_dir() or target.is_symlink():
                    _remove(target)
                    target.mkdir()
                shutil.copystat(source, target)
            else:
                _remove(target)
                shutil.copy2(source, target, follow_symlinks=False)
        for name in changed:
            self._signatures[name] = _signature(os.lstat(directory / name))

    def restore_database(self) -> None:
        """Put the database back as it was, and the server's roles.

        Raises:
            SpoiltError: the server holds something else than it did.
        """
        server = self.workspace.server
        if self.workspace.database is not None:
            server.drop(self.workspace.database)
        if cluster(server) != self.cluster:
            self._clean(server)
        if self.workspace.database is not None:
            assert self.database is not None
            self._copy_database(self.database, self.workspace.database)

    def _clean(self, server: Server) -> None:
        names = "SELECT array(SELECT datname FROM pg_database WHERE datname NOT LIKE $1)"
        for name in fetch(server, names, f"{server.run}%"):
            if name not in self.cluster and name not in ("postgres", "template0", "template1", "plantops"):
                execute(server, f'DROP DATABASE "{name}" WITH (FORCE)')
        for role in set(fetch(server, f"SELECT array({ROLES})")) - self.roles:
            with suppress(asyncpg.PostgresError):
                execute(server, f'DROP ROLE "{role}"')
        if cluster(server) != self.cluster:
            raise SpoiltError

    def _copy_database(self, source: str, target: str) -> None:
        server = self.workspace.server
        server.drop(target)
        server._wait(server._create(target, source))

    def forget(self) -> None:
        """Delete the copies."""
        if self.database is not None:
            self.workspace.server.drop(self.database)
        if self.files is not None:
            shutil.rmtree(self.files, ignore_errors=True)


def _signatures(directory: Path, below: str = "") -> Iterator[tuple[str, tuple[int, ...]]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            name = f"{below}{entry.name}"
            yield name, _signature(entry.stat(follow_symlinks=False))
            if entry.is_dir(follow_symlinks=False):
                yield from _signatures(Path(entry.path), f"{name}/")


def _signature(status: os.stat_result) -> tuple[int, ...]:
    if stat.S_ISDIR(status.st_mode):
        return (status.st_mode,)
    return (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

"""The server and the databases of a run: one server for all its processes, a database for each page."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import uuid
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from handbook.base import copy_base
from handbook.environment import entered

T = TypeVar("T")

# How the first process of a run tells its other processes which server they share.
ADDRESS = "HANDBOOK_SERVER_ADDRESS"
SCRATCH = "HANDBOOK_SERVER_SCRATCH"
RUN = "HANDBOOK_RUN"
OWN_SERVER = "TEST_DATABASE_URL"


# The backend is imported where it is used: pytest loads the harness before it starts to measure the backend's coverage.


class DatabaseError(Exception):
    """A database for a page could not be made; the text says why."""


@dataclass
class Server:
    """A PostgreSQL server for tests, and the databases made on it.

    Args:
        address: URL of a database on the server that a connection for maintenance may use.
        scratch: a directory for files that go with the run.
        environment: put into the environment of each process that must not outlive the run.
        run: what the names of this run's databases start with.
    """

    address: str
    scratch: Path
    environment: Mapping[str, str]
    run: str
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner, repr=False)
    _admin: asyncpg.Connection[asyncpg.Record] | None = field(default=None, repr=False)
    _templates: set[str] = field(default_factory=set, repr=False)

    @property
    def shared(self) -> dict[str, str]:
        """The variables by which another process of the run finds this server, and ends with it."""
        return {ADDRESS: self.address, SCRATCH: str(self.scratch), RUN: self.run, **self.environment}

    def url(self, database: str) -> str:
        """The address of a database on this server."""
        return urlunsplit(urlsplit(self.address)._replace(path="/" + quote(database)))

    def binary(self, name: str) -> Path:
        """The path of one of PostgreSQL's programs, such as psql."""
        from src.db import server  # noqa: PLC0415

        return server.binary(name)

    @property
    def version(self) -> str:
        """The server's version, such as 18.6."""
        version = self._wait(self._connection()).get_server_version()
        return f"{version.major}.{version.minor or version.micro}"

    def greet(self) -> None:
        """Connect to the server.

        Raises:
            DatabaseError: it cannot be reached; the text says why.
        """
        try:
            self._wait(self._connection())
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self._runner.close()
            reason = f"{type(error).__name__}: {error}"
            raise DatabaseError(f"{OWN_SERVER} names a server that does not let the tests in ({reason})") from None

    def create(self, template: str = "empty") -> str:
        """Make a database and return its name.

        Args:
            template: `empty`, or `migrated` for one with the handbook's base of migrations applied.

        Raises:
            DatabaseError: the server refused, or a migration failed.
        """
        name = f"{self.run}_{uuid.uuid4().hex[:12]}"
        try:
            source = "template1" if template == "empty" else self._template()
            self._wait(self._create(name, source))
        except Exception as error:  # whatever a broken runner raises is told at the block that needs the database
            raise DatabaseError(f"{type(error).__name__}: {error}") from error
        return name

    def drop(self, name: str) -> None:
        """Drop a database, and end what is still connected to it."""
        self._wait(self._drop(name))

    def drop_all(self, run: str | None = None) -> None:
        """Drop what the processes of a run, this one unless it is named, have made and not dropped."""
        for name in self._wait(self._names(run or self.run)):
            self.drop(name)

    def close(self) -> None:
        """Close the connection for maintenance; it opens anew when it is needed, in a fork of this process too."""
        if self._admin is not None:
            self._wait(self._admin.close())
            self._admin = None
        self._runner.close()
        self._runner = asyncio.Runner()

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    async def _connection(self) -> asyncpg.Connection[asyncpg.Record]:
        if self._admin is None or self._admin.is_closed():
            self._admin = await asyncpg.connect(self.address)
        return self._admin

    async def _create(self, name: str, source: str) -> None:
        admin = await self._connection()
        # Copying files beats writing every page of the copy to the log; PostgreSQL 14 knows no other way.
        strategy = "STRATEGY FILE_COPY" if admin.get_server_version().major >= 15 else ""
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}" {strategy}')

    async def _drop(self, name: str) -> None:
        admin = await self._connection()
        # Without FORCE it waits five seconds for those that are still connected, and then refuses.
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def _names(self, run: str) -> list[str]:
        admin = await self._connection()
        rows = await admin.fetch(r"SELECT datname FROM pg_database WHERE starts_with(datname, $1 || '_')", run)
        return [row["datname"] for row in rows]

    def _template(self) -> str:
        # Processes of one run may have different code: a project within a test, or a backend edited under `make serve`.
        name = f"{self.run}_{_code_digest()}"
        if name not in self._templates:
            self._wait(self._make_template(name))
            self._templates.add(name)
        return name

    async def _make_template(self, name: str) -> None:
        """Make the migrated database once a run: the first process makes it, the others wait for it."""
        from src.db.migration_runner import MIGRATIONS_DIRECTORY, run_migrations  # noqa: PLC0415

        admin = await self._connection()
        exists = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
        await admin.execute("SELECT pg_advisory_lock(hashtext($1))", name)
        try:
            if not await admin.fetchval(exists, name):
                draft = f"{name}_draft"
                await admin.execute(f'DROP DATABASE IF EXISTS "{draft}" WITH (FORCE)')
                await self._create(draft, "template1")
                self.scratch.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=self.scratch) as directory:
                    copy_base(MIGRATIONS_DIRECTORY, Path(directory))
                    await run_migrations(self.url(draft), directory=directory)
                await admin.execute(f'ALTER DATABASE "{draft}" RENAME TO "{name}"')
        finally:
            await admin.execute("SELECT pg_advisory_unlock(hashtext($1))", name)


@contextmanager
def serve(installation: Path | None = None) -> Iterator[Server]:
    """The server of this run: the one that its first process chose, one of your own, or a throw-away.

    Until it ends, this process has the environment of a run, which hands the choice to the run's other processes.

    Args:
        installation: the directory of the PostgreSQL that a throw-away runs; None for the wheel's.

    Raises:
        DatabaseError: your own server cannot be reached.
    """
    environ = os.environ
    if ADDRESS in environ:
        shared = Server(environ[ADDRESS], Path(environ[SCRATCH]), _marker(environ), environ[RUN])
        with entered(shared.scratch):
            try:
                yield shared
            finally:
                shared.close()
        return
    from src.db import server  # noqa: PLC0415

    with server.throwaway(installation=installation) as own:
        chosen = Server(
            environ.get(OWN_SERVER) or own.url("postgres"),
            own.scratch,
            own.environment,
            f"handbook_{uuid.uuid4().hex[:8]}",
        )
        if OWN_SERVER in environ:
            chosen.greet()
        with entered(chosen.scratch):
            environ.update(chosen.shared)
            try:
                yield chosen
            finally:
                if OWN_SERVER in environ:
                    chosen.drop_all()
                chosen.close()


@contextmanager
def serve_alone() -> Iterator[Server]:
    """A throw-away server that no other process of the run uses."""
    from src.db import server  # noqa: PLC0415

    with server.throwaway() as own, entered(own.scratch):
        alone = Server(own.url("postgres"), own.scratch, own.environment, f"handbook_{uuid.uuid4().hex[:8]}")
        try:
            yield alone
        finally:
            alone.close()


def _marker(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith("PLANTOPS_RUN")}


@cache
def _code_digest() -> str:
    from src.db.migration_runner import MIGRATIONS_DIRECTORY  # noqa: PLC0415

    digest = hashlib.sha256()
    for file in sorted(MIGRATIONS_DIRECTORY.parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]

"""The PostgreSQL of a run, and the databases that are made on it: one for each page."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from handbook.baseline import copy_baseline
from handbook.environment import entered

# How the first process of a run tells its other processes which server they share.
ADDRESS = "HANDBOOK_SERVER_ADDRESS"
SCRATCH = "HANDBOOK_SERVER_SCRATCH"
RUN = "HANDBOOK_RUN"
OWN_SERVER = "TEST_DATABASE_URL"

# The backend is imported where it is used: pytest loads the harness before it starts to measure the backend's coverage.


class DatabaseError(Exception):
    """A database for a page could not be made; the text says why."""


class Postgres:
    """A PostgreSQL server for tests, and the databases made on it.

    Arguments:
        address: URL of a database on the server that a connection for maintenance may use.
        scratch: a directory for files that go with the run.
        environment: put into the environment of each process that must not outlive the run.
        run: what the names of this run's databases start with.
        alone: whether no other process of the run uses the server.
    """

    def __init__(
        self, address: str, scratch: Path, environment: Mapping[str, str], run: str, *, alone: bool = False
    ) -> None:
        self.address, self.scratch, self.environment = address, scratch, environment
        self.run, self.alone = run, alone
        self._runner = asyncio.Runner()
        self._turn = threading.Lock()
        self._admin: asyncpg.Connection[asyncpg.Record] | None = None
        self._templates: set[str] = set()

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
        return str(self.fetch("SHOW server_version")[0][0]).split()[0]

    def create(self, template: str = "empty") -> str:
        """Make a database and return its name.

        Arguments:
            template: `migrated` for one with the handbook's baseline of migrations applied; any other is empty.

        Raises:
            DatabaseError: the server refused, or a migration failed.
        """
        name = f"{self.run}_{uuid.uuid4().hex[:12]}"
        try:
            self._ask(self._create, name, self._template() if template == "migrated" else "template1")
        except Exception as error:  # whatever a broken runner raises is told at the block that needs the database
            raise DatabaseError(f"{type(error).__name__}: {error}") from error
        return name

    def copy(self, source: str, target: str) -> None:
        """Make a database that holds what another does, to which nothing is connected."""
        self._ask(self._create, target, source)

    def drop(self, name: str) -> None:
        """Drop a database, and end what is still connected to it."""
        # Without FORCE it waits five seconds for those that are still connected, and then refuses.
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def drop_all(self) -> None:
        """Drop what the processes of the run have made and not dropped."""
        for row in self.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", f"{self.run}_"):
            self.drop(row["datname"])

    def fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """The rows of a statement, run on the connection for maintenance."""
        rows: list[asyncpg.Record] = self._ask(lambda admin: admin.fetch(statement, *arguments))
        return rows

    def execute(self, statement: str) -> None:
        """Run a statement on the connection for maintenance."""
        self._ask(lambda admin: admin.execute(statement))

    def close(self) -> None:
        """Close the connection for maintenance; it opens anew when it is needed, in a fork of this process too."""
        if self._admin is not None:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self._runner.run(self._admin.close(timeout=5))
            self._admin = None
        self._runner.close()
        self._runner = asyncio.Runner()

    def _ask(self, question: Any, *arguments: Any) -> Any:
        """What an async function returns that is given the connection for maintenance; one thread asks at a time."""

        async def answer() -> Any:
            if self._admin is None or self._admin.is_closed():
                self._admin = await asyncpg.connect(self.address)
            return await question(self._admin, *arguments)

        with self._turn:
            return self._runner.run(answer())

    @staticmethod
    async def _create(admin: asyncpg.Connection[asyncpg.Record], name: str, source: str) -> None:
        # Copying files beats writing every page of the copy to the log; PostgreSQL 14 knows no other way.
        strategy = "STRATEGY FILE_COPY" if admin.get_server_version().major >= 15 else ""
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}" {strategy}')

    def _template(self) -> str:
        # Processes of one run may have different code: a project within a test, or a backend edited under `make serve`.
        name = f"{self.run}_{_code_digest()}"
        if name not in self._templates:
            self._ask(self._make_template, name)
            self._templates.add(name)
        return name

    async def _make_template(self, admin: asyncpg.Connection[asyncpg.Record], name: str) -> None:
        """Make the migrated database once a run: the first process makes it, the others wait for it."""
        from src.db.migration_runner import MIGRATIONS_DIRECTORY, run_migrations  # noqa: PLC0415

        await admin.execute("SELECT pg_advisory_lock(hashtext($1))", name)
        try:
            if not await admin.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name):
                draft = f"{name}_draft"
                await admin.execute(f'DROP DATABASE IF EXISTS "{draft}" WITH (FORCE)')
                await self._create(admin, draft, "template1")
                self.scratch.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=self.scratch) as directory:
                    copy_baseline(MIGRATIONS_DIRECTORY, Path(directory))
                    await run_migrations(self.url(draft), directory=directory)
                await admin.execute(f'ALTER DATABASE "{draft}" RENAME TO "{name}"')
        finally:
            await admin.execute("SELECT pg_advisory_unlock(hashtext($1))", name)


@contextmanager
def serve(installation: Path | None = None) -> Iterator[Postgres]:
    """The server of this run: the one that its first process chose, one of your own, or a throw-away.

    Until it ends, this process has the environment of a run, which hands the choice to the run's other processes.

    Arguments:
        installation: the directory of the PostgreSQL that a throw-away runs; None for the wheel's.

    Raises:
        DatabaseError: your own server cannot be reached.
    """
    environ = os.environ
    if ADDRESS in environ:
        marker = {name: value for name, value in environ.items() if name.startswith("PLANTOPS_RUN")}
        shared = Postgres(environ[ADDRESS], Path(environ[SCRATCH]), marker, environ[RUN])
        with entered(shared.scratch):
            try:
                yield shared
            finally:
                shared.close()
        return
    with serve_alone(installation, environ.get(OWN_SERVER)) as chosen:
        if OWN_SERVER in environ:
            try:
                chosen.execute("SELECT")
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                reason = f"{type(error).__name__}: {error}"
                message = f"{OWN_SERVER} names a server that does not let the tests in ({reason})"
                raise DatabaseError(f"{message}; start it, or unset the variable") from None
            chosen.close()
        environ.update(chosen.shared)
        try:
            yield chosen
        finally:
            if OWN_SERVER in environ:
                chosen.drop_all()


@contextmanager
def serve_alone(installation: Path | None = None, address: str | None = None) -> Iterator[Postgres]:
    """A throw-away server that no other process of the run uses.

    Arguments:
        installation: as for `serve`.
        address: of a server that is used in its place.

    Raises:
        SystemExit: it does not start. Whatever this command is, it ends and says why.
    """
    from src.db import server  # noqa: PLC0415

    with ExitStack() as stack:
        try:
            own = stack.enter_context(server.throwaway(installation=installation))
            stack.enter_context(entered(own.scratch))
            address = address or own.url("postgres")
        except server.ServerError as error:
            sys.exit(str(error))
        alone = Postgres(address, own.scratch, own.environment, f"handbook_{uuid.uuid4().hex[:8]}", alone=True)
        stack.callback(alone.close)
        yield alone


@cache
def _code_digest() -> str:
    from src.db.migration_runner import MIGRATIONS_DIRECTORY  # noqa: PLC0415

    digest = hashlib.sha256()
    for file in sorted(MIGRATIONS_DIRECTORY.parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]

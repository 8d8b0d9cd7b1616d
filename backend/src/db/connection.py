"""Connections to PostgreSQL, and the reason when there is none."""

from __future__ import annotations

import contextlib
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import asyncpg.pool

from .errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

# Seconds for the whole of connecting: the name, the socket, the password.
CONNECT_TIMEOUT = 10.0
CONNECTION_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a statement raises that the server refused, or whose connection broke."""

# The first of these classes whose error holds the text.
_REMEDIES: tuple[tuple[type[BaseException], str, str, str], ...] = (
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "",
        "the server refused the user name or the password",
        "Correct them in DATABASE_URL.",
    ),
    (
        asyncpg.InvalidCatalogNameError,
        "",
        "the server has no such database",
        "Create it (createdb), or correct its name in DATABASE_URL.",
    ),
    (
        asyncpg.TooManyConnectionsError,
        "",
        "the server has no connection left",
        "Close some, or raise max_connections.",
    ),
    (
        asyncpg.CannotConnectNowError,
        "",
        "the server is starting up or shutting down",
        "Try again when it is ready.",
    ),
    (
        TimeoutError,
        "",
        f"the server did not answer within {CONNECT_TIMEOUT:g} s",
        "Check the address in DATABASE_URL and the firewall.",
    ),
    (
        ConnectionError,
        "rejected SSL upgrade",
        "the server has no TLS, which sslmode asks for",
        "Turn it on at the server, or take sslmode out of DATABASE_URL.",
    ),
    (
        ssl.SSLCertVerificationError,
        "",
        "the server's certificate is not one that sslmode and sslrootcert accept",
        "Correct them or the host in DATABASE_URL, or the certificate at the server.",
    ),
    (
        ssl.SSLError,
        "",
        "TLS fails",
        "Correct the files that sslrootcert, sslcert and sslkey name in DATABASE_URL, or TLS at the server.",
    ),
    (
        OSError,
        "",
        "nothing answers at that address",
        "Start PostgreSQL, or correct the host and port in DATABASE_URL.",
    ),
)
# The files of TLS that a URL can name. Where one cannot be read, asyncpg does not say which.
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_UNREADABLE = (FileNotFoundError, IsADirectoryError, PermissionError)


def _address(database_url: str) -> str:
    """Say which server and database a URL names, without its user name and password.

    Raises:
        ValueError: it is malformed.
    """
    parts = urlsplit(database_url)
    if "@" in parts.path:
        # The password holds a "/", and what looks like a host and a port is a part of it.
        raise ValueError("an @ in the path")
    host = parts.hostname or parse_qs(parts.query).get("host", ["the default host"])[0]
    port = f":{parts.port}" if parts.port else ""
    name = parts.path.removeprefix("/")
    database = f", database {name}" if name else ""
    return f"{host}{port}{database}"


def _unreadable(database_url: str) -> tuple[str, str] | None:
    """Find a file of TLS that cannot be read: what names it, and its path."""
    query = parse_qs(urlsplit(database_url).query)
    for name in _FILES:
        path = query.get(name, [os.environ.get(f"PG{name.upper()}", "")])[0]
        if path and not (Path(path).is_file() and os.access(path, os.R_OK)):
            return name, path
    return None


def _refused(database_url: str, error: BaseException) -> DatabaseUnavailableError:
    start, end = f"cannot connect to {_address(database_url)}", f"({type(error).__name__}: {error})"
    if isinstance(error, _UNREADABLE) and (found := _unreadable(database_url)):
        name, path = found
        return DatabaseUnavailableError(
            f"{start}: {path} cannot be read.\nCorrect {name} in DATABASE_URL, or PG{name.upper()}.\n{end}"
        )
    for kind, sign, reason, remedy in _REMEDIES:
        if isinstance(error, kind) and sign in str(error):
            return DatabaseUnavailableError(f"{start}: {reason}.\n{remedy}\n{end}")
    return DatabaseUnavailableError(f"{start}.\n{end}")


def _malformed(error: ValueError) -> DatabaseUnavailableError:
    # asyncpg's complaints about TLS name a parameter or a file, and nothing of the rest of the URL.
    if isinstance(error, asyncpg.ClientConfigurationError) and str(error).startswith(("`sslmode`", "root certificate")):
        return DatabaseUnavailableError(f"DATABASE_URL cannot be used: {error}.\nCorrect its sslmode or sslrootcert.")
    # Neither the URL nor the parser's complaint is shown: a "#" or "/" in a password makes both of them show it.
    return DatabaseUnavailableError(
        "DATABASE_URL is not a valid PostgreSQL URL.\n"
        "Write it as postgresql://user:password@host:5432/database, and percent-encode"
        " the characters / ? # @ : in the password."
    )


@contextlib.contextmanager
def _explained(database_url: str) -> Iterator[None]:
    """Say of a connection that cannot be made why, and what to do about it."""
    try:
        _address(database_url)
        yield
    except ssl.SSLError as error:
        # That a certificate is refused is a ValueError too, though the URL is well formed.
        raise _refused(database_url, error) from error
    except ValueError as error:
        raise _malformed(error) from None
    except CONNECTION_ERRORS as error:
        raise _refused(database_url, error) from error


async def connect(
    database_url: str, *, application_name: str = "plantops-migrations", statement_cache_size: int = 100
) -> asyncpg.Connection[asyncpg.Record]:
    """Open one connection, for migrations.

    Arguments:
        database_url: ``postgresql://user:password@host:port/database``.
        application_name: how the connection shows in ``pg_stat_activity``.
        statement_cache_size: how many prepared statements asyncpg keeps.

    Raises:
        DatabaseUnavailableError: with the reason and a remedy, and never the password.
    """
    with _explained(database_url):
        return await asyncpg.connect(
            database_url,
            timeout=CONNECT_TIMEOUT,
            statement_cache_size=statement_cache_size,
            # The one start-up parameter of these that PgBouncer knows; everything else is SET later.
            server_settings={"application_name": application_name},
        )


async def is_pooled(conn: asyncpg.Connection[asyncpg.Record]) -> bool:
    """Tell whether a pooler such as PgBouncer stands between a connection and the server.

    A pooler gives its clients process numbers of its own. This asks without a prepared statement: in its transaction
    mode a pooler may send each half of one to another session.
    """
    return await conn.execute(f"SELECT WHERE pg_backend_pid() = {conn.get_server_pid()}") != "SELECT 1"


async def create_pool(database_url: str, **options: Any) -> asyncpg.Pool[asyncpg.Record]:
    """Open the pool that the backend serves requests from.

    Behind a pooler it keeps no prepared statements: another session may run what one has prepared.

    Arguments:
        database_url: ``postgresql://user:password@host:port/database``.
        options: passed on to ``asyncpg.create_pool``.

    Raises:
        DatabaseUnavailableError: with the reason and a remedy, and never the password.
    """
    conn = await connect(database_url, application_name="plantops", statement_cache_size=0)
    try:
        if await is_pooled(conn):
            options = {"statement_cache_size": 0, **options}
    finally:
        await conn.close()
    with _explained(database_url):
        return await asyncpg.create_pool(
            database_url, timeout=CONNECT_TIMEOUT, server_settings={"application_name": "plantops"}, **options
        )

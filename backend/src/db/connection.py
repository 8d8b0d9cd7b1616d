"""Connections to PostgreSQL, and the reason when there is none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import asyncpg
import asyncpg.pool

from . import url
from .errors import DatabaseUnavailableError

T = TypeVar("T")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

# Seconds for the whole of connecting: the name, the socket, the password. A connect_timeout in the URL replaces it.
CONNECT_TIMEOUT = 10.0
# Half a minute in all, by the names that the systems have for it; the first two are one.
_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPALIVE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 30_000}
CONNECTION_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a statement raises that the server refused, or whose connection broke."""

# What connecting raises, a part of its text, and what it means and what to do; the first that fits is told.
_REMEDIES: dict[tuple[type[BaseException], str], str] = {
    (asyncpg.InvalidAuthorizationSpecificationError, "pg_hba.conf"): "the server lets nobody in with this user,"
    " database, address and sslmode, whatever the password.\nCorrect them in DATABASE_URL, or add them to the server's"
    " pg_hba.conf or to its list of allowed addresses.",
    (asyncpg.InvalidAuthorizationSpecificationError, ""): "the server refused the user name or the password.\nCorrect"
    " them in DATABASE_URL.",
    (asyncpg.InvalidCatalogNameError, ""): "the server has no such database.\nCreate it (createdb), or correct its name"
    " in DATABASE_URL.",
    (asyncpg.InsufficientPrivilegeError, ""): "this user may not connect to this database.\nHave its owner GRANT"
    " CONNECT ON DATABASE, or correct the user or the database in DATABASE_URL.",
    (asyncpg.TooManyConnectionsError, ""): "the server has no connection left.\nClose some, or raise max_connections.",
    (asyncpg.CannotConnectNowError, ""): "the server is starting up or shutting down.\nTry again when it is ready.",
    (asyncpg.TargetServerAttributeNotMatched, ""): "no server there is what target_session_attrs asks for.\nCorrect"
    " target_session_attrs in DATABASE_URL, or name the primary among its hosts.",
    (asyncpg.UndefinedObjectError, "configuration parameter"): "DATABASE_URL has a parameter that is no setting of the"
    " server.\nTake it out of DATABASE_URL: what asyncpg does not know it sends to the server.",
    (asyncpg.ProtocolViolationError, "unsupported startup parameter"): "DATABASE_URL has a parameter that PgBouncer"
    " does not pass on.\nTake it out of DATABASE_URL, or have PgBouncer's ignore_startup_parameters name it.",
    (TimeoutError, ""): "the server did not answer within {limit:g} s.\nCheck the address in DATABASE_URL and the"
    " firewall.",
    (ConnectionError, "rejected SSL upgrade"): "the server has no TLS, which sslmode asks for.\nTurn it on at the"
    " server, or take sslmode out of DATABASE_URL.",
    (ssl.SSLCertVerificationError, ""): "the server's certificate is not one that sslmode and sslrootcert accept.\n"
    "Correct them or the host in DATABASE_URL, or the certificate at the server.",
    (ssl.SSLError, ""): "TLS fails.\nCorrect the files that sslrootcert, sslcert and sslkey name in DATABASE_URL, or"
    " TLS at the server.",
    (OSError, ""): "nothing answers at that address.\nStart PostgreSQL, or correct the host and port in DATABASE_URL.",
}
# The files of TLS that a URL can name. Where one cannot be read, asyncpg does not say which.
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_UNREADABLE = (FileNotFoundError, IsADirectoryError, PermissionError)


def _unreadable(database_url: str) -> tuple[str, str] | None:
    """Find a file of TLS that cannot be read: what names it, and its path."""
    for name in _FILES:
        path = url.parameter(database_url, name) or os.environ.get(f"PG{name.upper()}", "")
        if path and not (Path(path).is_file() and os.access(path, os.R_OK)):
            return name, path
    return None


def _worded(text: str) -> str:
    """Name DATABASE_URL only if it is set: otherwise the URL comes from an argument, or is the embedded server's."""
    return text if os.environ.get("DATABASE_URL") else text.replace("DATABASE_URL", "the database URL")


def _refused(database_url: str, error: BaseException, limit: float) -> DatabaseUnavailableError:
    start, end = f"cannot connect to {url.address(database_url)}", f"({type(error).__name__}: {error})"
    if isinstance(error, _UNREADABLE) and (found := _unreadable(database_url)):
        name, path = found
        remedy = _worded(f"Correct {name} in DATABASE_URL, or PG{name.upper()}.")
        return DatabaseUnavailableError(f"{start}: {path} cannot be read.\n{remedy}\n{end}")
    for (kind, sign), text in _REMEDIES.items():
        if isinstance(error, kind) and sign in str(error):
            return DatabaseUnavailableError(f"{start}: {_worded(text.format(limit=limit))}\n{end}")
    return DatabaseUnavailableError(f"{start}.\n{end}")


def _malformed(error: ValueError) -> DatabaseUnavailableError:
    start = _worded("DATABASE_URL").replace("the", "The")
    # asyncpg's complaints about TLS name a parameter or a file, and nothing of the rest of the URL.
    if isinstance(error, asyncpg.ClientConfigurationError) and str(error).startswith(("`sslmode`", "root certificate")):
        return DatabaseUnavailableError(f"{start} cannot be used: {error}.\nCorrect its sslmode or sslrootcert.")
    # Neither the URL nor the parser's complaint is shown: a "#" or "/" in a password makes both of them show it.
    return DatabaseUnavailableError(
        f"{start} is not a valid PostgreSQL URL.\n"
        "Write it as postgresql://user:password@host:5432/database, and percent-encode"
        " the characters / ? # @ : in the password."
    )


@contextlib.contextmanager
def _explained(database_url: str, limit: float | None = None) -> Iterator[float]:
    """Give the seconds that connecting may take; say of a connection that cannot be made why, and what to do."""
    seconds = CONNECT_TIMEOUT
    try:
        url.hosts(database_url)
        seconds = limit or url.connect_timeout(database_url) or CONNECT_TIMEOUT
        yield seconds
    except ssl.SSLError as error:
        # That a certificate is refused is a ValueError too, though the URL is well formed.
        raise _refused(database_url, error, seconds) from error
    except ValueError as error:
        raise _malformed(error) from None
    except CONNECTION_ERRORS as error:
        raise _refused(database_url, error, seconds) from error


async def connect(
    database_url: str,
    *,
    application_name: str = "plantops-migrations",
    statement_cache_size: int = 100,
    limit: float | None = None,
    connection_class: type[asyncpg.Connection[asyncpg.Record]] = asyncpg.Connection,
) -> asyncpg.Connection[asyncpg.Record]:
    """Open one connection, for migrations.

    Arguments:
        database_url: ``postgresql://user:password@host:port/database``.
        application_name: how the connection shows in ``pg_stat_activity``.
        statement_cache_size: how many prepared statements asyncpg keeps.
        limit: the most seconds that connecting may take; None for ``CONNECT_TIMEOUT`` or the URL's connect_timeout.
        connection_class: the class of what is returned.

    Raises:
        DatabaseUnavailableError: with the reason and a remedy, and never the password.
    """
    with _explained(database_url, limit) as seconds:
        return _kept_alive(
            await asyncpg.connect(
                url.for_asyncpg(database_url),
                timeout=seconds,
                statement_cache_size=statement_cache_size,
                connection_class=connection_class,
                # The one start-up parameter of these that PgBouncer knows; everything else is SET later.
                server_settings={"application_name": application_name},
            )
        )


def _kept_alive(conn: asyncpg.Connection[asyncpg.Record]) -> asyncpg.Connection[asyncpg.Record]:
    """Have the system notice, within half a minute, that whoever a connection leads to has gone without a word."""
    transport = getattr(conn, "_transport", None)  # asyncpg keeps it to itself, and a test's mock has none
    line = transport.get_extra_info("socket") if isinstance(transport, asyncio.BaseTransport) else None
    if line is not None and line.family != socket.AF_UNIX:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return conn


async def is_encrypted(database_url: str) -> bool:
    """Tell whether the connection that the backend makes to a database is encrypted.

    Raises:
        DatabaseUnavailableError: there is no connection.
    """
    conn = await connect(database_url)
    try:
        return conn._transport.get_extra_info("ssl_object") is not None  # type: ignore[attr-defined]
    finally:
        await conn.close()


async def settled(value: Awaitable[T] | T) -> T:
    """Return a value, awaited if need be: what asyncpg answers at once, an AsyncMock answers with a coroutine."""
    # Not isinstance(value, Awaitable): that takes three times as long, and a migration asks for this thrice.
    return await value if hasattr(value, "__await__") else value


async def is_pooled(conn: asyncpg.Connection[asyncpg.Record]) -> bool:
    """Tell whether a pooler such as PgBouncer stands between a connection and the server.

    A pooler gives its clients process numbers of its own. This asks without a prepared statement: in its transaction
    mode a pooler may send each half of one to another session.
    """
    return await conn.execute(f"SELECT WHERE pg_backend_pid() = {await settled(conn.get_server_pid())}") == "SELECT 0"


async def create_pool(database_url: Callable[[], str] | str, **options: Any) -> asyncpg.Pool[asyncpg.Record]:
    """Open the pool that the backend serves requests from.

    Behind a pooler it keeps no prepared statements: another session may run what one has prepared.

    Arguments:
        database_url: ``postgresql://user:password@host:port/database``, or a function that returns it and may block.
            The function is called for each connection: a development server that is started again has another socket.
        options: passed on to ``asyncpg.create_pool``.

    Raises:
        DatabaseUnavailableError: with the reason and a remedy, and never the password.
    """
    current = database_url if callable(database_url) else lambda: database_url
    first = await asyncio.to_thread(current)

    async def connect_anew(_: str, **parameters: Any) -> Any:
        current_url = await asyncio.to_thread(current)
        return _kept_alive(await asyncpg.connect(url.for_asyncpg(current_url), **parameters))

    conn = await connect(first, application_name="plantops", statement_cache_size=0)
    try:
        if await is_pooled(conn):
            options = {"statement_cache_size": 0, **options}
    finally:
        await conn.close()
    with _explained(first) as seconds:
        return await asyncpg.create_pool(
            url.for_asyncpg(first),
            timeout=seconds,
            server_settings={"application_name": "plantops"},
            **{"connect": connect_anew, **options},
        )

"""Connections, and the reasons that are given when there is none."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

import asyncpg
import pytest

from src.db import connection
from src.db.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CERTIFICATE = Path(__file__).parents[2] / "tests/handbook/server.pem"
OPEN = [connection.connect, connection.create_pool]


async def refusal(open_: Callable[[str], Awaitable[object]], url: str) -> str:
    with pytest.raises(DatabaseUnavailableError) as caught:
        await open_(url)
    assert "hush" not in repr(caught.value) + str(caught.value)
    assert str(caught.value).endswith("[PM13] Background: docs/errors.md#pm13")
    return str(caught.value)


async def test_a_connection_says_who_it_is(migrated_url: str) -> None:
    conn = await connection.connect(migrated_url)
    assert await conn.fetchval("SHOW application_name") == "plantops-migrations"
    await conn.close()
    async with await connection.create_pool(migrated_url, min_size=1) as pool:
        assert await pool.fetchval("SHOW application_name") == "plantops"


async def test_an_ipv6_address_may_be_one_of_several_hosts() -> None:
    text = await refusal(connection.connect, "postgresql://me:h[u]sh@127.0.0.1:1,[::1]:1/plants")
    assert text.startswith("cannot connect to 127.0.0.1:1,[::1]:1, database plants: nothing answers at that address.\n")


@pytest.mark.parametrize("open_", OPEN)
async def test_nothing_answers(open_: Callable[[str], Awaitable[object]]) -> None:
    with socket.socket() as reserved:
        # Bound, and not listening: nothing else gets the port meanwhile.
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        text = await refusal(open_, f"postgresql://me:hush@127.0.0.1:{port}/plants")
    assert text.startswith(
        f"cannot connect to 127.0.0.1:{port}, database plants: nothing answers at that address.\nStart PostgreSQL"
    )


@pytest.mark.parametrize("open_", OPEN)
async def test_a_database_that_is_not_there(open_: Callable[[str], Awaitable[object]], database_url: str) -> None:
    url = urlunsplit(urlsplit(database_url)._replace(path="/no_such_database"))
    assert "database no_such_database: the server has no such database.\n" in await refusal(open_, url)


async def test_a_role_that_is_not_there(database_url: str) -> None:
    parts = urlsplit(database_url)
    url = urlunsplit(parts._replace(netloc="no-such-role:hush@" + parts.netloc.rpartition("@")[2]))
    assert "the server refused the user name or the password.\n" in await refusal(connection.connect, url)


async def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 0.2)

    given_up = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        given_up.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        text = await refusal(connection.connect, f"postgresql://me:hush@127.0.0.1:{port}/plants")
        await given_up.wait()
    assert "the server did not answer within" in text


@pytest.mark.parametrize("open_", OPEN)
@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:hush@host/plants",
        "postgresql://me:hush#rest@host/plants",
        "postgresql://me:hush/rest@host/plants",
        "postgresql://me:1/hush@host:port/plants",
        "postgresql://me:12/hush@host/plants",
        "hush",
    ],
)
async def test_a_malformed_url_is_not_shown(open_: Callable[[str], Awaitable[object]], url: str) -> None:
    with pytest.raises(DatabaseUnavailableError) as caught:
        await open_(url)
    assert "percent-encode" in str(caught.value)
    assert "me:1" not in str(caught.value)
    shown: BaseException | None = caught.value
    while shown is not None:
        assert "hush" not in str(shown)
        shown = None if shown.__suppress_context__ and shown.__cause__ is None else shown.__cause__ or shown.__context__


async def test_a_pools_options_are_asyncpgs(migrated_url: str) -> None:
    async with await connection.create_pool(migrated_url, min_size=1, max_size=2) as pool:
        assert isinstance(pool, asyncpg.Pool)
        assert pool.get_max_size() == 2
    async with await connection.create_pool(migrated_url, min_size=0) as pool:
        assert pool.get_max_size() == 10  # what the guides count for each replica


@pytest.mark.parametrize("open_", OPEN)
@pytest.mark.parametrize("option", ["sslmode=perhaps", "sslmode=verify-full"])
async def test_what_is_wrong_with_tls_is_shown(
    open_: Callable[[str], Awaitable[object]], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # no root certificate there
    text = await refusal(open_, f"postgresql://me:hush@127.0.0.1:1/plants?{option}")
    assert text.startswith("The database URL cannot be used: ")
    assert "Correct its sslmode or sslrootcert." in text


@pytest.mark.parametrize(
    ("value", "named"), [("postgresql://elsewhere/plants", "DATABASE_URL"), ("", "the database URL")]
)
async def test_the_variable_is_blamed_only_where_it_is_set(
    value: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", value)
    assert f"correct the host and port in {named}.\n" in await refusal(connection.connect, "postgresql://127.0.0.1:1/x")
    text = await refusal(connection.connect, "postgresql://host:port/x")
    assert text.lower().startswith(f"{named.lower()} is not a valid PostgreSQL URL.".lower())


@pytest.mark.parametrize("parameter", ["sslrootcert", "sslcert", "sslkey", "sslcrl"])
async def test_a_file_of_tls_that_cannot_be_read_is_named(
    parameter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/plants")
    files = {name: str(CERTIFICATE) for name in ("sslrootcert", "sslcert", "sslkey")}
    expected = f": {tmp_path} cannot be read.\nCorrect {parameter} in DATABASE_URL, or PG{parameter.upper()}.\n("
    query = urlencode({**files, parameter: tmp_path})
    url = "postgresql://me:hush@127.0.0.1:1/plants?sslmode=verify-full"
    assert expected in await refusal(connection.connect, f"{url}&{query}")
    for name, value in {**files, parameter: str(tmp_path)}.items():
        monkeypatch.setenv(f"PG{name.upper()}", value)
    assert expected in await refusal(connection.connect, url)


async def test_a_file_that_is_no_certificate() -> None:
    text = await refusal(connection.connect, f"postgresql://?sslmode=verify-ca&sslrootcert={__file__}")
    assert ": TLS fails.\nCorrect the files that sslrootcert, sslcert and sslkey name" in text


async def test_a_socket_that_is_not_there_is_no_file_of_tls() -> None:
    url = f"postgresql://me:hush@/plants?host=/nowhere&sslrootcert={CERTIFICATE}"
    assert "nothing answers at that address" in await refusal(connection.connect, url)


@pytest.mark.parametrize("open_", OPEN)
async def test_a_certificate_that_is_refused(open_: Callable[[str], Awaitable[object]]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)

    async def encrypted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        with suppress(OSError):
            await writer.start_tls(context)
        writer.close()

    async with await asyncio.start_server(encrypted, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        query = urlencode({"sslmode": "verify-full", "sslrootcert": CERTIFICATE})
        text = await refusal(open_, f"postgresql://me:hush@127.0.0.1:{port}/plants?{query}")
    assert "the server's certificate is not one that sslmode and sslrootcert accept.\nCorrect them or the host" in text


async def test_a_server_without_tls() -> None:
    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        writer.close()

    async with await asyncio.start_server(refusing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        text = await refusal(connection.connect, f"postgresql://me:hush@127.0.0.1:{port}/plants?sslmode=require")
    assert "the server has no TLS, which sslmode asks for.\n" in text

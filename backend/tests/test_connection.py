"""Connections, and the reasons that are given when there is none."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from src.db import connection
from src.db.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

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

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        text = await refusal(connection.connect, f"postgresql://me:hush@127.0.0.1:{port}/plants")
        await asyncio.sleep(0.5)
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


@pytest.mark.parametrize("open_", OPEN)
@pytest.mark.parametrize("option", ["sslmode=perhaps", "sslmode=verify-full"])
async def test_what_is_wrong_with_tls_is_shown(
    open_: Callable[[str], Awaitable[object]], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # no root certificate there
    text = await refusal(open_, f"postgresql://me:hush@127.0.0.1:1/plants?{option}")
    assert text.startswith("DATABASE_URL cannot be used: ")
    assert "Correct its sslmode or sslrootcert." in text


async def test_a_server_without_tls() -> None:
    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        writer.close()

    async with await asyncio.start_server(refusing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        text = await refusal(connection.connect, f"postgresql://me:hush@127.0.0.1:{port}/plants?sslmode=require")
    assert "the server has no TLS, which sslmode asks for.\n" in text

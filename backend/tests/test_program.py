"""Which of PostgreSQL's programs may connect to a database: none in the clear where the backend is encrypted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from src.db.errors import DatabaseUnavailableError
from src.db.server import ServerError, binary, program
from src.db.server.program import client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BACKEND = Path(program.__file__).parents[3]
CERTIFICATE = Path(__file__).parents[2] / "tests/handbook/server.pem"
# A program with TLS, as far as it is asked: it does not say that it has none.
MODERN = "#!/bin/sh\necho 'psql (PostgreSQL) 99.1'\n"
WHEEL = str(binary("psql"))


@contextlib.asynccontextmanager
async def relay(url: str, *, encrypted: bool) -> AsyncIterator[str]:
    """Give the URL of a TCP port that leads to the socket of a URL, with TLS or without."""
    hosts = parse_qs(urlsplit(url).query).get("host")
    if not hosts:
        pytest.skip("the server of TEST_DATABASE_URL has no socket to relay to")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start = await reader.read(8)
        there_reader, there_writer = await asyncio.open_unix_connection(f"{hosts[0]}/.s.PGSQL.5432")
        if start.endswith(b"\x04\xd2\x16\x2f"):  # a request for TLS
            writer.write(b"S" if encrypted else b"N")
            if encrypted:
                with contextlib.suppress(OSError):
                    await writer.start_tls(context)
        else:
            there_writer.write(start)
        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://plantops@127.0.0.1:{port}{urlsplit(url).path}"


@pytest.fixture
def modern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only program besides the wheel's."""
    monkeypatch.setattr(program, "_PLACES", (str(tmp_path)[1:] + "/[p]laces",))
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "psql"
    path.write_text(MODERN)
    path.chmod(0o755)
    return path


async def test_the_wheels_program_will_do_where_nothing_is_encrypted(migrated_url: str, modern: Path) -> None:
    assert await client("psql", migrated_url) == WHEEL
    modern.unlink()  # noqa: ASYNC240 - a test's own file
    async with relay(migrated_url, encrypted=False) as url:
        assert await client("psql", url) == WHEEL


async def test_where_the_backend_is_encrypted_another_is_used_or_none(migrated_url: str, modern: Path) -> None:
    async with relay(migrated_url, encrypted=True) as url:
        assert await client("psql", url) == str(modern)
        places = modern.parent / "places"
        places.mkdir()
        other = modern.rename(places / "psql")  # noqa: ASYNC240 - likewise
        assert await client("psql", url) == str(other)
        other.unlink()
        with pytest.raises(
            ServerError, match=r"is encrypted, and no psql .* can do TLS .* Install PostgreSQL's client"
        ):
            await client("psql", url)
    with pytest.raises(DatabaseUnavailableError, match="nothing answers"):
        await client("psql", url)


async def test_a_program_that_is_too_old_will_not_do(migrated_url: str, modern: Path) -> None:
    assert await client("psql", migrated_url, at_least=99) == str(modern)
    with pytest.raises(ServerError, match="There is no psql 100 or newer on this machine"):
        await client("psql", migrated_url, at_least=100)


async def test_without_the_wheel(migrated_url: str, modern: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    assert await client("psql", migrated_url) == str(modern)


async def test_psql_through_tls(migrated_url: str) -> None:
    if not any(program._has_tls(path) for path in program._programs("psql")):
        pytest.skip("no psql on this machine can do TLS")
    async with relay(migrated_url, encrypted=True) as url:
        for query in ("", "?sslmode=require", f"?sslmode=verify-ca&sslrootcert={CERTIFICATE}"):
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "src.db.commands.prompt", "psql", "-XAtc", "SELECT 6 * 7", "-c", r"\conninfo"],
                cwd=BACKEND,
                env={**os.environ, "DATABASE_URL": f"{url}{query}"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith("42\n")
            assert "SSL" in done.stdout

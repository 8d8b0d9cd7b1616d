"""What a start meets besides its files: rules of the table, changed types, long statements, peers that are gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from src.db.connection import connect
from src.db.errors import HistoryError
from src.db.migration_runner import run_migrations

Write = Callable[[str, str], Path]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE schema_migrations ENABLE ROW LEVEL SECURITY", "row security hides rows of it from the role {}"),
        ("REVOKE USAGE ON SCHEMA public FROM PUBLIC", "it is in the schema public, which the role {} has no right to"),
    ],
)
async def test_a_history_that_is_hidden_from_a_role(
    migrated_url: str, write: Write, tmp_path: Path, change: str, told: str
) -> None:
    owner = await asyncpg.connect(migrated_url)
    database = await owner.fetchval("SELECT current_database()")
    role = f"{database}_migrator"
    await owner.execute(
        f'CREATE ROLE "{role}"; GRANT SELECT, INSERT ON schema_migrations TO "{role}";'
        f' {change}; ALTER DATABASE "{database}" SET role = "{role}"'
    )
    write("007_x.py", "transactional = False\n\nasync def up(conn):\n    raise AssertionError\n")
    try:
        with pytest.raises(HistoryError, match=told.format(role)):
            await run_migrations(migrated_url, directory=tmp_path)
    finally:
        await owner.execute(f'ALTER DATABASE "{database}" RESET role; DROP OWNED BY "{role}"; DROP ROLE "{role}"')
        await owner.close()


async def test_a_type_that_changes_between_two_reads(database_url: str, write: Write, tmp_path: Path) -> None:
    write("001_a.py", "CREATE TABLE pots (id int); INSERT INTO pots VALUES (1)")
    write(
        "002_b.py",
        """
        async def up(conn):
            before = await conn.fetch("SELECT pots FROM pots")
            await conn.execute("ALTER TABLE pots ADD COLUMN size int DEFAULT 3")
            after = await conn.fetch("SELECT pots FROM pots")
            assert [tuple(row[0]) for row in (*before, *after)] == [(1,), (1, 3)]
        """,
    )
    assert await run_migrations(database_url, directory=tmp_path) == ["001", "002"]


async def test_no_statement_is_kept(database_url: str, write: Write, tmp_path: Path) -> None:
    write(
        "001_import.py",
        """
        async def up(conn):
            for number in range(20):
                await conn.execute(f"SELECT '{number}" + 5_000_000 * "x" + "'")
        """,
    )
    tracemalloc.start()
    try:
        await run_migrations(database_url, directory=tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()


@contextlib.asynccontextmanager
async def over_tcp(url: str) -> AsyncIterator[str]:
    """Give the URL of a database by way of a TCP port that passes everything on."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    place = f"{query['host'][0]}/.s.PGSQL.{query.get('port', ['5432'])[0]}"

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while data := await reader.read(65536):
                writer.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(place)
        await asyncio.gather(carry(reader, back), carry(there, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}?sslmode=disable"


async def test_a_peer_that_has_gone_is_noticed(database_url: str, write: Write, tmp_path: Path) -> None:
    if "host" not in parse_qs(urlsplit(database_url).query):
        pytest.skip("the server of the tests is reached by TCP")
    # At the server: of a Unix socket it shows that they are set, and not what they are.
    write(
        "001_a.py",
        """
        SET_BY = "SELECT source FROM pg_settings WHERE name LIKE 'tcp_keepalives%' GROUP BY 1"

        async def up(conn):
            assert await conn.fetchval(SET_BY) == "session"
        """,
    )
    assert await run_migrations(database_url, directory=tmp_path) == ["001"]
    # At the runner.
    async with over_tcp(database_url) as url:
        conn = await connect(url)
        line = conn._transport.get_extra_info("socket")  # type: ignore[attr-defined] # asyncpg keeps it to itself
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 4
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 5
        await conn.close()

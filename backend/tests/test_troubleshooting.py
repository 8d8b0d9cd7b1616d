"""What the pages of troubleshooting and of errors say without a block of theirs that runs it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

import asyncpg
import pytest

from src.db import errors
from src.db.migration_runner import apply_migration, run_migrations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest.fixture
async def conn(migrated_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to the database that the test migrates."""
    conn = await asyncpg.connect(migrated_url)
    yield conn
    await conn.close()


async def failure(url: str, directory: Path, kind: type[errors.MigrationError]) -> str:
    """Run the migrations of a directory, which fail with an error of this kind; return its text."""
    with pytest.raises(errors.MigrationError) as caught:
        await run_migrations(url, directory=directory)
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize(
    ("sqlstate", "remedy"),
    [
        ("25006", "Let DATABASE_URL name the primary."),
        ("26000", "Start with a DATABASE_URL that names the server itself."),
        ("40P01", "Start again."),
        ("42501", "Grant the role of DATABASE_URL that right, or start once with the owner."),
        ("53100", "Make room on it, and start again."),
        ("57014", "or somebody canceled the statement. Start again."),
    ],
)
async def test_a_sqlstate_that_tells_what_to_do(
    conn: asyncpg.Connection[asyncpg.Record], write: Callable[[str, str], Path], sqlstate: str, remedy: str
) -> None:
    file = write("007_x.py", f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$")
    with pytest.raises(errors.MigrationSqlError) as caught:
        await apply_migration(conn, "007", file)
    assert caught.value.sqlstate == sqlstate
    assert caught.value.message.splitlines()[-1].endswith(remedy)


async def test_what_is_no_statement_is_not_shown_as_one(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    missing = urlunsplit(urlsplit(migrated_url)._replace(path="/no_such_database"))
    write("007_x.py", f"import asyncpg\n\nasync def up(conn):\n    await asyncpg.connect({missing!r})\n")
    text = await failure(migrated_url, tmp_path, errors.MigrationSqlError)
    assert "SQLSTATE: 3D000" in text
    assert "SQL: " not in text


async def test_an_error_of_up_after_a_savepoint_is_its_own(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write(
        "007_x.py",
        """
        async def up(conn):
            try:
                async with conn.transaction():
                    await conn.execute("DELETE FROM shelves")
            except Exception as error:
                raise LookupError from error
        """,
    )
    text = await failure(migrated_url, tmp_path, errors.MigrationCodeError)
    assert text.startswith("007_x.py, line 7: up raised LookupError\n")


async def test_each_invalid_index_is_named_at_once_and_at_the_next_start(
    migrated_url: str, conn: asyncpg.Connection[asyncpg.Record], write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    await conn.execute("INSERT INTO plants (id, name, species) VALUES ('a', 'Fern', 'fern'), ('b', 'Fern', 'fern')")
    write(
        "007_x.py",
        """
        import contextlib
        import asyncpg

        transactional = False

        async def up(conn):
            for column in ("name", "species"):
                with contextlib.suppress(asyncpg.UniqueViolationError):
                    await conn.execute(
                        f"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS idx_{column} ON plants ({column})"
                    )
        """,
    )
    drops = "    DROP INDEX CONCURRENTLY idx_name;\n    DROP INDEX CONCURRENTLY idx_species;\n"
    assert "up left an invalid index.\n" in (first := await failure(migrated_url, tmp_path, errors.InvalidIndexError))
    assert "IF NOT EXISTS passes over" in (second := await failure(migrated_url, tmp_path, errors.InvalidIndexError))
    assert drops in first
    assert drops in second


async def test_what_asyncpg_cannot_make_out_is_no_lost_connection_while_it_is_open(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write(
        "007_x.py",
        """
        import asyncpg

        transactional = False

        async def up(conn):
            raise asyncpg.InternalClientError("got result for unknown protocol state 3")
        """,
    )
    text = await failure(migrated_url, tmp_path, errors.MigrationCodeError)
    assert "up raised InternalClientError: got result for unknown protocol state 3" in text


async def test_a_server_that_starts_up(write: Callable[[str, str], Path], tmp_path: Path) -> None:
    write("007_x.py", "SELECT 1")
    fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://me@127.0.0.1:{port}/plants?sslmode=disable"
        text = await failure(url, tmp_path, errors.DatabaseUnavailableError)
    assert "the server is starting up or shutting down.\nTry again when it is ready.\n" in text


async def test_any_other_refusal_is_told_in_the_servers_words(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write("007_x.py", "SELECT 1")
    url = urlunsplit(urlsplit(migrated_url)._replace(path="/template0"))
    text = await failure(url, tmp_path, errors.DatabaseUnavailableError)
    assert 'database "template0" is not currently accepting connections' in text


async def test_both_who_are_in_the_way_are_named(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write("007_x.py", "ALTER TABLE plants ADD COLUMN IF NOT EXISTS room text")
    report = await asyncpg.connect(migrated_url, server_settings={"application_name": "report"})
    backup = await asyncpg.connect(
        migrated_url, server_settings={"application_name": "backup", "track_activities": "off"}
    )
    for session in (report, backup):
        await session.transaction().start()
        await session.execute("SELECT count(*) FROM plants")
    running = asyncio.create_task(run_migrations(migrated_url, directory=tmp_path))
    for _ in range(400):
        if "(report), idle in transaction" in caplog.text and "(backup), disabled" in caplog.text:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail(caplog.text)
    for session in (report, backup):
        await session.close()
    assert await running == ["007"]


async def test_with_nothing_pending_a_role_needs_to_read_the_record_and_no_more(
    migrated_url: str, conn: asyncpg.Connection[asyncpg.Record], write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    role = f"{await conn.fetchval('SELECT current_database()')}_web"
    await conn.execute(f'CREATE ROLE "{role}"; GRANT SELECT ON schema_migrations TO "{role}"')
    try:
        parts = urlsplit(migrated_url)
        query = "&".join(filter(None, [parts.query, urlencode({"role": role})]))
        small = urlunsplit(parts._replace(query=query))
        write("006_x.py", "SELECT 1")
        assert await run_migrations(small, directory=tmp_path) == []
        write("007_x.py", "ALTER TABLE plants ADD COLUMN IF NOT EXISTS room text")
        assert "must be owner of table plants" in await failure(small, tmp_path, errors.MigrationSqlError)
    finally:
        await conn.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')

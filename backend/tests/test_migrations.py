"""The contract of the migration runner: on its own, and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, MagicMock, call, patch

import asyncpg
import pytest

from src.db.errors import (
    ConnectionLostError,
    HistoryError,
    MigrationCodeError,
    MigrationDirectoryError,
    MigrationSqlError,
    TransactionEndedError,
)
from src.db.migration_runner import (
    MIGRATIONS_DIRECTORY,
    apply_migration,
    ensure_migrations_table,
    get_applied_migrations,
    get_migration_files,
    mark_migration_applied,
    run_migrations,
)
from src.db.runner.lock import LOCK_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Write = Callable[[str, str], Path]

ALL = ["001", "002", "003", "004", "005", "006"]


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to an empty database."""
    conn = await asyncpg.connect(database_url)
    yield conn
    await conn.close()


# The functions, one at a time.


async def test_table_is_created() -> None:
    conn = AsyncMock()
    await ensure_migrations_table(conn)
    conn.execute.assert_called_once()
    assert "CREATE TABLE IF NOT EXISTS schema_migrations" in conn.execute.call_args[0][0]


async def test_applied_versions_are_listed() -> None:
    conn = AsyncMock()
    conn.fetch.return_value = [{"version": "001"}, {"version": "002"}]
    assert await get_applied_migrations(conn) == ["001", "002"]
    conn.fetch.assert_called_once()


async def test_marking_inserts_the_version() -> None:
    conn = AsyncMock()
    await mark_migration_applied(conn, "001")
    conn.execute.assert_called_once()
    assert "INSERT INTO schema_migrations" in conn.execute.call_args[0][0]
    assert conn.execute.call_args[0][1] == "001"


def test_files_are_sorted_and_init_is_left_out(tmp_path: Path) -> None:
    for name in ("002_second.py", "__init__.py", "001_first.py"):
        (tmp_path / name).touch()
    assert get_migration_files(tmp_path) == [
        ("001", tmp_path / "001_first.py"),
        ("002", tmp_path / "002_second.py"),
    ]
    assert get_migration_files(str(tmp_path)) == get_migration_files(tmp_path)


def test_versions_sort_as_numbers(tmp_path: Path) -> None:
    for name in ("1000_d.py", "999_c.py", "10_b.py", "002_a.py"):
        (tmp_path / name).touch()
    assert [version for version, _ in get_migration_files(tmp_path)] == ["002", "10", "999", "1000"]


async def test_applied_versions_sort_as_numbers_and_others_follow() -> None:
    conn = AsyncMock()
    conn.fetch.return_value = [{"version": version} for version in ("1000", "by-hand", "999", "002")]
    assert await get_applied_migrations(conn) == ["002", "999", "1000", "by-hand"]


def test_what_is_not_a_migration_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "001_directory.py").mkdir()
    for name in ("_helpers.py", ".002_hidden.py", "003_notes.txt", "CHECKSUMS", "004_old.py~"):
        (tmp_path / name).touch()
    assert get_migration_files(tmp_path) == []


async def test_apply_runs_up_then_records_in_a_joined_transaction(write: Callable[[str, str], Path]) -> None:
    conn = AsyncMock()
    await apply_migration(conn, "007", write("007_x.py", "SELECT 7"))
    assert [call.args for call in conn.execute.call_args_list] == [
        ("SELECT 7",),
        ("INSERT INTO schema_migrations (version) VALUES ($1)", "007"),
    ]
    conn.transaction.assert_not_called()


async def test_apply_opens_a_transaction_where_there_is_none(write: Callable[[str, str], Path]) -> None:
    conn = AsyncMock()
    conn.is_in_transaction = MagicMock(side_effect=[False, True])
    await apply_migration(conn, "007", write("007_x.py", "SELECT 7"))
    conn.transaction.assert_called_once_with()
    assert conn.execute.await_count == 2


# The same promises on PostgreSQL.


async def test_the_table_is_exactly_as_designed_and_creating_it_twice_is_harmless(
    conn: asyncpg.Connection[asyncpg.Record],
) -> None:
    await ensure_migrations_table(conn)
    await ensure_migrations_table(conn)
    columns = await conn.fetch(
        "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_name = 'schema_migrations' ORDER BY ordinal_position"
    )
    assert [tuple(column) for column in columns] == [
        ("version", "text", "NO", None),
        ("applied_at", "timestamp with time zone", "YES", "now()"),
    ]


async def test_running_twice_applies_once(
    baseline: Path, database_url: str, conn: asyncpg.Connection[asyncpg.Record]
) -> None:
    assert await run_migrations(database_url, directory=baseline) == ALL
    assert await run_migrations(database_url, directory=baseline) == []
    assert await get_applied_migrations(conn) == ALL


async def test_versions_are_applied_in_order(
    database_url: str,
    conn: asyncpg.Connection[asyncpg.Record],
    write: Callable[[str, str], Path],
    tmp_path: Path,
) -> None:
    write("001_table.py", "CREATE TABLE audit (id SERIAL, version TEXT)")
    # Over a hundred, so that files are read ahead more than once.
    versions = ["002", "10", *(str(number) for number in range(900, 1001))]
    for version in versions:
        write(f"{version}_row.py", f"INSERT INTO audit (version) SELECT '{version}'")
    assert await run_migrations(database_url, directory=tmp_path) == ["001", *versions]
    assert [row["version"] for row in await conn.fetch("SELECT version FROM audit ORDER BY id")] == versions


async def test_a_database_in_service_is_taken_over(
    baseline: Path, database_url: str, conn: asyncpg.Connection[asyncpg.Record], write: Callable[[str, str], Path]
) -> None:
    await conn.execute(
        "CREATE TABLE schema_migrations (version TEXT PRIMARY KEY, applied_at TIMESTAMPTZ DEFAULT NOW())"
    )
    for version in ALL:
        await mark_migration_applied(conn, version)
    for _, path in get_migration_files(baseline):
        write(path.name, "SELECT 1 / 0")
    path = write("007_new.py", "CREATE TABLE new ()")
    assert await run_migrations(database_url, directory=path.parent) == ["007"]


async def test_a_failing_migration_leaves_nothing_and_those_before_it_stay(
    database_url: str,
    conn: asyncpg.Connection[asyncpg.Record],
    write: Callable[[str, str], Path],
    tmp_path: Path,
) -> None:
    write("001_good.py", "CREATE TABLE good ()")
    write("002_bad.py", "CREATE TABLE bad (); SELECT 1 / 0")
    write("003_next.py", "CREATE TABLE next ()")
    with pytest.raises(Exception, match=r"^002_bad\.py, line 2: division by zero"):
        await run_migrations(database_url, directory=tmp_path)
    assert await get_applied_migrations(conn) == ["001"]
    assert await conn.fetchval("SELECT to_regclass('bad')") is None
    write("002_bad.py", "CREATE TABLE bad ()")
    assert await run_migrations(database_url, directory=tmp_path) == ["002", "003"]


async def test_a_caller_can_wrap_apply_migration_in_a_transaction(
    conn: asyncpg.Connection[asyncpg.Record], write: Callable[[str, str], Path]
) -> None:
    await ensure_migrations_table(conn)
    transaction = conn.transaction()
    await transaction.start()
    await apply_migration(conn, "007", write("007_x.py", "CREATE TABLE x ()"))
    await transaction.rollback()
    assert await get_applied_migrations(conn) == []
    assert await conn.fetchval("SELECT to_regclass('x')") is None


async def test_up_may_use_savepoints_and_survive_an_error_in_one(
    conn: asyncpg.Connection[asyncpg.Record], write: Callable[[str, str], Path]
) -> None:
    await ensure_migrations_table(conn)
    path = write(
        "007_x.py",
        """
        import asyncpg

        async def up(conn):
            try:
                async with conn.transaction():
                    await conn.execute("SELECT 1 / 0")
            except asyncpg.DivisionByZeroError:
                await conn.execute("CREATE TABLE rescued ()")
        """,
    )
    await apply_migration(conn, "007", path)
    assert await conn.fetchval("SELECT to_regclass('rescued')::text") == "rescued"


async def test_a_migration_outside_a_transaction_builds_an_index_concurrently(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write(
        "007_index.py",
        """
        transactional = False

        async def up(conn):
            assert await conn.fetchval("SHOW lock_timeout") == "0"
            await conn.execute("CREATE INDEX CONCURRENTLY idx_plants_name ON plants (name)")
        """,
    )
    write(
        "008_inside.py",
        """
        async def up(conn):
            assert await conn.fetchval("SHOW lock_timeout") == "500ms"
            assert conn.is_in_transaction()
        """,
    )
    assert await run_migrations(migrated_url, directory=tmp_path) == ["007", "008"]


async def test_only_pending_files_are_loaded(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write("006_broken.py", "this is not Python\n")
    write("007_fine.py", "SELECT 7")
    assert await run_migrations(migrated_url, directory=tmp_path) == ["007"]


async def test_a_byte_order_mark_crlf_and_a_declared_encoding_are_fine(database_url: str, tmp_path: Path) -> None:
    body = 'async def up(conn):\r\n    await conn.execute("CREATE TABLE caf\u00e9 ()")\r\n'
    (tmp_path / "001_mark.py").write_bytes(b"\xef\xbb\xbf" + body.encode())
    (tmp_path / "002_latin.py").write_bytes(b"# coding: latin-1\r\n" + body.replace("caf", "th").encode("latin-1"))
    assert await run_migrations(database_url, directory=tmp_path) == ["001", "002"]
    conn = await asyncpg.connect(database_url)
    assert await conn.fetchval("SELECT to_regclass('caf\u00e9') IS NOT NULL AND to_regclass('th\u00e9') IS NOT NULL")
    await conn.close()


async def test_a_module_is_found_by_its_dataclasses_and_forgotten_afterwards(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write(
        "001_data.py",
        """
        from __future__ import annotations
        from dataclasses import dataclass

        @dataclass
        class Plant:
            name: str

        async def up(conn):
            assert Plant("basil").name == "basil"
            assert __file__.endswith("001_data.py")
        """,
    )
    before = set(sys.modules)
    assert await run_migrations(database_url, directory=tmp_path) == ["001"]
    assert not [name for name in set(sys.modules) - before if "001_data" in name]
    assert os.listdir(tmp_path) == ["001_data.py"]  # noqa: PTH208 - as short, and no blocking pathlib


async def test_reading_a_table_before_and_after_changing_it_works(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write(
        "007_type.py",
        """
        async def up(conn):
            await conn.fetch("SELECT * FROM plants")
            await conn.execute("ALTER TABLE plants ALTER COLUMN thresholds TYPE TEXT")
            await conn.fetch("SELECT * FROM plants")
        """,
    )
    assert await run_migrations(migrated_url, directory=tmp_path) == ["007"]


# What the log says.


async def test_each_migration_is_one_line_with_its_duration(
    baseline: Path, database_url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    await run_migrations(database_url, directory=baseline)
    records = [record for record in caplog.records if record.name == "src.db.migration_runner"]
    assert len(records) == 6
    assert all(record.levelno == logging.INFO for record in records)
    words = records[0].getMessage().split()
    assert words[:3] == ["applied", "001_create_plants.py", "in"]
    assert words[3].isdecimal()
    assert words[4:] == ["ms"]
    assert capfd.readouterr().out == ""


async def test_an_applied_version_without_a_file_is_a_warning(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write("001_create_plants.py", "SELECT 1")
    assert await run_migrations(migrated_url, directory=tmp_path) == []
    assert "no file for: 002, 003, 004, 005, 006;" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


async def test_a_pending_version_below_the_newest_is_applied_with_a_warning(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write("010_late.py", "SELECT 1")
    await run_migrations(database_url, directory=tmp_path)
    write("009_early.py", "SELECT 1")
    write("011_later.py", "SELECT 1")
    assert await run_migrations(database_url, directory=tmp_path) == ["009", "011"]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["009_early.py is applied after the newer migration 010"]


# The six migrations.


def test_the_checksums_are_those_of_the_files() -> None:
    listed = [line.split("  ") for line in (MIGRATIONS_DIRECTORY / "CHECKSUMS").read_text().splitlines()]
    assert listed == [[hashlib.sha256(path.read_bytes()).hexdigest(), path.name] for _, path in get_migration_files()]


async def test_the_six_migrations_are_idempotent(baseline: Path, migrated_url: str) -> None:
    conn = await asyncpg.connect(migrated_url)
    await conn.execute("DELETE FROM schema_migrations")
    await conn.close()
    assert await run_migrations(migrated_url, directory=baseline) == ALL


SCHEMA = {
    "plants": "id text PK; name text not null; species text; thresholds jsonb; created_at timestamptz now()",
    "devices": "id text PK; mac_address text unique; mqtt_username text unique; mqtt_password_hash text not null;"
    " plant_id text -> plants set null; status text 'provisioning'; firmware_version text; sensor_types jsonb;"
    " last_seen_at timestamptz; created_at timestamptz now()",
    "telemetry": "time timestamptz not null; device_id text -> devices cascade; plant_id text -> plants set null;"
    " soil_moisture float8; temperature float8; humidity float8; light_level float8",
    "alerts": "id int4 serial PK; plant_id text -> plants cascade; device_id text -> devices cascade;"
    " metric text not null; value float8 not null; threshold float8 not null; direction text not null;"
    " sent_at timestamptz now()",
    "settings": "key text PK; value text not null; updated_at timestamptz now()",
    "care_plans": "id int4 serial PK; plant_id text unique -> plants cascade; plan_data jsonb not null;"
    " generated_at timestamptz now()",
}
INDEXES = {
    "idx_devices_plant_id": "devices USING btree (plant_id)",
    "idx_devices_status": "devices USING btree (status)",
    "idx_telemetry_device": 'telemetry USING btree (device_id, "time" DESC)',
    "idx_telemetry_plant": 'telemetry USING btree (plant_id, "time" DESC)',
    "idx_alerts_plant": "alerts USING btree (plant_id, sent_at DESC)",
}


async def test_the_schema_is_the_designs(migrated_url: str) -> None:
    conn = await asyncpg.connect(migrated_url)
    rows = await conn.fetch("""
        SELECT relname AS table, string_agg(
            attname || ' ' || typname
            || CASE WHEN pg_get_expr(adbin, adrelid) LIKE 'nextval%' THEN ' serial' ELSE '' END
            || CASE WHEN 'p' = ANY (kinds) THEN ' PK' WHEN 'u' = ANY (kinds) THEN ' unique'
                    WHEN attnotnull THEN ' not null' ELSE '' END
            || coalesce(' -> ' || target || CASE deltype WHEN 'c' THEN ' cascade' WHEN 'n' THEN ' set null' END, '')
            || CASE WHEN pg_get_expr(adbin, adrelid) NOT LIKE 'nextval%'
                    THEN ' ' || split_part(pg_get_expr(adbin, adrelid), '::', 1) ELSE '' END,
            '; ' ORDER BY attnum) AS columns
        FROM pg_class
        JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
        JOIN pg_type ON pg_type.oid = atttypid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        CROSS JOIN LATERAL (
            SELECT array_agg(contype) AS kinds, max(confrelid::regclass::text) FILTER (WHERE contype = 'f') AS target,
                max(confdeltype) FILTER (WHERE contype = 'f') AS deltype
            FROM pg_constraint WHERE conrelid = attrelid AND conkey = ARRAY[attnum]
        ) AS constraints
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'schema_migrations'
        GROUP BY relname
    """)
    indexes = await conn.fetch(
        "SELECT indexname, split_part(indexdef, ' ON public.', 2) FROM pg_indexes WHERE indexname LIKE 'idx%'"
    )
    await conn.close()
    assert {row["table"]: row["columns"] for row in rows} == SCHEMA
    assert dict(map(tuple, indexes)) == INDEXES


async def test_telemetry_is_a_hypertable_where_timescaledb_can_be_had(
    baseline: Path, database_url: str, tmp_path: Path
) -> None:
    """A stand-in for the extension notes how it is asked, in a real catalogue of extensions."""
    conn = await asyncpg.connect(database_url)
    if conn.get_server_version().major < 18:
        await conn.close()
        pytest.skip("extension_control_path, by which a server finds a stand-in, came with PostgreSQL 18")
    extension = tmp_path / "extension"
    extension.mkdir()
    (extension / "timescaledb.control").write_text("default_version = '1'\nrelocatable = true\n")
    (extension / "timescaledb--1.sql").write_text(
        "CREATE TABLE asked (what TEXT);"
        "CREATE FUNCTION create_hypertable(relation REGCLASS, by NAME, if_not_exists BOOLEAN) RETURNS VOID"
        " LANGUAGE sql BEGIN ATOMIC INSERT INTO asked VALUES (relation || ' ' || by || ' ' || if_not_exists); END;"
    )
    # The server may run as another user.
    for path in (extension, *extension.iterdir(), *tmp_path.parents, tmp_path):
        if path.is_relative_to(tmp_path.parents[2]):
            path.chmod(0o755)
    database = await conn.fetchval("SELECT current_database()")
    await conn.execute(f"ALTER DATABASE \"{database}\" SET extension_control_path = '{tmp_path}:$system'")
    await conn.close()
    assert await run_migrations(database_url, directory=baseline) == ALL
    conn = await asyncpg.connect(database_url)
    assert [row["what"] for row in await conn.fetch("SELECT what FROM asked")] == ["telemetry time true"]
    await conn.close()


async def test_timescaledb_may_be_there_already_in_a_schema_of_its_own(baseline: Path, database_url: str) -> None:
    conn = await asyncpg.connect(database_url)
    # plpgsql is there in every database, and its row in the catalogue is as good as any.
    await conn.execute("""
        CREATE SCHEMA "Time Scale";
        CREATE TABLE asked (what TEXT);
        CREATE FUNCTION "Time Scale".create_hypertable(REGCLASS, NAME, if_not_exists BOOLEAN) RETURNS VOID
            LANGUAGE sql BEGIN ATOMIC INSERT INTO asked VALUES ($1 || ' ' || $2); END;
        UPDATE pg_extension SET extname = 'timescaledb', extnamespace = '"Time Scale"'::regnamespace
            WHERE extname = 'plpgsql';
    """)
    await run_migrations(database_url, directory=baseline)
    assert [row["what"] for row in await conn.fetch("SELECT what FROM asked")] == ["telemetry time"]
    await conn.close()


async def test_a_table_of_another_kind_with_that_name_is_named(baseline: Path, database_url: str) -> None:
    conn = await asyncpg.connect(database_url)
    await conn.execute("CREATE TABLE schema_migrations (id INTEGER)")
    await conn.close()
    with pytest.raises(HistoryError, match='column "version" does not exist'):
        await run_migrations(database_url, directory=baseline)


async def test_versions_that_are_no_text_are_named(baseline: Path, migrated_url: str) -> None:
    conn = await asyncpg.connect(migrated_url)
    await conn.execute("ALTER TABLE schema_migrations ALTER COLUMN version TYPE integer USING version::integer")
    with pytest.raises(HistoryError, match="column version is not of the type text") as caught:
        await run_migrations(migrated_url, directory=baseline)
    await conn.execute(next(line for line in str(caught.value).splitlines() if line.startswith("ALTER TABLE")))
    assert await run_migrations(migrated_url, directory=baseline) == []
    assert len(await get_applied_migrations(conn)) == 6
    await conn.close()


# The seams of the contract: what a test patches in the module is what runs.


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> AsyncMock:
    """Let the runner connect to a mock, whose every awaited answer is a mock."""
    conn = AsyncMock()
    conn.fetch.return_value = []
    monkeypatch.setattr("src.db.migration_runner.asyncpg.connect", AsyncMock(return_value=conn))
    return conn


async def test_the_listed_files_are_applied_in_order(answering: AsyncMock) -> None:
    files = [("001", Path("001_a.py")), ("002", Path("002_b.py"))]
    with (
        patch("src.db.migration_runner.get_migration_files", return_value=files),
        patch("src.db.migration_runner.apply_migration", new_callable=AsyncMock) as applying,
    ):
        assert await run_migrations("postgresql://nobody@nowhere/nothing") == ["001", "002"]
        assert applying.await_args_list == [call(answering, *file) for file in files]
        answering.fetch.return_value = [{"version": "001"}, {"version": "002"}]
        assert await run_migrations("postgresql://nobody@nowhere/nothing") == []
    assert applying.await_count == 2


async def test_files_of_the_callers_own_may_come_from_an_empty_directory(answering: AsyncMock, tmp_path: Path) -> None:
    with pytest.raises(MigrationDirectoryError, match=f"^there are no migrations in {tmp_path}"):
        await run_migrations("postgresql://nobody@nowhere/nothing", directory=tmp_path)
    answering.fetch.return_value = [{"version": "001"}]
    with patch("src.db.migration_runner.get_migration_files", return_value=[("001", Path("001_a.py"))]):
        assert await run_migrations("postgresql://nobody@nowhere/nothing", directory=tmp_path) == []


async def test_a_mock_of_a_connection_is_migrated(answering: AsyncMock, write: Write, tmp_path: Path) -> None:
    write("001_a.py", "CREATE TABLE a ()")
    assert await run_migrations("postgresql://nobody@nowhere/nothing", directory=tmp_path) == ["001"]
    assert call("CREATE TABLE a ()") in answering.execute.await_args_list
    assert call("INSERT INTO schema_migrations (version) VALUES ($1)", "001") in answering.execute.await_args_list


async def test_a_mock_is_given_to_up_and_to_the_record(write: Write) -> None:
    conn = AsyncMock()
    await apply_migration(conn, "999", write("999_a.py", "CREATE TABLE a ()"))
    assert [called.args for called in conn.execute.await_args_list] == [
        ("CREATE TABLE a ()",),
        ("INSERT INTO schema_migrations (version) VALUES ($1)", "999"),
    ]


# A history that cannot be trusted.


async def test_a_table_in_another_schema_is_not_passed_over(migrated_url: str) -> None:
    separator = "&" if "?" in migrated_url else "?"
    with pytest.raises(HistoryError, match="it is in the schema public, where the search_path"):
        await run_migrations(f"{migrated_url}{separator}search_path=elsewhere")


async def test_a_record_that_is_swallowed_fails(migrated_url: str, write: Write, tmp_path: Path) -> None:
    conn = await asyncpg.connect(migrated_url)
    await conn.execute("CREATE RULE nothing AS ON INSERT TO schema_migrations DO INSTEAD NOTHING")
    write("007_a.py", "CREATE TABLE a ()")
    with pytest.raises(HistoryError, match=r"007_a\.py: .*wrote no row for 007"):
        await run_migrations(migrated_url, directory=tmp_path)
    assert await conn.fetchval("SELECT to_regclass('a') IS NULL")
    await conn.close()


# A batch behaves as one start per file would.


async def test_a_codec_does_not_reach_the_next_migration(migrated_url: str, write: Write, tmp_path: Path) -> None:
    write(
        "007_codec.py",
        """
        import json

        async def up(conn):
            await conn.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        """,
    )
    write(
        "008_plain.py",
        """
        async def up(conn):
            await conn.execute("INSERT INTO plants (id, name, thresholds) VALUES ('a', 'a', $1)", '{"dry": 30}')
        """,
    )
    assert await run_migrations(migrated_url, directory=tmp_path) == ["007", "008"]
    conn = await asyncpg.connect(migrated_url)
    assert await conn.fetchval("SELECT jsonb_typeof(thresholds) FROM plants") == "object"
    await conn.close()


async def test_sql_that_is_no_text_of_the_file_ends_the_transaction(
    migrated_url: str, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "007.sql").write_text("CREATE TABLE kept (); COMMIT AND CHAIN")
    write(
        "007_a.py",
        """
        from pathlib import Path

        async def up(conn):
            await conn.execute(Path(__file__).with_name("007.sql").read_text())
            raise ValueError
        """,
    )
    with pytest.raises(TransactionEndedError, match="What it committed is kept"):
        await run_migrations(migrated_url, directory=tmp_path)


@pytest.mark.parametrize("statement", ["execute(query='COMMIT; BEGIN')", "executemany(command='COMMIT', args=[()])"])
async def test_a_statement_that_is_given_by_its_name(
    migrated_url: str, write: Write, tmp_path: Path, statement: str
) -> None:
    write("007_a.py", f"async def up(conn):\n    await conn.{statement}\n    raise ValueError\n")
    with pytest.raises(TransactionEndedError, match="What it committed is kept"):
        await run_migrations(migrated_url, directory=tmp_path)


async def test_a_lock_that_a_migration_drops_is_taken_again(migrated_url: str, write: Write, tmp_path: Path) -> None:
    write("007_a.py", "transactional = False\n\n\nasync def up(conn):\n    await conn.execute('DISCARD ALL')\n")
    write("008_b.py", "CREATE TABLE b ()")
    assert await run_migrations(migrated_url, directory=tmp_path) == ["007", "008"]


async def test_a_name_of_a_prepared_statement_is_free_again(migrated_url: str, write: Write, tmp_path: Path) -> None:
    for name in ("007_a.py", "008_b.py"):
        write(
            name,
            """
            async def up(conn):
                await conn.execute("PREPARE one AS SELECT 1")
                await conn.prepare("SELECT 2", name="two")
            """,
        )
    assert await run_migrations(migrated_url, directory=tmp_path) == ["007", "008"]


async def test_a_codec_of_asyncpgs_own_does_not_reach_the_next_migration(
    migrated_url: str, write: Write, tmp_path: Path
) -> None:
    up = "async def up(conn):\n    await conn.execute('CREATE EXTENSION IF NOT EXISTS hstore')\n"
    codec = "    await conn.set_builtin_type_codec('hstore', codec_name='pg_contrib.hstore')\n"
    read = "    assert await conn.fetchval(\"SELECT 'a=>1'::hstore\") == {'a': '1'}\n"
    write("007_codec.py", f"{up}{codec}{read}")
    write("008_plain.py", f"{up}{read}")
    with pytest.raises(MigrationCodeError, match=r"008_plain\.py, line 3: up raised AssertionError"):
        await run_migrations(migrated_url, directory=tmp_path)


async def test_a_lock_that_another_runner_has_by_now_ends_the_batch(
    migrated_url: str, write: Write, tmp_path: Path
) -> None:
    write(
        "007_a.py",
        f"""
        import asyncpg

        async def up(conn):
            await conn.execute("SELECT pg_advisory_unlock_all()")
            other = await asyncpg.connect({migrated_url!r})
            assert await other.fetchval("SELECT pg_try_advisory_lock({LOCK_KEY})")
            conn.add_termination_listener(lambda _: other.terminate())
        """,
    )
    with pytest.raises(ConnectionLostError, match=r"007_a\.py: the migration lock is no longer this runner's"):
        await run_migrations(migrated_url, directory=tmp_path)


# Nothing happened, and it must not be recorded.


@pytest.mark.parametrize("transactional", [True, False])
async def test_a_statement_that_is_not_awaited_is_an_error(
    migrated_url: str, write: Write, tmp_path: Path, *, transactional: bool
) -> None:
    write(
        "007_a.py",
        f"transactional = {transactional}\n\nasync def up(conn):\n    conn.execute('CREATE TABLE a ()')\n    return\n",
    )
    with pytest.raises(MigrationCodeError, match=r"007_a\.py, line 4: .*'Connection\.execute' was never awaited, so"):
        await run_migrations(migrated_url, directory=tmp_path)
    conn = await asyncpg.connect(migrated_url)
    assert await get_applied_migrations(conn) == ALL
    await conn.close()


@pytest.mark.parametrize(
    "statement",
    [
        "asyncio.create_task(conn.execute('CREATE TABLE a ()'))",
        "asyncio.gather(conn.execute('CREATE TABLE a ()'))",
        "asyncio.create_task(own(conn))",
        "asyncio.create_task(conn.execute('SELECT pg_sleep(60)')); await asyncio.sleep(0)",
    ],
)
@pytest.mark.parametrize("transactional", [True, False])
async def test_a_task_that_is_not_awaited_is_an_error(
    migrated_url: str, write: Write, tmp_path: Path, statement: str, *, transactional: bool
) -> None:
    write(
        "007_a.py",
        f"""
        import asyncio

        transactional = {transactional}

        async def own(conn):
            await conn.execute("CREATE TABLE a ()")

        async def up(conn):
            {statement}
        """,
    )
    started = r"007_a\.py: up started a task and returned before it had ended\.\n"
    with pytest.raises(MigrationCodeError, match=started):
        await run_migrations(migrated_url, directory=tmp_path)
    conn = await asyncpg.connect(migrated_url)
    with pytest.raises(MigrationCodeError, match=started):
        await apply_migration(conn, "007", tmp_path / "007_a.py")
    assert await get_applied_migrations(conn) == ALL
    assert await conn.fetchval("SELECT to_regclass('a')") is None
    await conn.close()


async def test_a_task_of_a_loop_that_makes_its_own(migrated_url: str, write: Write, tmp_path: Path) -> None:
    made: list[object] = []

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(make)
    write("007_a.py", "import asyncio\n\nasync def up(conn):\n    await asyncio.create_task(asyncio.sleep(0))\n")
    try:
        assert await run_migrations(migrated_url, directory=tmp_path) == ["007"]
        assert loop.get_task_factory() is make
        assert made
    finally:
        loop.set_task_factory(None)


async def test_another_warning_of_a_migration_is_a_warning(migrated_url: str, write: Write, tmp_path: Path) -> None:
    write("007_a.py", "import warnings\n\nasync def up(conn):\n    warnings.warn('by and by', RuntimeWarning)\n")
    with pytest.warns(RuntimeWarning, match="by and by"):
        assert await run_migrations(migrated_url, directory=tmp_path) == ["007"]


# Lost is said only of a closed connection.


async def test_sql_that_raises_the_state_of_a_connection_is_no_lost_connection(
    migrated_url: str, write: Write, tmp_path: Path
) -> None:
    path = write("007_a.py", "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '08006', MESSAGE = 'no line'; END $$")
    with pytest.raises(MigrationSqlError, match=r"007_a\.py, line 2: no line"):
        await run_migrations(migrated_url, directory=tmp_path)
    conn = await asyncpg.connect(migrated_url)
    # In a transaction of the caller's, which the error has aborted.
    with pytest.raises(MigrationSqlError, match=r"007_a\.py, line 2: no line"):
        async with conn.transaction():
            await apply_migration(conn, "007", path)
    await conn.close()


async def test_a_connection_that_ends_while_a_record_is_written(write: Write) -> None:
    conn = AsyncMock()
    conn.execute.side_effect = [None, asyncpg.ConnectionDoesNotExistError("closed")]
    with pytest.raises(ConnectionLostError, match=r"999_a\.py: the connection to the database broke"):
        await apply_migration(conn, "999", write("999_a.py", "CREATE TABLE a ()"))

"""What the guides about columns promise of old and new code, tried with the migrations that they show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from src.db.migration_runner import run_migrations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "how-to"
FILE = re.compile(r'(?ms)^```python title="backend/src/db/migrations/((\d+)_\w+\.py)"\n(.*?)^```$')

# What a release does: it adds a row, changes it, and reads it by what it has written.
RENAME = {
    "old": (
        "INSERT INTO plants (id, name, species) VALUES ('mint', 'Mint', 'first')",
        "UPDATE plants SET species = 'second' WHERE id = 'mint'",
        "SELECT id FROM plants WHERE species = $1",
    ),
    "new": (
        "INSERT INTO plants (id, name, latin_name) VALUES ('mint', 'Mint', 'first')",
        "UPDATE plants SET latin_name = 'second' WHERE id = 'mint'",
        "SELECT id FROM plants WHERE latin_name = $1",
    ),
}
SPLIT = {
    "old": (
        "INSERT INTO devices (id, mqtt_username, mqtt_password_hash) VALUES ('hall', 'first', 'scrypt:1')",
        "UPDATE devices SET mqtt_username = 'second', mqtt_password_hash = 'scrypt:2' WHERE id = 'hall'",
        "SELECT id FROM devices WHERE mqtt_username = $1",
    ),
    "new": (
        "INSERT INTO devices (id) VALUES ('hall'); INSERT INTO device_credentials VALUES ('hall', 'first', 'scrypt:1')",
        "UPDATE device_credentials SET username = 'second', password_hash = 'scrypt:2' WHERE device_id = 'hall'",
        "SELECT device_id FROM device_credentials WHERE username = $1",
    ),
}
RELEASES = {"rename-a-column": RENAME, "split-a-table": SPLIT}


@pytest.fixture
async def conn(migrated_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to the database that the guide's migrations change."""
    conn = await asyncpg.connect(migrated_url)
    yield conn
    await conn.close()


async def apply(guide: str, version: str, url: str, directory: Path) -> None:
    """Apply the migrations that a guide shows, up to and with this version."""
    for name, number, text in FILE.findall((GUIDES / f"{guide}.md").read_text(encoding="utf-8")):
        if number <= version:
            (directory / name).write_text(text, encoding="utf-8")
    assert version in await run_migrations(url, directory=directory)


async def works(
    conn: asyncpg.Connection[asyncpg.Record], writer: tuple[str, str, str], reader: tuple[str, str, str]
) -> bool:
    """Whether one release finds what the other adds and changes; all of it is undone."""
    transaction = conn.transaction()
    await transaction.start()
    try:
        await conn.execute(writer[0])
        added = await conn.fetchval(reader[2], "first")
        await conn.execute(writer[1])
        changed = await conn.fetchval(reader[2], "second")
    except (asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError, asyncpg.NotNullViolationError):
        return False
    else:
        return added is not None and changed is not None
    finally:
        await transaction.rollback()


@pytest.mark.parametrize("guide", RELEASES)
async def test_old_and_new_code_work_side_by_side_between_the_deploys(
    migrated_url: str, conn: asyncpg.Connection[asyncpg.Record], tmp_path: Path, guide: str
) -> None:
    releases = RELEASES[guide]

    async def working() -> set[str]:
        return {
            f"{writer} writes, {reader} reads"
            for writer in releases
            for reader in releases
            if await works(conn, releases[writer], releases[reader])
        }

    assert await working() == {"old writes, old reads"}
    await apply(guide, "008", migrated_url, tmp_path)
    assert len(await working()) == 4
    await apply(guide, "009", migrated_url, tmp_path)
    assert await working() == {"new writes, new reads"}


@pytest.mark.parametrize("guide", RELEASES)
async def test_the_rows_that_were_there_are_found_by_new_code(
    migrated_url: str, conn: asyncpg.Connection[asyncpg.Record], tmp_path: Path, guide: str
) -> None:
    old, new = RELEASES[guide]["old"], RELEASES[guide]["new"]
    await conn.execute(old[0])
    await apply(guide, "007", migrated_url, tmp_path)
    assert await conn.fetchval(new[2], "first") is None
    # What old code changes before the rows are filled is newer than what the filling has read.
    await conn.execute(old[1])
    await apply(guide, "008", migrated_url, tmp_path)
    assert await conn.fetchval(new[2], "second") is not None


async def test_a_check_that_is_not_valid_holds_for_each_update(
    migrated_url: str, conn: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    await conn.execute("INSERT INTO alerts (metric, value, threshold, direction) VALUES ('humidity', 1, 2, 'low')")
    await apply("add-a-constraint", "007", migrated_url, tmp_path)
    with pytest.raises(asyncpg.CheckViolationError, match=r"new row for relation .* violates check constraint"):
        await conn.execute("UPDATE alerts SET value = 3")
    await apply("add-a-constraint", "008", migrated_url, tmp_path)
    assert await conn.execute("UPDATE alerts SET value = 3") == "UPDATE 1"


@pytest.mark.parametrize(
    ("old", "new", "rewritten"),
    [
        ("varchar(20)", "varchar(50)", False),
        ("varchar(20)", "text", False),
        ("numeric(6,2)", "numeric(8,2)", False),
        ("text", "varchar(50)", True),
        ("numeric(6,2)", "numeric(8,3)", True),
        ("integer", "bigint", True),
        ("double precision", "numeric(8,2)", True),
        ("text", "jsonb USING to_jsonb(reading)", True),
    ],
)
async def test_which_types_rewrite_a_table(
    conn: asyncpg.Connection[asyncpg.Record],
    old: str,
    new: str,
    *,
    rewritten: bool,
) -> None:
    await conn.execute(f"CREATE TEMP TABLE readings (reading {old})")
    before = await conn.fetchval("SELECT pg_relation_filenode('readings')")
    await conn.execute(f"ALTER TABLE readings ALTER reading TYPE {new}")
    assert (await conn.fetchval("SELECT pg_relation_filenode('readings')") != before) is rewritten


@pytest.mark.parametrize(
    ("swap", "types"),
    [
        (("replace-a-column", "010"), ["integer", "numeric"]),
        (("bigger-keys", "011"), ["bigint", "double precision"]),
    ],
)
async def test_a_column_is_replaced_by_one_of_another_type(
    migrated_url: str, conn: asyncpg.Connection[asyncpg.Record], tmp_path: Path, swap: tuple[str, str], types: list[str]
) -> None:
    add = "INSERT INTO alerts (metric, value, threshold, direction) VALUES ('humidity', $1, 80, 'above') RETURNING id"
    # One is there before the first deploy; another comes after it, and changes.
    await conn.execute(add, 80.25)
    await apply(swap[0], "008", migrated_url, tmp_path)
    await conn.execute(add, 81.5)
    await conn.execute("UPDATE alerts SET value = 79.5 WHERE value = 81.5")
    await apply(*swap, migrated_url, tmp_path)
    await conn.reload_schema_state()
    found = await conn.fetch("SELECT id, value, pg_typeof(id)::text, pg_typeof(value)::text FROM alerts ORDER BY id")
    assert [list(row) for row in found] == [[1, 80.25, *types], [2, 79.5, *types]]
    assert await conn.fetchval(add, 83) == 3


async def test_a_partition_that_was_dropped_is_attached_again(
    migrated_url: str, conn: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    await conn.execute("INSERT INTO telemetry (time, soil_moisture) VALUES ('2026-07-01 00:00+00', 30)")
    await apply("partition-telemetry", "009", migrated_url, tmp_path)
    backup = await conn.fetch("SELECT * FROM telemetry_past")
    await apply("add-and-drop-partitions", "011", migrated_url, tmp_path)
    assert await conn.fetchval("SELECT count(*) FROM telemetry") == 0
    await conn.execute("CREATE TABLE telemetry_past (LIKE telemetry)")
    await conn.copy_records_to_table("telemetry_past", records=[tuple(row) for row in backup])
    await conn.execute("""
        ALTER TABLE telemetry ATTACH PARTITION telemetry_past
        FOR VALUES FROM (MINVALUE) TO ('2026-08-01 00:00+00')
    """)
    assert await conn.fetchval("SELECT tableoid::regclass::text FROM telemetry") == "telemetry_past"


async def test_readings_that_came_before_their_partition_are_moved_to_it(
    migrated_url: str, conn: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    await apply("partition-telemetry", "009", migrated_url, tmp_path)
    await apply("add-and-drop-partitions", "011", migrated_url, tmp_path)
    await conn.execute("INSERT INTO telemetry (time, soil_moisture) VALUES ('2026-12-01 00:00+00', 30)")
    await apply("add-and-drop-partitions", "012", migrated_url, tmp_path)
    assert await conn.fetchval("SELECT tableoid::regclass::text FROM telemetry") == "telemetry_2026_12"


async def test_a_generated_column_keeps_its_values_when_it_loses_its_expression(
    migrated_url: str, conn: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    await conn.execute("INSERT INTO plants (id, name) VALUES ('fern-1', 'Fern')")
    await conn.execute("""INSERT INTO care_plans (plant_id, plan_data) VALUES ('fern-1', '{"water_every_days": 3}')""")
    await apply("generated-columns", "007", migrated_url, tmp_path)
    before = await conn.fetchval("SELECT pg_relation_filenode('care_plans')")
    await conn.execute("ALTER TABLE care_plans ALTER COLUMN water_every_days DROP EXPRESSION IF EXISTS")
    assert await conn.fetchval("SELECT pg_relation_filenode('care_plans')") == before
    assert await conn.fetchval("UPDATE care_plans SET water_every_days = water_every_days + 1 RETURNING *") is not None
    assert await conn.fetchval("SELECT water_every_days FROM care_plans") == 4


async def test_dropping_a_foreign_key_locks_both_tables(
    migrated_url: str, conn: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    await apply("add-a-constraint", "009", migrated_url, tmp_path)
    async with conn.transaction():
        await conn.execute("ALTER TABLE alerts DROP CONSTRAINT IF EXISTS alerts_metric_fkey")
        locked = await conn.fetch("""
            SELECT relation::regclass::text AS name FROM pg_locks
            WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock' AND relation::regclass::text !~ '_'
        """)
    assert {row["name"] for row in locked} == {"alerts", "metrics"}


async def test_an_extension_is_updated(
    migrated_url: str, conn: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    await apply("use-an-extension", "007", migrated_url, tmp_path)
    await conn.execute("DROP EXTENSION pg_trgm; CREATE EXTENSION pg_trgm VERSION '1.5'")
    await conn.execute("ALTER EXTENSION pg_trgm UPDATE")
    assert await conn.fetchval("SELECT extversion > '1.5' FROM pg_extension WHERE extname = 'pg_trgm'")


async def test_an_index_on_an_expression_serves_a_query_that_has_it(
    conn: asyncpg.Connection[asyncpg.Record],
) -> None:
    await conn.execute("""
        INSERT INTO alerts (metric, value, threshold, direction)
        SELECT 'humidity', n, 80, 'above' FROM generate_series(1, 5000) AS n;
        CREATE INDEX far ON alerts (abs(value - threshold));
        ANALYZE alerts;
    """)
    plan = await conn.fetch("EXPLAIN SELECT id FROM alerts WHERE abs(value - threshold) = 7")
    assert any("far" in row[0] for row in plan)

"""What *Choose a safe way* and *Lock modes* say of locks, tried on the server."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import asyncpg
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Connection = asyncpg.Connection[asyncpg.Record]

DOCS = Path(__file__).resolve().parents[2] / "docs"
SAFE_WAY = (DOCS / "how-to" / "choose-a-safe-way.md").read_text(encoding="utf-8")
LOCK_MODES = (DOCS / "reference" / "lock-modes.md").read_text(encoding="utf-8")

# From the weakest to the strongest.
MODES = (
    *("ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE"),
    *("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"),
)
ROW_MODES = ("FOR KEY SHARE", "FOR SHARE", "FOR NO KEY UPDATE", "FOR UPDATE")
TABLES = ("plants", "devices", "care_plans")
LOCKS = """
    SELECT relation, upper(regexp_replace(replace(mode, 'Lock', ''), '(?<=.)(?=[A-Z])', ' ', 'g'))
    FROM pg_locks WHERE pid = $1 AND granted = $2 AND relation = ANY ($3)
"""
FILES_AND_READS = """
    SELECT oid, pg_relation_filenode(oid), pg_stat_get_xact_tuples_returned(oid) FROM unnest($1::oid[]) AS oid
"""
TRIGGER = "AFTER UPDATE ON plants EXECUTE FUNCTION suppress_redundant_updates_trigger()"

# What the guides leave between two migrations: checks and a foreign key that are and are not valid yet, an index.
PREPARED = """
    INSERT INTO plants (id, name, species) SELECT 'plant-' || n, 'Fern ' || n, 'fern' FROM generate_series(1, 500) AS n;
    INSERT INTO devices (id, mqtt_password_hash, plant_id) SELECT 'sensor-' || n, '-', 'plant-' || n
    FROM generate_series(1, 500) AS n;
    ALTER TABLE plants ADD CHECK (species IS NOT NULL);
    ALTER TABLE plants ADD CONSTRAINT plants_name_present CHECK (name <> '') NOT VALID;
    ALTER TABLE devices ADD CONSTRAINT devices_plant_exists FOREIGN KEY (plant_id) REFERENCES plants (id) NOT VALID;
    CREATE UNIQUE INDEX plants_unique_name ON plants (name);
    CREATE SCHEMA archive;
    CREATE INDEX idx_plants_species ON plants (species);
"""
# The rows of the table in *Choose a safe way*.
CHANGES = {
    "add a column": "ALTER TABLE plants ADD COLUMN location text DEFAULT 'indoors'",
    "add a column with a computed default": "ALTER TABLE plants ADD COLUMN token uuid DEFAULT gen_random_uuid()",
    "set NOT NULL": "ALTER TABLE plants ALTER COLUMN created_at SET NOT NULL",
    "set NOT NULL after validating a CHECK": "ALTER TABLE plants ALTER COLUMN species SET NOT NULL",
    "change a default": "ALTER TABLE devices ALTER COLUMN status SET DEFAULT 'pending'",
    "change a column's type": "ALTER TABLE plants ALTER COLUMN thresholds TYPE text",
    "rename a column": "ALTER TABLE plants RENAME COLUMN species TO latin_name",
    "drop a column": "ALTER TABLE plants DROP COLUMN species",
    "drop a table with a foreign key": "DROP TABLE care_plans",
    "make a column nullable": "ALTER TABLE plants ALTER COLUMN name DROP NOT NULL",
    "rename a table": "ALTER TABLE care_plans RENAME TO plans",
    "add a stored generated column": "ALTER TABLE plants ADD title text GENERATED ALWAYS AS (upper(name)) STORED",
    "change an integer key to bigint": "ALTER TABLE care_plans ALTER COLUMN id TYPE bigint",
    "add an index": "CREATE INDEX ON plants (species)",
    "add an index concurrently": "CREATE INDEX CONCURRENTLY ON plants (species)",
    "add a CHECK": "ALTER TABLE plants ADD CHECK (species <> '')",
    "add a CHECK as NOT VALID": "ALTER TABLE plants ADD CHECK (species <> '') NOT VALID",
    "add a foreign key": "ALTER TABLE devices ADD FOREIGN KEY (plant_id) REFERENCES plants",
    "add a foreign key as NOT VALID": "ALTER TABLE devices ADD FOREIGN KEY (plant_id) REFERENCES plants NOT VALID",
    "validate a CHECK": "ALTER TABLE plants VALIDATE CONSTRAINT plants_name_present",
    "validate a foreign key": "ALTER TABLE devices VALIDATE CONSTRAINT devices_plant_exists",
    "drop a foreign key": "ALTER TABLE devices DROP CONSTRAINT devices_plant_exists",
    "add a UNIQUE constraint": "ALTER TABLE plants ADD UNIQUE (name)",
    "add a UNIQUE constraint using an existing index": "ALTER TABLE plants ADD UNIQUE USING INDEX plants_unique_name",
    "create a table that refers to another": "CREATE TABLE photos (plant_id text REFERENCES plants)",
    "create a view": "CREATE VIEW ferns AS SELECT * FROM plants",
    "create a trigger": f"CREATE TRIGGER changed {TRIGGER}",
    "move a table to another schema": "ALTER TABLE care_plans SET SCHEMA archive",
    "enable row-level security": "ALTER TABLE plants ENABLE ROW LEVEL SECURITY",
    "change rows": "UPDATE plants SET species = 'Nephrolepis cordifolia'",
}
# What *Lock modes* calls a statement, and one of its kind.
STATEMENTS = {
    "SELECT": "SELECT * FROM plants",
    "CREATE VIEW": "CREATE VIEW ferns AS SELECT * FROM plants",
    "SELECT … FOR UPDATE": "SELECT * FROM plants FOR UPDATE",
    "SELECT … FOR KEY SHARE": "SELECT * FROM plants FOR KEY SHARE",
    "INSERT": "INSERT INTO plants (id, name) VALUES ('basil-1', 'Basil')",
    "UPDATE": "UPDATE plants SET species = 'Nephrolepis exaltata'",
    "DELETE": "DELETE FROM plants",
    "ANALYZE": "ANALYZE plants",
    "VACUUM": "VACUUM plants",
    "CREATE INDEX CONCURRENTLY": "CREATE INDEX CONCURRENTLY ON plants (name)",
    "DROP INDEX CONCURRENTLY": "DROP INDEX CONCURRENTLY idx_plants_species",
    "REINDEX … CONCURRENTLY": "REINDEX TABLE CONCURRENTLY plants",
    "COMMENT ON": "COMMENT ON TABLE plants IS 'what is grown'",
    "CREATE STATISTICS": "CREATE STATISTICS plants_statistics ON name, species FROM plants",
    "SET STATISTICS": "ALTER TABLE plants ALTER COLUMN species SET STATISTICS 500",
    "SET (fillfactor = …)": "ALTER TABLE plants SET (fillfactor = 80)",
    "VALIDATE CONSTRAINT": "ALTER TABLE plants VALIDATE CONSTRAINT plants_name_present",
    "CREATE INDEX": "CREATE INDEX ON plants (name)",
    "REINDEX": "REINDEX TABLE plants",
    "CREATE TRIGGER": f"CREATE TRIGGER changed {TRIGGER}",
    "DISABLE TRIGGER": "ALTER TABLE plants DISABLE TRIGGER USER",
    "ADD FOREIGN KEY": "ALTER TABLE devices ADD FOREIGN KEY (status) REFERENCES plants NOT VALID",
    "CREATE TABLE … REFERENCES": "CREATE TABLE photos (plant_id text REFERENCES plants)",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY": "REFRESH MATERIALIZED VIEW CONCURRENTLY plants",
    "ADD COLUMN": "ALTER TABLE plants ADD COLUMN location text",
    "DROP COLUMN": "ALTER TABLE plants DROP COLUMN species",
    "RENAME COLUMN": "ALTER TABLE plants RENAME COLUMN species TO latin_name",
    "ALTER COLUMN … TYPE": "ALTER TABLE plants ALTER COLUMN species TYPE varchar(80)",
    "SET NOT NULL": "ALTER TABLE plants ALTER COLUMN species SET NOT NULL",
    "SET DEFAULT": "ALTER TABLE plants ALTER COLUMN species SET DEFAULT ''",
    "ADD CHECK": "ALTER TABLE plants ADD CHECK (name <> '') NOT VALID",
    "ADD UNIQUE": "ALTER TABLE plants ADD UNIQUE (name)",
    "DROP CONSTRAINT": "ALTER TABLE plants DROP CONSTRAINT plants_name_present",
    "RENAME TO": "ALTER TABLE plants RENAME TO plant",
    "ENABLE ROW LEVEL SECURITY": "ALTER TABLE plants ENABLE ROW LEVEL SECURITY",
    "DROP TABLE": "DROP TABLE plants CASCADE",
    "DROP INDEX": "DROP INDEX idx_plants_species",
    "DROP TRIGGER": "DROP TRIGGER noticed ON plants",
    "TRUNCATE": "TRUNCATE plants CASCADE",
    "VACUUM FULL": "VACUUM FULL plants",
    "CLUSTER": "CLUSTER plants USING plants_pkey",
}
# What locks the row fern-1 of plants.
ROW_STATEMENTS = {
    "inserts a row that refers to it": "INSERT INTO alerts VALUES (1, 'fern-1', NULL, '', 1, 1, '')",
    "makes a row refer to it": "UPDATE devices SET plant_id = 'fern-1' WHERE id = 'sensor-1'",
    "changes other columns": "UPDATE plants SET species = 'Fern' WHERE id = 'fern-1'",
    "changes its key": "UPDATE plants SET id = 'fern-2' WHERE id = 'fern-1'",
    "deletes it": "DELETE FROM plants WHERE id = 'fern-1'",
}


class Lock(NamedTuple):
    """What a change did to a table: its lock, who had to wait, and what was read or written under it."""

    mode: str
    waits: str
    work: str


@pytest.fixture
async def sessions(migrated_url: str) -> AsyncIterator[tuple[Connection, Connection, Connection]]:
    """Three sessions of a database with what `PREPARED` makes."""
    opened = [await asyncpg.connect(migrated_url) for _ in range(3)]
    await opened[0].execute(PREPARED)
    yield opened[0], opened[1], opened[2]
    for each in opened:
        await each.close()


async def refused(session: Connection, statement: str) -> bool:
    """Whether a statement that does not wait would have to."""
    try:
        async with session.transaction():
            await session.execute(statement)
    except asyncpg.LockNotAvailableError:
        return True
    return False


async def who_waits(session: Connection, table: str) -> str:
    if await refused(session, f"LOCK TABLE {table} IN ACCESS SHARE MODE NOWAIT"):
        return "everybody"
    return "writers" if await refused(session, f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE NOWAIT") else "nobody"


async def tables(conn: Connection) -> dict[int, str]:
    """The names of the tables that are looked at."""
    rows = await conn.fetch("SELECT oid, relname FROM pg_class WHERE relname = ANY ($1)", list(TABLES))
    return {row["oid"]: row["relname"] for row in rows}


async def locked_by(
    observer: Connection, session: Connection, names: dict[int, str], *, granted: bool = True
) -> dict[str, str]:
    """The strongest lock that a session has, or waits for, on each table."""
    rows = await observer.fetch(LOCKS, session.get_server_pid(), granted, list(names))
    found: dict[str, str] = {}
    for table, mode in rows:
        found[names[table]] = max(mode, found.get(names[table], mode), key=MODES.index)
    return found


async def files_and_reads(conn: Connection, names: dict[int, str]) -> dict[str, tuple[int, int]]:
    """For each table, the number of its file, and how many rows the transaction has read of it."""
    rows = await conn.fetch(FILES_AND_READS, list(names))
    return {names[table]: (file, read) for table, file, read in rows}


async def is_waiting(observer: Connection, session: Connection) -> None:
    """Return when a session waits for another one."""
    while not await observer.fetchval("SELECT pg_blocking_pids($1) <> '{}'", session.get_server_pid()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def measure(sessions: tuple[Connection, Connection, Connection], statement: str) -> dict[str, Lock]:
    """What a change does to each table that it locks; the change is rolled back."""
    conn, other, builder = sessions
    names = await tables(conn)
    if "CONCURRENTLY" in statement:
        # It refuses to run in a transaction, and waits for those that write.
        async with conn.transaction():
            await conn.execute("UPDATE plants SET species = 'Nephrolepis cordifolia'")
            building = asyncio.create_task(builder.execute(statement))
            await is_waiting(other, builder)
            locks = await locked_by(other, builder, names)
            found = {table: Lock(mode, await who_waits(other, table), "") for table, mode in locks.items()}
        await building
        return found
    transaction = conn.transaction()
    await transaction.start()
    before = await files_and_reads(conn, names)
    await conn.execute(statement)
    after = await files_and_reads(conn, names)
    found = {}
    for table, mode in (await locked_by(conn, conn, names)).items():
        (file, read), (new_file, new_read) = before[table], after[table]
        rewritten = new_file not in (file, None)
        work = "rewritten" if rewritten else "read" if new_read > read else ""
        found[table] = Lock(mode, await who_waits(other, table), work)
    await transaction.rollback()
    return found


def told(change: str, locks: dict[str, Lock]) -> str:
    """The row of *Choose a safe way* for a change, without its guide."""
    strongest = max(locks.values(), key=lambda lock: MODES.index(lock.mode))
    both = sum(lock.mode == strongest.mode for lock in locks.values()) > 1
    duration = f"while rows are {strongest.work}" if strongest.work else "for a moment"
    waits = "nobody" if strongest.waits == "nobody" else f"{strongest.waits}, {duration}"
    if strongest.mode == "ROW EXCLUSIVE":
        # No table's lock stops another writer, but the lock of a row does.
        waits = "writers of the same rows"
    return f"| {change} | `{strongest.mode}`{' on both' if both else ''} | {waits}"


async def test_choose_a_safe_way(sessions: tuple[Connection, Connection, Connection]) -> None:
    """Each row names the strongest lock of its change, and who waits how long."""
    (table,) = re.findall(r"(?m)^\| You want to \| Strongest lock .*\n.*\n((?:\|.*\n)+)", SAFE_WAY)
    shown = [row.rpartition(" | ")[0].replace("; then old code fails", "") for row in table.splitlines()]
    measured = [told(change, await measure(sessions, statement)) for change, statement in CHANGES.items()]
    assert [row.replace(" on the other |", " |") for row in shown] == measured


async def test_modes_that_exclude_each_other(sessions: tuple[Connection, Connection, Connection]) -> None:
    """The matrix, row by row."""
    holder, other, _ = sessions
    for held in MODES:
        async with holder.transaction():
            await holder.execute(f"LOCK TABLE plants IN {held} MODE")
            waits = [await refused(other, f"LOCK TABLE plants IN {mode} MODE NOWAIT") for mode in MODES]
            who = {"everybody": "reads and writes", "writers": "writes", "nobody": "other DDL only"}
            blocked = who[await who_waits(other, "plants")]
        assert f"\n| `{held}` | {' | '.join('**✗**' if wait else '·' for wait in waits)} |\n" in LOCK_MODES
        assert re.search(rf"(?m)^\| `{held}` \| .* \| {blocked} \|$", LOCK_MODES), held


async def wanted(sessions: tuple[Connection, Connection, Connection], statement: str) -> str:
    """The mode that a statement asks for while another session has the table in the mode EXCLUSIVE."""
    _, other, observer = sessions
    names = await tables(observer)
    waiting = asyncio.create_task(other.execute(statement))
    while not (locks := await locked_by(observer, other, names, granted=False)):
        if waiting.done():
            await waiting
            return MODES[0]
        await asyncio.sleep(0.001)
    await observer.execute("SELECT pg_cancel_backend($1)", other.get_server_pid())
    with contextlib.suppress(asyncpg.QueryCanceledError):
        await waiting
    return locks["plants"]


async def test_the_mode_that_a_statement_takes(sessions: tuple[Connection, Connection, Connection]) -> None:
    """Each statement stands in the row of its mode, and no other stands there."""
    holder = sessions[0]
    await holder.execute(f"CREATE TRIGGER noticed {TRIGGER}")
    shown = {
        statement: mode
        for mode, cell in re.findall(r"(?m)^\| `([A-Z ]+)` \| (`.*) \| (?:reads|writes|other).*\|$", LOCK_MODES)
        for statement in re.findall(r"`([^`]+)`", cell)
    }
    measured = {}
    async with holder.transaction():
        await holder.execute("LOCK TABLE plants IN EXCLUSIVE MODE")
        for name, statement in STATEMENTS.items():
            if "MATERIALIZED" not in name:
                measured[name] = await wanted(sessions, statement)
    # In the place of the table, for the one statement that is about a materialized view.
    await holder.execute("DROP TABLE plants CASCADE; CREATE MATERIALIZED VIEW plants AS SELECT 1 AS id")
    await holder.execute("CREATE UNIQUE INDEX ON plants (id)")
    async with holder.transaction():
        await holder.execute("REFRESH MATERIALIZED VIEW plants")
        name = "REFRESH MATERIALIZED VIEW CONCURRENTLY"
        measured[name] = await wanted(sessions, STATEMENTS[name])
    assert shown == measured


async def test_locks_of_rows(sessions: tuple[Connection, Connection, Connection]) -> None:
    """What each lock of a row excludes, and which statement takes it."""
    holder, other, _ = sessions
    await holder.execute("INSERT INTO plants (id, name, species) VALUES ('fern-1', 'Boston fern', 'fern')")
    row = "SELECT name FROM plants WHERE id = 'fern-1'"

    async def excluded_by(statement: str) -> list[str]:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute(statement)
        found = [mode for mode in ROW_MODES if await refused(other, f"{row} {mode} NOWAIT")]
        assert await other.fetchval(row) == "Boston fern"
        await transaction.rollback()
        return found

    excluded = {mode: await excluded_by(f"{row} {mode}") for mode in ROW_MODES}
    taken: dict[str, list[str]] = {mode: [] for mode in ROW_MODES}
    for name, statement in ROW_STATEMENTS.items():
        found = await excluded_by(statement)
        (mode,) = [mode for mode in ROW_MODES if excluded[mode] == found]
        taken[mode].append(name)
    for mode in ROW_MODES:
        others = ", ".join(f"`{other}`" for other in excluded[mode])
        who = ", or ".join(taken[mode]) or "nothing but `SELECT … FOR SHARE`"
        assert f"\n| `{mode}` | {who} | {others} |\n" in LOCK_MODES


async def test_how_long_a_lock_lasts(sessions: tuple[Connection, Connection, Connection]) -> None:
    """To the end of the transaction, or to a rollback to an older savepoint; and who waits stops those behind."""
    holder, other, reader = sessions
    read = "LOCK TABLE plants IN ACCESS SHARE MODE NOWAIT"
    async with holder.transaction():
        savepoint = holder.transaction()
        await savepoint.start()
        await holder.execute(STATEMENTS["ADD COLUMN"])
        assert not await refused(holder, read)
        assert await refused(other, read)
        await savepoint.rollback()
        assert not await refused(other, read)
        await holder.execute(STATEMENTS["ADD COLUMN"])
        assert await refused(other, read)
    assert not await refused(other, read)
    async with holder.transaction():
        await holder.execute(STATEMENTS["SELECT"])
        assert not await refused(reader, read)
        altering = asyncio.create_task(other.execute(STATEMENTS["ENABLE ROW LEVEL SECURITY"]))
        await is_waiting(holder, other)
        assert await refused(reader, read)
    await altering


async def test_one_statement_takes_the_strongest_lock_that_it_needs(
    sessions: tuple[Connection, Connection, Connection],
) -> None:
    holder, other, _ = sessions
    async with other.transaction():
        await other.execute("ALTER TABLE plants SET (fillfactor = 80), ADD COLUMN location text")
        assert await locked_by(holder, other, await tables(holder)) == {"plants": "ACCESS EXCLUSIVE"}

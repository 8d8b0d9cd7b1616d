"""The locks, rewrites and scans that a rehearsal reports, against what PostgreSQL's manual says of each statement.

The page is that of the manual: https://www.postgresql.org/docs/current/PAGE.html.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from src.db.rehearsal.execution import rehearse
from src.db.rehearsal.lock import held

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from src.db.rehearsal.report import MigrationReport

SETUP = """
    CREATE TABLE beds (id int PRIMARY KEY, name text);
    CREATE TABLE plants (
        id int NOT NULL, name varchar(10), height int CHECK (height > 0), width int,
        bed int REFERENCES beds, seen timestamp
    );
    INSERT INTO beds SELECT generate_series(1, 10);
    INSERT INTO plants (id, name, height, width, bed) SELECT n, n, n, n, n FROM generate_series(1, 10) AS n;
    CREATE UNIQUE INDEX plants_id ON plants (id);
    CREATE INDEX plants_name ON plants (name);
    ALTER TABLE plants ADD CONSTRAINT wide CHECK (width > 0) NOT VALID;
    ALTER TABLE plants ADD CONSTRAINT home FOREIGN KEY (bed) REFERENCES beds NOT VALID;
    CREATE TABLE weeds (id int CHECK (id IS NOT NULL));
    INSERT INTO weeds VALUES (1);
    CREATE TABLE readings (day date NOT NULL) PARTITION BY RANGE (day);
    CREATE TABLE readings_1 PARTITION OF readings FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE readings_2 (day date NOT NULL);
    INSERT INTO readings_2 VALUES ('2026-02-02');
    CREATE TABLE readings_3 (day date NOT NULL, CHECK (day >= '2026-03-01' AND day < '2026-04-01'));
    INSERT INTO readings_3 VALUES ('2026-03-03');
    CREATE MATERIALIZED VIEW names AS SELECT id FROM plants;
    CREATE UNIQUE INDEX names_id ON names (id);
    CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER old BEFORE INSERT ON plants FOR EACH ROW EXECUTE FUNCTION nothing();
    ANALYZE;
"""

ACCESS_SHARE, ROW_SHARE, ROW_EXCLUSIVE = "ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE"
SHARE_UPDATE_EXCLUSIVE, SHARE, SHARE_ROW_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE"
EXCLUSIVE, ACCESS_EXCLUSIVE = "EXCLUSIVE", "ACCESS EXCLUSIVE"

LOCKS: list[tuple[str, str, dict[str, str]]] = [
    # ALTER TABLE: ACCESS EXCLUSIVE, unless the manual says otherwise for a form.
    ("sql-altertable", "ALTER TABLE plants ADD COLUMN location text", {"plants": ACCESS_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants DROP COLUMN seen", {"plants": ACCESS_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants ALTER seen TYPE date", {"plants": ACCESS_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants ALTER name SET DEFAULT 'fern'", {"plants": ACCESS_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants ALTER name SET NOT NULL", {"plants": ACCESS_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants ADD CHECK (id > 0)", {"plants": ACCESS_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants ADD UNIQUE (width)", {"plants": ACCESS_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants ADD PRIMARY KEY USING INDEX plants_id", {"plants": ACCESS_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants DROP CONSTRAINT wide", {"plants": ACCESS_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants RENAME COLUMN name TO title", {"plants": ACCESS_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants RENAME TO shrubs", {"plants": ACCESS_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants ENABLE ROW LEVEL SECURITY", {"plants": ACCESS_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE weeds SET UNLOGGED", {"weeds": ACCESS_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants ALTER name SET STATISTICS 500", {"plants": SHARE_UPDATE_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants ALTER name SET (n_distinct = 5)", {"plants": SHARE_UPDATE_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants SET (fillfactor = 70)", {"plants": SHARE_UPDATE_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants SET (autovacuum_enabled = off)", {"plants": SHARE_UPDATE_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants CLUSTER ON plants_id", {"plants": SHARE_UPDATE_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants SET WITHOUT CLUSTER", {"plants": SHARE_UPDATE_EXCLUSIVE}),
    ("sql-altertable", "ALTER TABLE plants VALIDATE CONSTRAINT wide", {"plants": SHARE_UPDATE_EXCLUSIVE}),
    (
        "sql-altertable",
        "ALTER TABLE plants VALIDATE CONSTRAINT home",
        {"plants": SHARE_UPDATE_EXCLUSIVE, "beds": ROW_SHARE},
    ),
    (
        "sql-altertable",
        "ALTER TABLE plants ADD FOREIGN KEY (width) REFERENCES beds",
        {"plants": SHARE_ROW_EXCLUSIVE, "beds": SHARE_ROW_EXCLUSIVE},
    ),
    ("sql-altertable", "ALTER TABLE plants DISABLE TRIGGER old", {"plants": SHARE_ROW_EXCLUSIVE}),
    (
        "sql-altertable",
        "ALTER TABLE readings ATTACH PARTITION readings_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
        {"readings": SHARE_UPDATE_EXCLUSIVE, "readings_2": ACCESS_EXCLUSIVE},
    ),
    (
        "sql-altertable",
        "ALTER TABLE readings DETACH PARTITION readings_1",
        {"readings": ACCESS_EXCLUSIVE, "readings_1": ACCESS_EXCLUSIVE},
    ),
    (
        "sql-createtable",
        "CREATE TABLE readings_4 PARTITION OF readings FOR VALUES FROM ('2026-04-01') TO ('2026-05-01')",
        {"readings": ACCESS_EXCLUSIVE},
    ),
    ("sql-createtable", "CREATE TABLE pots (bed int REFERENCES beds)", {"beds": SHARE_ROW_EXCLUSIVE}),
    ("sql-createindex", "CREATE INDEX ON plants (height)", {"plants": SHARE}),
    ("sql-dropindex", "DROP INDEX plants_name", {"plants": ACCESS_EXCLUSIVE}),
    ("sql-alterindex", "ALTER INDEX plants_name RENAME TO by_name", {"plants_name": SHARE_UPDATE_EXCLUSIVE}),
    ("sql-reindex", "REINDEX INDEX plants_name", {"plants_name": ACCESS_EXCLUSIVE, "plants": SHARE}),
    (
        "explicit-locking",
        "CREATE TRIGGER new BEFORE INSERT ON plants FOR EACH ROW EXECUTE FUNCTION nothing()",
        {"plants": SHARE_ROW_EXCLUSIVE},
    ),
    ("explicit-locking", "CREATE STATISTICS shape ON height, width FROM plants", {"plants": SHARE_UPDATE_EXCLUSIVE}),
    ("explicit-locking", "COMMENT ON TABLE plants IS 'green'", {"plants": SHARE_UPDATE_EXCLUSIVE}),
    ("explicit-locking", "ANALYZE plants", {"plants": SHARE_UPDATE_EXCLUSIVE}),
    ("explicit-locking", "TRUNCATE plants", {"plants": ACCESS_EXCLUSIVE}),
    ("explicit-locking", "DROP TABLE weeds", {"weeds": ACCESS_EXCLUSIVE}),
    ("explicit-locking", "CLUSTER plants USING plants_id", {"plants": ACCESS_EXCLUSIVE}),
    ("explicit-locking", "REFRESH MATERIALIZED VIEW names", {"names": ACCESS_EXCLUSIVE, "plants": ACCESS_SHARE}),
    (
        "sql-refreshmaterializedview",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY names",
        {"names": EXCLUSIVE, "plants": ACCESS_SHARE},
    ),
    ("explicit-locking", "SELECT count(*) FROM plants", {"plants": ACCESS_SHARE}),
    ("explicit-locking", "SELECT * FROM plants FOR UPDATE", {"plants": ROW_SHARE}),
    ("explicit-locking", "INSERT INTO weeds VALUES (2)", {"weeds": ROW_EXCLUSIVE}),
    ("explicit-locking", "UPDATE weeds SET id = 3", {"weeds": ROW_EXCLUSIVE}),
    ("explicit-locking", "DELETE FROM weeds", {"weeds": ROW_EXCLUSIVE}),
]

LOCKS_OUTSIDE: list[tuple[str, str, dict[str, str]]] = [
    ("sql-createindex", "CREATE INDEX CONCURRENTLY by_width ON plants (width)", {"plants": SHARE_UPDATE_EXCLUSIVE}),
    ("sql-reindex", "REINDEX TABLE CONCURRENTLY plants", {"plants": SHARE_UPDATE_EXCLUSIVE}),
    ("sql-dropindex", "DROP INDEX CONCURRENTLY plants_name", {"plants": SHARE_UPDATE_EXCLUSIVE}),
    ("explicit-locking", "VACUUM beds", {"beds": SHARE_UPDATE_EXCLUSIVE}),
    ("explicit-locking", "VACUUM FULL beds", {"beds": ACCESS_EXCLUSIVE}),
]

NOTHING: set[str] = set()
# Whether content is written anew, and which tables are read whole. The notes of sql-altertable tell the most of them.
WORK: list[tuple[str, str, set[str], set[str]]] = [
    ("sql-altertable", "ALTER TABLE plants ALTER height TYPE bigint", {"plants"}, {"plants"}),
    ("sql-altertable", "ALTER TABLE weeds ADD COLUMN at timestamptz DEFAULT clock_timestamp()", {"weeds"}, {"weeds"}),
    (
        "sql-altertable",
        "ALTER TABLE weeds ADD COLUMN twice int GENERATED ALWAYS AS (2 * id) STORED",
        {"weeds"},
        {"weeds"},
    ),
    ("sql-altertable", "ALTER TABLE weeds ADD COLUMN number int GENERATED ALWAYS AS IDENTITY", {"weeds"}, {"weeds"}),
    ("sql-altertable", "ALTER TABLE weeds SET UNLOGGED", {"weeds"}, {"weeds"}),
    ("sql-cluster", "CLUSTER plants USING plants_id", {"plants", "plants_id", "plants_name"}, {"plants"}),
    ("sql-reindex", "REINDEX TABLE plants", {"plants_id", "plants_name"}, {"plants"}),
    ("sql-refreshmaterializedview", "REFRESH MATERIALIZED VIEW names", {"names", "names_id"}, {"names", "plants"}),
    ("sql-altertable", "ALTER TABLE plants ADD COLUMN location text", NOTHING, NOTHING),
    ("sql-altertable", "ALTER TABLE plants ADD COLUMN water int NOT NULL DEFAULT 3", NOTHING, NOTHING),
    ("sql-altertable", "ALTER TABLE plants ADD COLUMN at timestamptz DEFAULT now()", NOTHING, NOTHING),
    ("sql-altertable", "ALTER TABLE plants DROP COLUMN seen", NOTHING, NOTHING),
    ("sql-altertable", "ALTER TABLE plants ALTER name TYPE varchar(20)", NOTHING, NOTHING),
    ("sql-altertable", "ALTER TABLE plants ALTER name TYPE text", NOTHING, NOTHING),
    ("sql-altertable", "ALTER TABLE plants ALTER name SET NOT NULL", NOTHING, {"plants"}),
    ("sql-altertable", "ALTER TABLE weeds ALTER id SET NOT NULL", NOTHING, NOTHING),
    ("sql-altertable", "ALTER TABLE plants ADD CHECK (id > 0)", NOTHING, {"plants"}),
    ("sql-altertable", "ALTER TABLE plants ADD CHECK (id > 0) NOT VALID", NOTHING, NOTHING),
    ("sql-altertable", "ALTER TABLE plants VALIDATE CONSTRAINT wide", NOTHING, {"plants"}),
    ("sql-altertable", "ALTER TABLE plants ADD FOREIGN KEY (width) REFERENCES beds", NOTHING, {"plants", "beds"}),
    ("sql-altertable", "ALTER TABLE plants ADD FOREIGN KEY (width) REFERENCES beds NOT VALID", NOTHING, NOTHING),
    ("sql-altertable", "ALTER TABLE plants ADD PRIMARY KEY USING INDEX plants_id", NOTHING, NOTHING),
    (
        "ddl-partitioning",
        "ALTER TABLE readings ATTACH PARTITION readings_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
        NOTHING,
        {"readings_2"},
    ),
    (
        "ddl-partitioning",
        "ALTER TABLE readings ATTACH PARTITION readings_3 FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')",
        NOTHING,
        NOTHING,
    ),
    ("sql-createindex", "CREATE INDEX ON plants (height)", NOTHING, {"plants"}),
    ("sql-dropindex", "DROP INDEX plants_name", NOTHING, NOTHING),
]


async def reported(url: str, directory: Path) -> list[MigrationReport]:
    conn = await asyncpg.connect(url)
    await conn.execute(SETUP)
    await conn.close()
    rehearsal = await rehearse(url, directory)
    assert not rehearsal.failed, [str(report.error) for report in rehearsal.reports]
    return rehearsal.reports


@pytest.mark.slow
@pytest.mark.parametrize("row", LOCKS, ids=[sql[:60] for _, sql, _ in LOCKS])
async def test_the_lock_is_that_of_the_manual(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path, row: tuple[str, str, dict[str, str]]
) -> None:
    page, sql, expected = row
    write("001_it.py", sql)
    [report] = await reported(database_url, tmp_path)
    assert {lock.name: lock.mode for lock in report.locks} == expected, page


async def test_the_locks_outside_a_transaction_are_those_of_the_manual(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    for number, (_, sql, _) in enumerate(LOCKS_OUTSIDE, 1):
        write(f"{number}_it.py", f"transactional = False\n\n\nasync def up(conn):\n    await conn.execute({sql!r})\n")
    reports = await reported(database_url, tmp_path)
    # An index of the table may be locked more strongly than it, for the moment of its removal.
    found = [{lock.name: lock.mode for lock in report.locks if lock.kind == "table"} for report in reports]
    assert found == [locks for _, _, locks in LOCKS_OUTSIDE]


async def test_each_lock_outside_a_transaction_is_seen(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    names = [f"pots_{number}" for number in range(10)]
    write(
        "001_it.py",
        f"""
        import time

        transactional = False

        async def up(conn):
            started = time.monotonic()
            for name in {names}:
                await conn.execute("SELECT pg_sleep(0.1)")
                await conn.execute(f"ALTER TABLE {{name}} ADD COLUMN width int")
            # The pauses, and hardly more: what stands in its way is gone at once.
            assert time.monotonic() - started < 8
        """,
    )
    conn = await asyncpg.connect(database_url)
    for name in names:
        await conn.execute(f"CREATE TABLE {name} ()")
    await conn.close()
    [report] = await reported(database_url, tmp_path)
    assert {lock.name for lock in report.locks} == set(names)


@pytest.mark.parametrize("row", WORK, ids=[sql[:60] for _, sql, _, _ in WORK])
async def test_what_is_rewritten_and_scanned_is_what_the_manual_says(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path, row: tuple[str, str, set[str], set[str]]
) -> None:
    page, sql, rewritten, scanned = row
    write("001_it.py", sql)
    [report] = await reported(database_url, tmp_path)
    found = {rewrite.name for rewrite in report.rewrites}
    # The indexes of a table that is rewritten go with it.
    assert {name for name in found if name in rewritten or name.partition("_")[0] not in rewritten} == rewritten, page
    assert {scan.name for scan in report.scans} == scanned, page


@pytest.mark.parametrize("lives", [True, False])
async def test_a_dead_index_is_in_nobodys_way(lives: bool, database_url: str) -> None:
    conn, observer = [await asyncpg.connect(database_url) for _ in range(2)]
    try:
        await conn.execute("CREATE TABLE plants (id int); CREATE INDEX plants_id ON plants (id)")
        # As DROP INDEX CONCURRENTLY and REINDEX CONCURRENTLY mark it, before they lock it to drop it.
        index = await conn.fetchval(
            "UPDATE pg_index SET indislive = $1 WHERE indexrelid = 'plants_id'::regclass RETURNING indexrelid", lives
        )
        await conn.execute("BEGIN; ALTER INDEX plants_id SET (fillfactor = 50)")
        assert ((index, "SHARE UPDATE EXCLUSIVE") in await held(observer, conn.get_server_pid())) is lives
    finally:
        await conn.close()
        await observer.close()

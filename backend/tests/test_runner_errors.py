"""Every error of the migration runner, on a real PostgreSQL: its text, its code and what it leaves behind."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import asyncpg
import pytest

from src.db import errors
from src.db.migration_runner import (
    apply_migration,
    ensure_migrations_table,
    get_applied_migrations,
    get_migration_files,
    run_migrations,
)
from src.db.runner.failures import history_failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to the database that the test migrates."""
    conn = await asyncpg.connect(database_url)
    yield conn
    await conn.close()


async def failure(url: str, directory: Path, kind: type[errors.MigrationError]) -> str:
    """Run the migrations of a directory; return the text of the error, which is of one kind and no other."""
    with pytest.raises(errors.MigrationError) as caught:
        await run_migrations(url, directory=directory)
    assert type(caught.value) is kind
    text = str(caught.value)
    assert text.endswith(f"\n[{kind.code}] Background: docs/errors.md#{kind.code.lower()}")
    return text


async def recorded(url: str) -> list[str]:
    conn = await asyncpg.connect(url)
    try:
        return await get_applied_migrations(conn)
    finally:
        await conn.close()


# Names and files.


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(errors.MigrationDirectoryError, match=r"nowhere: No such file or directory"):
        get_migration_files(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["add_location.py", "7-add.py", "007.py", "007_.py", "v7_add.py", "\u0667_add.py"])
def test_a_name_without_a_version(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(errors.MigrationNameError, match=r"does not start with a version") as caught:
        get_migration_files(tmp_path)
    assert caught.value.file == tmp_path / name


@pytest.mark.parametrize("names", [("007_a.py", "007_b.py"), ("007_a.py", "7_b.py")])
def test_two_files_with_one_version(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(errors.DuplicateVersionError) as caught:
        get_migration_files(tmp_path)
    assert str(caught.value).startswith(f"{names[1]}: {names[0]} has the same version.")


async def test_names_are_checked_before_the_first_migration_runs(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write("001_good.py", "CREATE TABLE good ()")
    write("late.py", "SELECT 1")
    await failure(database_url, tmp_path, errors.MigrationNameError)
    with pytest.raises(asyncpg.UndefinedTableError):
        await recorded(database_url)


@pytest.mark.parametrize(
    "case",
    [
        ("x = 1\n", errors.MissingUpError, "must define an async up(conn) function; it has none."),
        ("def up(conn):\n    pass\n", errors.UpNotAsyncError, "must define an async up(conn) function; its up is"),
        ("up = 3\n\n", errors.UpNotAsyncError, "must define an async up(conn) function; its up is not async."),
        ("async def up(conn):\n    yield\n", errors.UpNotAsyncError, "must define an async up(conn) function"),
        ("x = (\n", errors.MigrationLoadError, "does not parse: '(' was never closed\n    x = ("),
        ("x = 'a\0b'\n", errors.MigrationLoadError, "does not parse: "),
        ("# coding: klingon\n", errors.MigrationLoadError, "does not parse: unknown encoding: klingon"),
        ("\nimport no_such_module\n", errors.MigrationLoadError, "failed while it was imported: ModuleNotFoundError: "),
        ("raise SystemExit(0)\n\n", errors.MigrationLoadError, "failed while it was imported: SystemExit: 0"),
        ("raise KeyError\n\n", errors.MigrationLoadError, "failed while it was imported: KeyError\n"),
        (
            "transactional = 'no'\nasync def up(conn): ...\n",
            errors.MigrationLoadError,
            "transactional must be True or False, not 'no'.",
        ),
    ],
)
async def test_a_file_that_is_no_migration(
    database_url: str,
    write: Callable[[str, str], Path],
    tmp_path: Path,
    case: tuple[str, type[errors.MigrationError], str],
) -> None:
    text, kind, start = case
    write("001_good.py", "CREATE TABLE good ()")
    write("002_bad.py", text)
    message = await failure(database_url, tmp_path, kind)
    place, _, rest = message.partition(": ")
    assert re.fullmatch(r"002_bad\.py(, line \d)?", place)
    assert rest.startswith(start)
    assert issubclass(kind, ValueError) == (kind in {errors.MissingUpError, errors.UpNotAsyncError})
    assert await recorded(database_url) == ["001"]


def test_the_line_of_a_file_that_does_not_load(write: Callable[[str, str], Path]) -> None:
    # One line of each kind is enough: the line is found in the same way for all.
    from src.db.runner.files import loaded  # noqa: PLC0415 - not part of the contract

    for text, line in (("\n\nx = (\n", 3), ("\n\n1 / 0\n", 3), ("\ndef up(conn): ...\n", 2)):
        with pytest.raises(errors.MigrationError) as caught, loaded(write("001_x.py", text)):
            pass
        assert caught.value.line == line


async def test_a_file_that_is_gone(conn: asyncpg.Connection[asyncpg.Record], tmp_path: Path) -> None:
    with pytest.raises(errors.MigrationLoadError, match=r"007_gone\.py: cannot be read: No such file"):
        await apply_migration(conn, "007", tmp_path / "007_gone.py")


# What up may do wrong.


async def test_a_sql_error_says_all_that_postgresql_says(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write(
        "007_bad.py",
        """
        async def up(conn):
            await conn.execute("INSERT INTO plants (id, name) VALUES ('a', 'basil')")
            await conn.execute("INSERT INTO plants (id, name) VALUES ('a', 'mint')")
        """,
    )
    with pytest.raises(errors.MigrationSqlError) as caught:
        await run_migrations(migrated_url, directory=tmp_path)
    assert caught.value.detail == "Key (id)=(a) already exists."
    assert str(caught.value) == (
        '007_bad.py, line 4: duplicate key value violates unique constraint "plants_pkey"\n'
        "    Detail: Key (id)=(a) already exists.\n"
        "    SQL: INSERT INTO plants (id, name) VALUES ('a', 'mint')\n"
        "    SQLSTATE: 23505\n"
        "Nothing of this migration is kept, and it is not recorded.\n"
        "[PM07] Background: docs/errors.md#pm07"
    )
    write(
        "007_bad.py",
        '''
        async def change(conn):
            await conn.execute("""
                ALTER TABLE plants
                ADD COLUMN location TEXTT
            """)

        async def up(conn):
            await change(conn)
        ''',
    )
    with pytest.raises(errors.MigrationSqlError) as caught:
        await run_migrations(migrated_url, directory=tmp_path)
    error = caught.value
    assert (error.line, error.sqlstate, error.detail, error.hint) == (3, "42704", None, None)
    assert "    SQL: ADD COLUMN location TEXTT  (line 3 of the statement)\n" in str(error)
    write("007_bad.py", "SELECT nme FROM plants")
    with pytest.raises(errors.MigrationSqlError) as caught:
        await run_migrations(migrated_url, directory=tmp_path)
    assert caught.value.hint == 'Perhaps you meant to reference the column "plants.name".'
    assert f"    Hint: {caught.value.hint}\n    SQL: " in str(caught.value)
    write("007_bad.py", "async def up(conn):\n    await conn.execute('SELECT name FROM\\nplantz')\n")
    with pytest.raises(errors.MigrationSqlError) as caught:
        await run_migrations(migrated_url, directory=tmp_path)
    assert "    SQL: plantz  (line 2 of the statement)\n" in str(caught.value)


async def test_a_long_statement_is_shortened_and_a_context_is_shown(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write("001_bad.py", f"DO $$ BEGIN PERFORM 1; {'/* long */' * 40} RAISE 'no'; END $$")
    text = await failure(database_url, tmp_path, errors.MigrationSqlError)
    assert "    Context: PL/pgSQL function inline_code_block line 1 at RAISE\n" in text
    assert re.search(r"    SQL: DO \$\$.{190,200} …\n", text)


async def test_an_error_at_commit_is_the_migrations(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write(
        "001_bad.py",
        "CREATE TABLE a (id INT PRIMARY KEY, b INT REFERENCES a DEFERRABLE INITIALLY DEFERRED);"
        " INSERT INTO a VALUES (1, 2)",
    )
    text = await failure(database_url, tmp_path, errors.MigrationSqlError)
    assert text.startswith('001_bad.py: insert or update on table "a" violates foreign key constraint')
    assert "    SQL: COMMIT;\n" in text
    assert await recorded(database_url) == []


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("raise ValueError('no plants')", "ValueError: no plants"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
async def test_a_python_error_in_up(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path, statement: str, shown: str
) -> None:
    write("001_bad.py", f"async def up(conn):\n    await conn.execute('CREATE TABLE half ()')\n    {statement}\n")
    text = await failure(database_url, tmp_path, errors.MigrationCodeError)
    assert text.startswith(f"001_bad.py, line 3: up raised {shown}")
    write("001_bad.py", "CREATE TABLE half ()")
    assert await run_migrations(database_url, directory=tmp_path) == ["001"]


@pytest.mark.parametrize(
    "statements",
    [
        "await conn.execute('COMMIT')",
        "await conn.execute('ROLLBACK')",
        "await conn.execute('COMMIT'); await conn.execute('BEGIN')",
        "await conn.execute('COMMIT; BEGIN')",
        "await conn.execute('COMMIT AND CHAIN')",
        "await conn.execute('END')",
    ],
)
async def test_a_migration_that_ends_its_transaction(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path, statements: str
) -> None:
    write(
        "001_bad.py", f"async def up(conn):\n    await conn.execute('CREATE TABLE IF NOT EXISTS a ()'); {statements}\n"
    )
    text = await failure(database_url, tmp_path, errors.TransactionEndedError)
    assert text.startswith("001_bad.py: up ended the transaction that it runs in.\nWhat it committed is kept")
    assert await recorded(database_url) == []


async def test_a_migration_that_ends_its_transaction_and_fails(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write("001_bad.py", "async def up(conn):\n    await conn.execute('COMMIT')\n    raise ValueError('late')\n")
    text = await failure(database_url, tmp_path, errors.TransactionEndedError)
    assert "\nThen it raised ValueError: late\n" in text


@pytest.mark.parametrize("comment", ["/* COMMIT; the end */", "/* a /* nested */ one; COMMIT; */"])
async def test_the_words_of_sql_in_a_comment_are_no_error(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path, comment: str
) -> None:
    write("001_good.py", f"{comment} CREATE TABLE a ()")
    assert await run_migrations(database_url, directory=tmp_path) == ["001"]


@pytest.mark.parametrize("extra", ["", "    await conn.execute('SELECT 1 -- END')\n"])
async def test_a_swallowed_sql_error_is_named(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path, extra: str
) -> None:
    body = "    try:\n        await conn.execute('SELECT 1 / 0')\n    except Exception:\n        pass\n"
    again = body.replace("1 / 0", "2")
    write("001_bad.py", f"async def up(conn):\n{body}{again}    # {extra.strip()}\n")
    text = await failure(database_url, tmp_path, errors.SwallowedErrorError)
    assert text.startswith(
        "001_bad.py: a statement failed, and up went on as if it had not.\n"
        "The first error was DivisionByZeroError: division by zero\n"
    )
    assert await recorded(database_url) == []


async def test_an_error_that_no_statement_shows_is_swallowed_all_the_same(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    # A cursor's statements are not among those that asyncpg reports.
    write(
        "001_bad.py",
        """
        async def up(conn):
            try:
                async for _ in conn.cursor("SELECT 1 / 0 FROM pg_class"):
                    pass
            except Exception:
                pass
        """,
    )
    text = await failure(database_url, tmp_path, errors.SwallowedErrorError)
    assert "The first error" not in text


async def test_a_migration_that_records_itself(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write("001_bad.py", "INSERT INTO schema_migrations (version) VALUES ('001')")
    text = await failure(database_url, tmp_path, errors.HistoryError)
    assert text.startswith("001_bad.py: the table schema_migrations cannot be used: duplicate key value")
    assert "take the INSERT out of it" in text


async def test_a_migration_that_changes_the_search_path(
    database_url: str, conn: asyncpg.Connection[asyncpg.Record], write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    filepath = write("001_path.py", "SELECT set_config('search_path', '', false)")
    # The session of a caller is the caller's; that of run_migrations is restored before the version is recorded.
    await ensure_migrations_table(conn)
    with pytest.raises(errors.HistoryError, match="use SET LOCAL search_path"):
        await apply_migration(conn, "001", filepath)
    assert await run_migrations(database_url, directory=tmp_path) == ["001"]


# Outside a transaction.

CONCURRENTLY = """
transactional = False

async def up(conn):
    await conn.execute("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS idx_species ON plants (species)")
"""


async def test_an_index_that_cannot_be_built_and_the_way_out(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    conn = await asyncpg.connect(migrated_url)
    await conn.execute("INSERT INTO plants VALUES ('a', 'basil', 'herb'), ('b', 'mint', 'herb')")
    write("007_index.py", CONCURRENTLY)
    text = await failure(migrated_url, tmp_path, errors.MigrationSqlError)
    assert text.startswith("007_index.py, line 5: could not create unique index")
    assert "It runs outside a transaction: what it did before this is kept" in text
    assert "    DROP INDEX CONCURRENTLY idx_species;\n" in text
    # Once more: IF NOT EXISTS would now pass over the invalid index.
    text = await failure(migrated_url, tmp_path, errors.InvalidIndexError)
    assert text.startswith("007_index.py: an earlier CREATE INDEX CONCURRENTLY failed, and IF NOT EXISTS passes over")
    assert "    DROP INDEX CONCURRENTLY idx_species;\n" in text
    assert "007" not in await get_applied_migrations(conn)
    await conn.execute("DROP INDEX CONCURRENTLY idx_species; ")
    await conn.execute("UPDATE plants SET species = id")
    assert await run_migrations(migrated_url, directory=tmp_path) == ["007"]
    await conn.close()


async def test_an_index_that_was_left_invalid_without_an_error(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    conn = await asyncpg.connect(migrated_url)
    await conn.execute("INSERT INTO plants VALUES ('a', 'basil', 'herb'), ('b', 'mint', 'herb')")
    await conn.close()
    swallowed = CONCURRENTLY.replace(
        "    await", "    import contextlib\n    with contextlib.suppress(Exception): await"
    )
    write("007_index.py", swallowed)
    text = await failure(migrated_url, tmp_path, errors.InvalidIndexError)
    assert text.startswith("007_index.py: up left an invalid index.\n")
    assert "    DROP INDEX CONCURRENTLY idx_species;\n" in text
    assert "007" not in await recorded(migrated_url)


async def test_an_invalid_index_of_another_migration_is_a_warning(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    conn = await asyncpg.connect(migrated_url)
    await conn.execute("CREATE INDEX idx_plants_name ON plants (name)")
    await conn.execute("UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'idx_plants_name'::regclass")
    await conn.close()
    write("007_index.py", CONCURRENTLY)
    assert await run_migrations(migrated_url, directory=tmp_path) == ["007"]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert warnings[1].endswith("which 007_index.py has nothing to do with: idx_plants_name")


@pytest.mark.parametrize(
    ("end", "kind"), [("", errors.TransactionEndedError), ("    1 / 0\n", errors.MigrationCodeError)]
)
async def test_a_transaction_that_was_left_open(
    database_url: str,
    write: Callable[[str, str], Path],
    tmp_path: Path,
    end: str,
    kind: type[errors.MigrationError],
) -> None:
    write(
        "001_open.py",
        "transactional = False\nasync def up(conn):\n    await conn.execute('BEGIN; CREATE TABLE lost ()')\n" + end,
    )
    text = await failure(database_url, tmp_path, kind)
    assert ("left it open; it has been rolled back" in text) == (kind is errors.TransactionEndedError)
    assert await recorded(database_url) == []


async def test_a_callers_connection_is_given_back_without_a_transaction(
    conn: asyncpg.Connection[asyncpg.Record], write: Callable[[str, str], Path]
) -> None:
    path = write("001_open.py", "transactional = False\nasync def up(conn):\n    await conn.execute('BEGIN')\n")
    with pytest.raises(errors.TransactionEndedError):
        await apply_migration(conn, "001", path)
    assert not conn.is_in_transaction()


async def test_outside_a_transaction_joined_to_one_is_postgresqls_error(
    conn: asyncpg.Connection[asyncpg.Record], write: Callable[[str, str], Path]
) -> None:
    await ensure_migrations_table(conn)
    await conn.execute("CREATE TABLE plants (species TEXT)")
    with pytest.raises(errors.MigrationSqlError, match="cannot run inside a transaction block"):
        async with conn.transaction():
            await apply_migration(conn, "007", write("007_index.py", CONCURRENTLY))


# The connection and the rights of its role.


@pytest.mark.parametrize("transactional", [True, False])
async def test_a_connection_that_breaks(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path, *, transactional: bool
) -> None:
    write(
        "001_break.py",
        f"transactional = {transactional}\n"
        "async def up(conn):\n    await conn.execute('SELECT pg_terminate_backend(pg_backend_pid())')\n",
    )
    text = await failure(database_url, tmp_path, errors.ConnectionLostError)
    assert text.startswith("001_break.py: the connection to the database broke.\n")


async def test_a_connection_that_breaks_between_up_and_its_record(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    # The server ends a session that does nothing in its transaction for a millisecond. Its farewell has come when `up`
    # ends, and nobody has read it.
    write(
        "001_idle.py",
        """
        import select

        async def up(conn):
            await conn.execute("SET idle_in_transaction_session_timeout = 1")
            select.select([conn._transport.get_extra_info("socket")], [], [])
        """,
    )
    text = await failure(database_url, tmp_path, errors.ConnectionLostError)
    assert text.startswith("001_idle.py: the connection to the database broke.\n")
    assert await recorded(database_url) == []


async def test_a_connection_that_breaks_while_it_waits(database_url: str, tmp_path: Path) -> None:
    import asyncio  # noqa: PLC0415 - the one test that waits

    from src.db.runner.lock import LOCK_KEY  # noqa: PLC0415 - not part of the contract

    (tmp_path / "001_x.py").write_text("async def up(conn): ...\n")
    holder = await asyncpg.connect(database_url)
    await holder.execute(f"SELECT pg_advisory_lock({LOCK_KEY})")
    waiting = asyncio.create_task(failure(database_url, tmp_path, errors.ConnectionLostError))
    ended = False
    while not ended:
        await asyncio.sleep(0.02)
        ended = bool(
            await holder.fetchval(
                "SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE application_name = 'plantops-migrations' AND datname = current_database()"
                " AND query LIKE '%pg_try_advisory_lock%'"
            )
        )
    assert (await waiting).startswith("the connection to the database broke.\n")
    await holder.close()


async def test_a_role_without_the_right_to_create_tables(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    owner = await asyncpg.connect(migrated_url)
    role = f"{await owner.fetchval('SELECT current_database()')}_reader"
    await owner.execute(f'CREATE ROLE "{role}" LOGIN; GRANT SELECT ON schema_migrations TO "{role}"')
    # As PostgreSQL 15 and newer have it from the start.
    await owner.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    try:
        await owner.execute(f'ALTER DATABASE "{role.removesuffix("_reader")}" SET role = "{role}"')
        write("007_x.py", "SELECT 1")
        text = await failure(migrated_url, tmp_path, errors.HistoryError)
        assert "permission denied for table schema_migrations\nGrant the role" in text
        await owner.execute("DROP TABLE schema_migrations")
        text = await failure(migrated_url, tmp_path, errors.HistoryError)
        assert "permission denied for schema public\nGrant the role" in text
    finally:
        await owner.execute(f'ALTER DATABASE "{role.removesuffix("_reader")}" RESET role')
        await owner.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')
        await owner.close()


async def test_a_read_only_database(
    database_url: str, conn: asyncpg.Connection[asyncpg.Record], write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    name = await conn.fetchval("SELECT current_database()")
    await conn.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    write("001_x.py", "SELECT 1")
    assert "Let DATABASE_URL name the primary" in await failure(database_url, tmp_path, errors.HistoryError)


async def test_the_first_error_is_named_where_up_goes_on_to_a_second_statement(
    migrated_url: str, tmp_path: Path
) -> None:
    (tmp_path / "007_x.py").write_text(
        "import contextlib\n"
        "async def up(conn):\n"
        "    with contextlib.suppress(Exception):\n"
        '        await conn.execute("SELECT 1 / 0")\n'
        '    await conn.execute("SELECT 2")\n'
    )
    text = await failure(migrated_url, tmp_path, errors.SwallowedErrorError)
    assert "The first error was DivisionByZeroError: division by zero" in text


async def test_what_the_server_said_last_is_told(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write("007_x.py", "SELECT pg_terminate_backend(pg_backend_pid())")
    text = await failure(migrated_url, tmp_path, errors.ConnectionLostError)
    assert "terminating connection due to administrator command" in text


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("CREATE ROLE fern LOGIN PASSWORD 'hush' NONSENSE", "SQL: CREATE ROLE fern LOGIN PASSWORD …\n"),
        ("ALTER ROLE fern PASSWORD hush", "SQL: ALTER ROLE fern PASSWORD …\n"),
        ("ALTER ROLE fern PASSWORD\n 'x' hush", "SQL: …  (line 2 of the statement)\n"),
        ("CREATE SUBSCRIPTION s CONNECTION 'host=h password=hush' NONSENSE", "SUBSCRIPTION s CONNECTION …\n"),
        ("SELECT dblink('postgresql://me:hush@host')", "SQL: SELECT dblink('postgresql:// …\n"),
        ("DO $$BEGIN EXECUTE 'ALTER ROLE nobody_here PASSWORD ''hush'''; END$$", "SQL: DO $$BEGIN EXECUTE"),
    ],
)
async def test_a_secret_in_sql_is_not_shown(database_url: str, tmp_path: Path, sql: str, shown: str) -> None:
    (tmp_path / "001_x.py").write_text(f"async def up(conn):\n    await conn.execute({sql!r})\n")
    with pytest.raises(errors.MigrationSqlError) as caught:
        await run_migrations(database_url, directory=tmp_path)
    assert shown in str(caught.value)
    assert "hush" not in str(caught.value)


async def test_a_secret_in_a_swallowed_error_is_not_shown(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "001_x.py").write_text(
        "async def up(conn):\n"
        "    try:\n"
        "        await conn.execute('ALTER ROLE fern PASSWORD hush')\n"
        "    except Exception:\n"
        "        pass\n"
    )
    with pytest.raises(errors.SwallowedErrorError) as caught:
        await run_migrations(database_url, directory=tmp_path)
    assert 'syntax error at or near "…"' in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_history_that_fails_for_a_reason_of_its_own_has_no_remedy(tmp_path: Path) -> None:
    error = history_failed(asyncpg.CheckViolationError("no such plant"), tmp_path / "007_a.py")
    assert str(error).splitlines()[0].endswith("cannot be used: no such plant")
    assert "\n" not in str(error).split("\n[PM15]")[0]


async def test_a_busy_connection_of_ones_own_is_left_open(migrated_url: str, tmp_path: Path) -> None:
    path = tmp_path / "007_a.py"
    path.write_text(
        "import asyncio\n\nasync def up(conn):\n"
        "    await asyncio.gather(conn.execute('SELECT 1'), conn.execute('SELECT 2'))\n"
    )
    conn = await asyncpg.connect(migrated_url)
    try:
        with pytest.raises(errors.MigrationError, match="PM08"):
            await apply_migration(conn, "007", path)
    finally:
        conn.terminate()

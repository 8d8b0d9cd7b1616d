"""Trouble around a migration, each kind on a real PostgreSQL: what is said, what is kept, and what mends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil
import pytest

from src.db import errors
from src.db.migration_runner import MIGRATIONS_DIRECTORY, run_migrations
from src.db.runner import lock, retries
from src.db.runner.lock import LOCK_KEY
from src.db.server import MARKER, ServerError, development, throwaway

BACKEND = Path(__file__).resolve().parents[1]
# A limit, in seconds, on what should end long before it.
PATIENCE = 60


@dataclass
class Place:
    """Where trouble happens: a database with 001 to 006 applied, and a directory of more migrations."""

    url: str
    directory: Path
    write: Callable[[str, str], Path]
    caplog: pytest.LogCaptureFixture
    monkeypatch: pytest.MonkeyPatch

    async def fails(self, kind: type[errors.MigrationError], url: str | None = None) -> str:
        """Run the migrations, which fail with an error of this kind; return its text."""
        with pytest.raises(errors.MigrationError) as caught:
            await asyncio.wait_for(run_migrations(url or self.url, directory=self.directory), PATIENCE)
        assert type(caught.value) is kind, caught.value
        return str(caught.value)

    async def applies(self, url: str | None = None) -> list[str]:
        """Run the migrations, and see that a second run finds nothing to do."""
        applied = await asyncio.wait_for(run_migrations(url or self.url, directory=self.directory), PATIENCE)
        assert await run_migrations(url or self.url, directory=self.directory) == []
        return applied

    @contextlib.asynccontextmanager
    async def session(self, name: str = "other") -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """Another session on the database."""
        conn = await asyncpg.connect(self.url, server_settings={"application_name": name})
        try:
            yield conn
        finally:
            await conn.close()

    async def ask(self, question: str) -> object:
        """Return the one value that a query gives."""
        async with self.session() as conn:
            return await conn.fetchval(question)

    async def until(self, question: str) -> None:
        """Ask again and again until the answer is yes."""
        async with self.session() as conn, asyncio.timeout(PATIENCE):
            while not await conn.fetchval(question):  # noqa: ASYNC110 - there is no event of another process
                await asyncio.sleep(0.02)


@pytest.fixture
def place(
    migrated_url: str,
    tmp_path: Path,
    write: Callable[[str, str], Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    """A place for trouble."""
    return Place(migrated_url, tmp_path, write, caplog, monkeypatch)


Case = Callable[[Place], Awaitable[None]]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    """Add a row to the table of trouble."""
    CASES[getattr(function, "__name__", "")] = function
    return function


# The server.


@case
async def server_not_there(place: Place) -> None:
    (place.directory / "001_create_plants.py").touch()
    text = await place.fails(errors.DatabaseUnavailableError, "postgresql://plantops:hush@127.0.0.1:1/plantops")
    assert (
        "nothing answers at that address.\nStart PostgreSQL, or correct the host and port in the database URL." in text
    )
    assert "hush" not in text


@case
async def wrong_password(place: Place) -> None:
    (place.directory / "001_create_plants.py").touch()
    with throwaway() as server:
        conn = await asyncpg.connect(server.url())
        await conn.execute("CREATE ROLE gardener LOGIN PASSWORD 'right'")
        access = Path(server.environment[MARKER]) / "postgres" / "pg_hba.conf"
        access.write_text(f"local all gardener scram-sha-256\n{access.read_text()}")
        await conn.execute("SELECT pg_reload_conf()")
        await conn.close()
        url = server.url().replace("plantops@", "gardener:wr0ng@", 1)
        async with asyncio.timeout(PATIENCE):
            refused = False
            while not refused:  # until the server has read the file
                with contextlib.suppress(errors.HistoryError):
                    text = await place.fails(errors.DatabaseUnavailableError, url)
                    refused = True
    assert "the server refused the user name or the password.\nCorrect them in the database URL." in text
    assert "wr0ng" not in text


@case
async def address_not_allowed(place: Place) -> None:
    (place.directory / "001_create_plants.py").touch()
    with throwaway() as server:
        conn = await asyncpg.connect(server.url())
        await conn.execute("CREATE ROLE gardener LOGIN")
        access = Path(server.environment[MARKER]) / "postgres" / "pg_hba.conf"
        access.write_text(f"local all gardener reject\n{access.read_text()}")
        await conn.execute("SELECT pg_reload_conf()")
        await conn.close()
        text = ""
        async with asyncio.timeout(PATIENCE):
            while not text:  # until the server has read the file
                with contextlib.suppress(errors.HistoryError):
                    url = server.url().replace("plantops@", "gardener:hush@")
                    text = await place.fails(errors.DatabaseUnavailableError, url)
    assert "the server lets nobody in with this user, database, address and sslmode, whatever the password.\n" in text
    assert "hush" not in text


@case
async def database_missing(place: Place) -> None:
    (place.directory / "001_create_plants.py").touch()
    text = await place.fails(
        errors.DatabaseUnavailableError, urlunsplit(urlsplit(place.url)._replace(path="/plantops_missing"))
    )
    assert "the server has no such database.\nCreate it (createdb), or correct its name in the database URL." in text


@case
async def no_permission(place: Place) -> None:
    role = str(await place.ask("SELECT current_database() || '_guest'"))
    place.write("007_rooms.py", "CREATE TABLE rooms (name text)")
    async with place.session() as owner:
        await owner.execute(f'CREATE ROLE "{role}" LOGIN; GRANT SELECT, INSERT ON schema_migrations TO "{role}"')
        # As PostgreSQL 15 and newer have it from the start.
        await owner.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        try:
            guest = urlsplit(place.url)
            text = await place.fails(
                errors.MigrationSqlError,
                urlunsplit(guest._replace(netloc=role + "@" + guest.netloc.rpartition("@")[2])),
            )
        finally:
            await owner.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')
    assert "permission denied for schema public" in text
    assert "Grant the role of DATABASE_URL that right, or start once with the owner." in text
    assert await place.applies() == ["007"]


def postmaster_of(data: Path) -> psutil.Process:
    """Return the first process of the server whose files are in a directory."""
    return psutil.Process(int(next(data.rglob("postmaster.pid")).read_text().split()[0]))


@case
async def server_killed(place: Place) -> None:
    place.write("001_slow.py", "CREATE TABLE half (); SELECT pg_sleep(600)")
    data = place.directory / "data"
    with development(data) as server:
        url = server.url()
        running = asyncio.create_task(place.fails(errors.ConnectionLostError, url))
        conn = await asyncpg.connect(url)
        async with asyncio.timeout(PATIENCE):
            while not await conn.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        postmaster_of(data).kill()
        text = await running
        conn.terminate()
    assert text.startswith("001_slow.py")
    assert "Start again when the server is back: what is recorded is not run again." in text
    place.write("001_slow.py", "CREATE TABLE half ()")
    again = False
    while not again:  # until what is left of the killed server has ended
        with contextlib.suppress(ServerError, errors.DatabaseUnavailableError), development(data) as server:
            assert await place.applies(server.url()) == ["001"]
            again = True


@case
async def disk_full(place: Place) -> None:
    # Whatever is written to /dev/full meets a full disk.
    place.write("007_export.py", "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000)) TO '/dev/full'")
    text = await place.fails(errors.MigrationSqlError)
    assert "No space left on device" in text
    assert "The server's disk is full. Make room on it, and start again." in text


@case
async def disk_full_on_a_small_tmpfs(place: Place) -> None:
    script = """
import asyncio, os, sys
from urllib.parse import parse_qs, urlsplit
import asyncpg
from src.db.migration_runner import run_migrations
from src.db.server import throwaway

async def main(url):
    conn = await asyncpg.connect(url)
    await conn.execute(f"CREATE TABLESPACE small LOCATION '{sys.argv[1]}'")
    try:
        await run_migrations(url, directory=sys.argv[2])
    except Exception as error:
        print(error)
    print(await conn.fetchval("SELECT count(*) FROM schema_migrations"))
    await conn.execute("CREATE TABLE works (text TEXT)")
    await conn.close()

with throwaway() as server:
    url = server.url()
    owner = os.stat(parse_qs(urlsplit(url).query)["host"][0])
    os.chown(sys.argv[1], owner.st_uid, owner.st_gid)
    asyncio.run(main(url))
"""
    place.write(
        "001_fill.py",
        "CREATE TABLE filled TABLESPACE small AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)",
    )
    # In a mount namespace of its own: nothing is mounted any more when it ends.
    mount = 'mount -t tmpfs -o size=16m plantops "$1" && exec "$2" -c "$3" "$1" "$4"'
    with tempfile.TemporaryDirectory() as small:
        command = ["unshare", "--mount", "sh", "-c", mount, "sh", small, sys.executable, script, str(place.directory)]
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=BACKEND, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    if re.match(r"unshare: |mount: ", done.stderr):
        pytest.skip(f"this account may not mount a file system: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stdout
    assert "The server's disk is full. Make room on it, and start again." in done.stdout
    assert done.stdout.splitlines()[-1] == "0"


# Locks.


@case
async def lock_timeout_spent(place: Place) -> None:
    place.monkeypatch.setattr(retries, "LOCK_TRIES", 2)
    place.monkeypatch.setattr(retries, "FIRST_LOCK_PAUSE", 0.1)
    place.write("007_location.py", "ALTER TABLE plants ADD COLUMN location text")
    async with place.session("report") as holder, holder.transaction():
        await holder.execute("SELECT count(*) FROM plants")
        text = await place.fails(errors.LockTimeoutError)
    assert re.search(r"In its way: process \d+ \(report\), idle in transaction since ", text)
    assert "SELECT pg_terminate_backend(the process's number)" in text
    assert await place.applies() == ["007"]


DEADLOCK = '''
{mode}
import asyncio

async def up(conn):
    await conn.execute("SET {local} deadlock_timeout = '10ms'")
    {begin}
    await conn.execute("LOCK TABLE plants; SET {local} application_name = 'has plants'")
    while await conn.fetchval("""
        WITH here AS (
            SELECT * FROM pg_locks JOIN pg_database ON pg_database.oid = database WHERE datname = current_database()
        )
        SELECT EXISTS (SELECT FROM here WHERE granted AND relation = 'devices'::regclass)
            AND NOT EXISTS (SELECT FROM here WHERE NOT granted AND relation = 'plants'::regclass)
    """):
        await asyncio.sleep(0.01)
    await conn.execute("LOCK TABLE devices")
'''


async def _deadlocked(place: Place, run: Awaitable[object]) -> object:
    """Run migrations that lock plants and then devices, beside a session that locks them the other way round."""
    async with place.session() as other:
        running = asyncio.ensure_future(run)
        async with other.transaction():
            await other.execute("LOCK TABLE devices")
            await place.until(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = 'has plants' AND datname = current_database()"
            )
            # The session whose time runs out first is the one that PostgreSQL ends.
            await other.execute("SET LOCAL deadlock_timeout = '60s'; LOCK TABLE plants")
        return await running


@case
async def deadlock_is_tried_again(place: Place) -> None:
    place.write("007_locks.py", DEADLOCK.format(mode="", local="LOCAL", begin=""))
    assert await _deadlocked(place, place.applies()) == ["007"]
    assert (
        "007_locks.py was the one that PostgreSQL ended of two that waited for each other (try 1" in place.caplog.text
    )


@case
async def deadlock_outside_a_transaction(place: Place) -> None:
    place.write(
        "007_locks.py",
        DEADLOCK.format(mode="transactional = False", local="", begin='await conn.execute("BEGIN")'),
    )
    text = str(await _deadlocked(place, place.fails(errors.MigrationSqlError)))
    assert "deadlock detected" in text
    assert "Two sessions waited for each other, and PostgreSQL ended this one. Start again." in text


@case
async def statement_timeout(place: Place) -> None:
    place.write("007_slow.py", "SET statement_timeout = 50; SELECT pg_sleep(600)")
    text = await place.fails(errors.MigrationSqlError)
    assert "SET statement_timeout = 0 in the migration lifts" in text
    place.write("007_slow.py", "SET LOCAL statement_timeout = 0; SELECT pg_sleep(1.1)")
    database = await place.ask("SELECT current_database()")
    async with place.session() as conn:
        await conn.execute(f'ALTER DATABASE "{database}" SET statement_timeout = 1000')
    assert await place.applies() == ["007"]


@case
async def second_runner_waiting(place: Place) -> None:
    place.monkeypatch.setattr(lock, "REPORT_AFTER", 0.05)
    place.write("007_x.py", "SELECT 1")
    async with place.session("first-runner") as first:
        await first.execute(f"SELECT pg_advisory_lock({LOCK_KEY})")
        second = asyncio.create_task(place.applies())
        async with asyncio.timeout(PATIENCE):
            while "waiting for the migration lock" not in place.caplog.text:  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.02)
        pid = first.get_server_pid()
    assert re.search(rf"held by process {pid} \(first-runner\), idle since \d{{4}}-\d\d-\d\d \d\d:", place.caplog.text)
    assert await second == ["007"]


async def _signalled(place: Place, number: int) -> None:
    place.write("007_slow.py", "CREATE TABLE half (); SELECT pg_sleep(600)")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "src.db", "migrate", "--directory", str(place.directory)),
        cwd=BACKEND,
        env={**os.environ, "DATABASE_URL": place.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    await place.until(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    )
    process.send_signal(number)
    output, error = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 128 + number
    assert output == b""
    assert f"ended by {signal.Signals(number).name}. The migration that was running is not recorded" in error.decode()
    assert await place.ask(f"SELECT pg_try_advisory_lock({LOCK_KEY})")
    assert await place.ask("SELECT to_regclass('half') IS NULL")
    place.write("007_slow.py", "CREATE TABLE half ()")
    assert await place.applies() == ["007"]


@case
async def sigterm(place: Place) -> None:
    await _signalled(place, signal.SIGTERM)


@case
async def ctrl_c(place: Place) -> None:
    await _signalled(place, signal.SIGINT)


@case
async def invalid_index_left(place: Place) -> None:
    place.write(
        "007_index.py",
        """
        transactional = False

        async def up(conn):
            await conn.execute("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS idx_species ON plants (species)")
        """,
    )
    async with place.session() as conn:
        await conn.execute("INSERT INTO plants VALUES ('a', 'basil', 'herb'), ('b', 'mint', 'herb')")
        await place.fails(errors.MigrationSqlError)
        text = await place.fails(errors.InvalidIndexError)
        assert "Remove the index, then start again:\n    DROP INDEX CONCURRENTLY idx_species;" in text
        await conn.execute("UPDATE plants SET species = id")
        await conn.execute("DROP INDEX CONCURRENTLY idx_species")
    assert await place.applies() == ["007"]


@case
async def concurrently_in_a_transaction(place: Place) -> None:
    place.write("007_index.py", "CREATE INDEX CONCURRENTLY idx_species ON plants (species)")
    text = await place.fails(errors.MigrationSqlError)
    assert "Let it run outside a transaction: set transactional = False in its file" in text


# What a migration does to its session.


@case
async def session_changed(place: Place) -> None:
    place.write(
        "007_changes.py",
        """
        async def up(conn):
            await conn.execute("CREATE SCHEMA elsewhere; SET search_path = elsewhere; SET work_mem = '1MB'")
            await conn.execute("CREATE TEMP TABLE schema_migrations (version text); SET lock_timeout = 0")
            await conn.execute("SET ROLE pg_monitor")
        """,
    )
    place.write(
        "008_changes.py",
        """
        transactional = False

        async def up(conn):
            await conn.execute("SET search_path = elsewhere; SET enable_seqscan = off")
        """,
    )
    place.write(
        "009_sees.py",
        """
        async def up(conn):
            shown = [
                await conn.fetchval("SELECT " + what)
                for what in (
                    "current_schema()", "current_user = session_user", "to_regclass('pg_temp.schema_migrations')",
                    "current_setting('work_mem') = '1MB'", "current_setting('enable_seqscan')",
                    "current_setting('lock_timeout')",
                )
            ]
            assert shown == ["public", True, None, False, "on", "500ms"], shown
        """,
    )
    assert await place.applies() == ["007", "008", "009"]
    assert await place.ask("SELECT count(*) FROM public.schema_migrations") == 9


@case
async def transaction_left_open(place: Place) -> None:
    place.write(
        "007_open.py",
        "transactional = False\nasync def up(conn):\n    await conn.execute('BEGIN; CREATE TABLE lost ()')\n",
    )
    text = await place.fails(errors.TransactionEndedError)
    assert "End each BEGIN in it with COMMIT, or use async with conn.transaction()." in text


@case
async def connection_closed(place: Place) -> None:
    place.write("007_close.py", "async def up(conn):\n    await conn.close()\n")
    text = await place.fails(errors.ConnectionLostError)
    assert text.startswith("007_close.py: the connection to the database broke.")
    place.write("007_close.py", "SELECT 1")
    assert await place.applies() == ["007"]


@case
async def own_error_swallowed(place: Place) -> None:
    place.write(
        "007_swallow.py",
        """
        import contextlib

        async def up(conn):
            with contextlib.suppress(Exception):
                await conn.execute("SELECT 1 / 0")
        """,
    )
    text = await place.fails(errors.SwallowedErrorError)
    assert "The first error was DivisionByZeroError: division by zero\n" in text
    assert "put the statement that may fail into async with conn.transaction()" in text


@case
async def own_transaction(place: Place) -> None:
    place.write(
        "007_nested.py",
        """
        async def up(conn):
            async with conn.transaction():
                await conn.execute("CREATE TABLE inner_table ()")
            raised = False
            try:
                async with conn.transaction():
                    await conn.execute("CREATE TABLE undone ()")
                    await conn.execute("SELECT 1 / 0")
            except Exception:
                raised = True
            assert raised
        """,
    )
    assert await place.applies() == ["007"]
    assert await place.ask("SELECT to_regclass('inner_table') IS NOT NULL AND to_regclass('undone') IS NULL")


@case
async def own_transaction_left_open(place: Place) -> None:
    place.write(
        "007_nested.py",
        """
        async def up(conn):
            await conn.transaction().start()
            await conn.execute("CREATE TABLE kept ()")
        """,
    )
    place.write("008_next.py", "CREATE TABLE after ()")
    assert await place.applies() == ["007", "008"]
    assert await place.ask("SELECT to_regclass('kept') IS NOT NULL AND to_regclass('after') IS NOT NULL")


# Files.


@case
async def huge(place: Place) -> None:
    place.write(
        "007_many.py",
        """
        async def up(conn):
            await conn.executemany(
                "INSERT INTO plants (id, name) VALUES ($1, $2)", [(f"p{n}", f"Plant {n}") for n in range(100_000)]
            )
        """,
    )
    assert await place.applies() == ["007"]
    assert await place.ask("SELECT count(*) FROM plants") == 100_000


@case
async def not_ascii(place: Place) -> None:
    place.write("007_größe_🌱.py", "COMMENT ON TABLE plants IS 'Pflanzen: Größe, 高さ, 🌱'")
    assert await place.applies() == ["007"]
    assert await place.ask("SELECT obj_description('plants'::regclass)") == "Pflanzen: Größe, 高さ, 🌱"
    place.write("008_größe.py", "SELECT größe FROM plants")
    assert (await place.fails(errors.MigrationSqlError)).startswith(
        '008_größe.py, line 2: column "größe" does not exist'
    )


@case
async def crlf_and_byte_order_mark(place: Place) -> None:
    text = "async def up(conn):\r\n    await conn.execute('CREATE TABLE windows ()')\r\n"
    (place.directory / "007_windows.py").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert await place.applies() == ["007"]
    assert await place.ask("SELECT to_regclass('windows') IS NOT NULL")


@case
async def symbolic_link(place: Place) -> None:
    elsewhere = place.directory / "elsewhere"
    elsewhere.mkdir()
    place.write("linked.txt", "CREATE TABLE linked ()").rename(elsewhere / "linked.py")
    (place.directory / "007_linked.py").symlink_to(elsewhere / "linked.py")
    assert await place.applies() == ["007"]
    assert await place.ask("SELECT to_regclass('linked') IS NOT NULL")
    (place.directory / "008_dangling.py").symlink_to(elsewhere / "gone.py")
    assert await place.applies() == []


@case
async def directory_named_like_a_migration(place: Place) -> None:
    (place.directory / "001_create_plants.py").touch()  # applied, and not read
    (place.directory / "007_directory.py").mkdir()
    assert await place.applies() == []


# A database already in service.


async def _in_service(place: Place) -> None:
    """Make the database what an older runner has left: versions and times, and nothing that this runner made."""
    async with place.session() as conn:
        await conn.execute("UPDATE schema_migrations SET applied_at = '2024-01-01 12:00:00+00'")


@case
async def database_in_service(place: Place) -> None:
    await _in_service(place)
    before = await place.ask("SELECT string_agg(xmin::text || version || applied_at, ',') FROM schema_migrations")
    place.directory = MIGRATIONS_DIRECTORY
    assert await place.applies() == []
    after = await place.ask("SELECT string_agg(xmin::text || version || applied_at, ',') FROM schema_migrations")
    assert before == after


@case
async def database_in_service_with_half_of_006(place: Place) -> None:
    await _in_service(place)
    async with place.session() as conn:
        # The older runner made the table, died, and did not come to record it.
        await conn.execute("DELETE FROM schema_migrations WHERE version = '006'")
        await conn.execute("INSERT INTO plants VALUES ('a', 'basil')")
        await conn.execute("INSERT INTO care_plans (plant_id, plan_data) VALUES ('a', '{}')")
    place.directory = MIGRATIONS_DIRECTORY
    assert await place.applies() == ["006"]
    assert await place.ask("SELECT count(*) FROM care_plans") == 1


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name.startswith("server_killed") else []) for name in CASES],
)
async def test_trouble(
    name: str,
    place: Place,
) -> None:
    await CASES[name](place)

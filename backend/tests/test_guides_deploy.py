"""What the guides to deploying say without a block of theirs that runs it."""

from __future__ import annotations

import contextlib
import re
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest

from src.db import connection, errors
from src.db.connection import connect
from src.db.migration_runner import run_migrations
from src.db.rehearsal import execution
from src.db.runner import session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from typing import Any

MIGRATION = "CREATE TABLE rooms (id text); ALTER TABLE plants ADD COLUMN room text"
RIGHTS = (
    "CONNECT ON DATABASE",
    "USAGE ON SCHEMA public",
    "CREATE ON SCHEMA public",
    "SELECT ON schema_migrations",
    "INSERT ON schema_migrations",
)


class Deployer:
    """A role that is no superuser, and owns nothing but plants."""

    def __init__(self, conn: asyncpg.Connection[asyncpg.Record], url: str) -> None:
        self.conn = conn
        self.name = f"deployer_{uuid.uuid4().hex[:12]}"
        parts = urlsplit(url)
        self.database = parts.path.removeprefix("/")
        self.url = parts._replace(netloc=f"{self.name}@{parts.netloc.rpartition('@')[2]}").geturl()

    async def grant(self, right: str) -> None:
        await self.conn.execute(f"GRANT {self._named(right)} TO {self.name}")

    async def revoke(self, right: str) -> None:
        await self.conn.execute(f"REVOKE {self._named(right)} FROM {self.name}")

    async def set(self, setting: str) -> None:
        await self.conn.execute(f"ALTER ROLE {self.name} {setting}")

    def _named(self, right: str) -> str:
        return right.replace("DATABASE", f'DATABASE "{self.database}"')


@pytest.fixture
async def deployer(migrated_url: str) -> AsyncIterator[Deployer]:
    conn = await asyncpg.connect(migrated_url)
    role = Deployer(conn, migrated_url)
    await conn.execute(f"CREATE ROLE {role.name} LOGIN")
    try:
        await conn.execute(f'REVOKE ALL ON DATABASE "{role.database}" FROM PUBLIC')
        await conn.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        await conn.execute(f"ALTER TABLE plants OWNER TO {role.name}")
        for right in RIGHTS:
            await role.grant(right)
        yield role
    finally:
        await conn.execute(f"REASSIGN OWNED BY {role.name} TO CURRENT_USER; DROP OWNED BY {role.name}")
        await conn.execute(f"DROP ROLE {role.name}")
        await conn.close()


@pytest.mark.parametrize(
    ("right", "fails"),
    [
        ("CONNECT ON DATABASE", "PM13: permission denied for database"),
        ("USAGE ON SCHEMA public", "PM15: it is in the schema public, which the role \\w+ has no right to use"),
        ("CREATE ON SCHEMA public", "PM07: permission denied for schema public"),
        ("SELECT ON schema_migrations", "PM15: permission denied for table schema_migrations"),
        ("INSERT ON schema_migrations", "PM15: permission denied for table schema_migrations"),
    ],
)
async def test_each_right_that_a_migration_takes(
    deployer: Deployer, write: Callable[[str, str], Path], tmp_path: Path, right: str, fails: str
) -> None:
    write("007_rooms.py", MIGRATION)
    await deployer.revoke(right)
    code, _, message = fails.partition(": ")
    with pytest.raises(errors.MigrationError, match=message) as caught:
        await run_migrations(deployer.url, directory=tmp_path)
    assert caught.value.code == code
    await deployer.grant(right)
    assert await run_migrations(deployer.url, directory=tmp_path) == ["007"]


async def test_a_table_is_altered_by_its_owner_alone(
    deployer: Deployer, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write("007_rooms.py", MIGRATION)
    await deployer.conn.execute("ALTER TABLE plants OWNER TO CURRENT_USER")
    await deployer.conn.execute(f"GRANT ALL ON plants TO {deployer.name}")
    with pytest.raises(errors.MigrationSqlError, match="must be owner of table plants"):
        await run_migrations(deployer.url, directory=tmp_path)


async def test_a_rehearsal_takes_no_other_right(
    deployer: Deployer, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write("007_rooms.py", MIGRATION)
    assert not (await execution.rehearse(deployer.url, tmp_path)).failed


async def test_a_role_whose_connections_are_used_up(deployer: Deployer, tmp_path: Path) -> None:
    (tmp_path / "007_x.py").touch()
    await deployer.set("CONNECTION LIMIT 1")
    async with contextlib.AsyncExitStack() as stack:
        only = await asyncpg.connect(deployer.url)
        stack.push_async_callback(only.close)
        with pytest.raises(errors.DatabaseUnavailableError, match="the server has no connection left"):
            await run_migrations(deployer.url, directory=tmp_path)


async def test_a_server_that_cannot_be_written_to_is_passed_over(deployer: Deployer, tmp_path: Path) -> None:
    (tmp_path / "007_x.py").touch()
    await deployer.set("SET default_transaction_read_only = on")
    separator = "&" if "?" in deployer.url else "?"
    with pytest.raises(errors.DatabaseUnavailableError, match="Correct target_session_attrs"):
        await run_migrations(f"{deployer.url}{separator}target_session_attrs=read-write", directory=tmp_path)


async def test_row_level_security_hides_rows_until_it_is_disabled(migrated_url: str) -> None:
    conn = await asyncpg.connect(migrated_url)
    transaction = conn.transaction()
    await transaction.start()
    await conn.execute("""
        INSERT INTO alerts (metric, value, threshold, direction) VALUES ('humidity', 81, 80, 'above');
        CREATE ROLE plantops_reader;
        GRANT SELECT ON alerts TO plantops_reader;
        ALTER TABLE alerts ENABLE ROW LEVEL SECURITY;
        SET LOCAL ROLE plantops_reader;
    """)
    assert await conn.fetch("SELECT id FROM alerts") == []
    await conn.execute("RESET ROLE; ALTER TABLE alerts DISABLE ROW LEVEL SECURITY; SET LOCAL ROLE plantops_reader")
    assert len(await conn.fetch("SELECT id FROM alerts")) == 1
    await transaction.rollback()
    await conn.close()


async def test_an_extension_that_takes_a_superuser(
    deployer: Deployer, tmp_path: Path, write: Callable[[str, str], Path]
) -> None:
    write("007_x.py", "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    with pytest.raises(errors.MigrationSqlError, match="permission denied to create extension"):
        await run_migrations(deployer.url, directory=tmp_path)
    await deployer.conn.execute("CREATE EXTENSION pg_stat_statements")
    assert await run_migrations(deployer.url, directory=tmp_path) == ["007"]


async def test_behind_a_pooler_one_connection_holds_the_lock_and_another_works(
    migrated_url: str, write: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    async def watched(*arguments: Any, **options: Any) -> asyncpg.Connection[asyncpg.Record]:
        conn = await connect(*arguments, **options)
        name = options.get("application_name", "plantops-migrations")
        conn.add_query_logger(lambda statement: sent.append(f"{name}: {' '.join(statement.query.split())}"))
        return conn

    async def yes(_: object) -> bool:
        return True

    monkeypatch.setattr(connection, "connect", watched)
    monkeypatch.setattr(session, "connect", watched)
    monkeypatch.setattr(session, "is_pooled", yes)
    write("007_x.py", "ALTER TABLE plants ADD COLUMN x text")
    write(
        "008_y.py",
        """
        transactional = False

        async def up(conn):
            await conn.execute("CREATE INDEX CONCURRENTLY y ON plants (x)")
        """,
    )
    assert await run_migrations(migrated_url, directory=tmp_path) == ["007", "008"]
    shown = [
        statement for statement in sent if "-lock: " in statement or "plants (x)" in statement or "COLUMN" in statement
    ]
    still_held = "plantops-migrations-lock: SELECT FROM pg_locks"
    assert [re.split(r" WHERE|,", statement)[0] for statement in shown] == [
        "plantops-migrations-lock: BEGIN ISOLATION LEVEL READ COMMITTED;",
        "plantops-migrations-lock: SET LOCAL idle_in_transaction_session_timeout = 0",
        "plantops-migrations-lock: SELECT pg_try_advisory_xact_lock($1)",
        # Whether a runner that was killed has left a statement at work.
        "plantops-migrations-lock: SELECT pg_stat_clear_snapshot()",
        "plantops-migrations-lock: SELECT pid",
        still_held,
        "plantops-migrations: ALTER TABLE plants ADD COLUMN x text",
        still_held,
        "plantops-migrations: CREATE INDEX CONCURRENTLY y ON plants (x)",
        still_held,
        "plantops-migrations-lock: COMMIT;",
    ]

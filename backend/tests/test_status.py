"""The command ``status``."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from src.db.commands.command_line import main
from src.db.commands.status import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def execute(url: str, statement: str) -> None:
    """Run one statement on a database."""

    async def connected() -> None:
        conn = await asyncpg.connect(url)
        await conn.execute(statement)
        await conn.close()

    asyncio.run(connected())


def test_applied_and_pending(
    migrated_url: str, tmp_path: Path, write: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    execute(migrated_url, "DELETE FROM schema_migrations WHERE version > '003'")
    execute(
        migrated_url,
        "UPDATE schema_migrations SET applied_at = '2024-05-01 12:00:00+02';"
        " UPDATE schema_migrations SET applied_at = NULL WHERE version = '001'",
    )
    for name in ("001_one", "003_three", "007_seven", "1000_more"):
        write(f"{name}.py", "SELECT 1")
    assert main(["status", "--database-url", migrated_url, "--directory", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (
        "version  name   applied\n"
        "001      one    at an unknown time\n"
        "002      -      2024-05-01 10:00:00 UTC  no file: is the code older than the database?\n"
        "003      three  2024-05-01 10:00:00 UTC\n"
        "007      seven  pending\n"
        "1000     more   pending\n"
        "\n"
        "3 applied, 2 pending\n"
    )


def test_times_that_python_does_not_know(migrated_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for version, time in (("001", "infinity"), ("002", "-infinity"), ("003", "0044-03-15 BC"), ("004", "20000-01-01")):
        execute(migrated_url, f"DELETE FROM schema_migrations WHERE version = '{version}'")  # noqa: S608 - our own
        execute(migrated_url, f"INSERT INTO schema_migrations VALUES ('{version}', '{time}')")  # noqa: S608
    assert main(["status", "--database-url", migrated_url]) == 0
    assert capsys.readouterr().out.count("at an unknown time") == 4


def test_versions_in_another_form(baseline: Path, migrated_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = ["status", "--directory", str(baseline), "--database-url", migrated_url]
    execute(migrated_url, "UPDATE schema_migrations SET version = ltrim(version, '0')")
    assert main(status) == 0
    found = capsys.readouterr().out
    assert re.search(r"(?m)^001 +create_plants +pending\b", found)
    assert re.search(r"(?m)^1 +- .*no file", found)
    execute(migrated_url, "UPDATE schema_migrations SET version = lpad(version, 3, '0')")
    assert main(status) == 0
    assert capsys.readouterr().out.endswith("\n6 applied, 0 pending\n")


@pytest.mark.parametrize("command", ["status", "migrate", "rehearse"])
def test_no_migrations_at_all(
    migrated_url: str, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--database-url", migrated_url, "--directory", str(tmp_path)]) == 1
    assert f"there are no migrations in {tmp_path}.\n" in capsys.readouterr().err


def test_json(baseline: Path, migrated_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    execute(migrated_url, "DELETE FROM schema_migrations WHERE version = '005'")
    assert main(["status", "--directory", str(baseline), "--json", "--database-url", migrated_url]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["applied"], report["pending"]) == (5, 1)
    assert [row["state"] for row in report["migrations"]] == ["applied"] * 4 + ["pending", "applied"]
    assert datetime.fromisoformat(report["migrations"][0]["applied_at"]).tzinfo is not None
    assert report["migrations"][4] == {
        "version": "005",
        "name": "create_settings",
        "state": "pending",
        "applied_at": None,
        "odd": "out of order: 006 is applied",
    }


def test_check(baseline: Path, migrated_url: str, database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--directory", str(baseline), "--check", "--database-url", migrated_url]) == 0
    assert main(["status", "--directory", str(baseline), "--check", "--database-url", database_url]) == 1
    assert main(["status", "--directory", str(baseline), "--database-url", database_url]) == 0
    assert capsys.readouterr().out.count("0 applied, 6 pending") == 2


def test_a_database_that_cannot_be_read(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    execute(database_url, "CREATE TABLE schema_migrations (number integer)")
    assert main(["status", "--database-url", database_url]) == 1
    assert re.match(r"the table schema_migrations cannot be used: column .* does not exist", capsys.readouterr().err)


NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
LATER = datetime(2024, 5, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("applied", "odd"),
    [
        ({"001": NOON, "002": NOON, "003": LATER}, [None, None, None]),
        ({"001": NOON, "002": LATER, "003": NOON}, [None, "out of order: applied after 003", None]),
        ({"001": LATER, "002": None, "003": NOON}, ["out of order: applied after 003", None, None]),
        ({"002": None}, ["out of order: 002 is applied", None, None]),
        ({}, [None, None, None]),
    ],
)
def test_what_is_out_of_order(applied: Mapping[str, datetime | None], odd: list[str | None]) -> None:
    files = [(version, Path(f"{version}_x.py")) for version in ("001", "002", "003")]
    assert [row.odd for row in rows_of(files, applied)] == odd

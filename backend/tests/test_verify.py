"""The commands ``new``, ``seal`` and ``verify``, which work on the files alone."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from handbook import baseline
from src.config import TOP
from src.db.commands import checksums
from src.db.commands.command_line import main
from src.db.runner.files import MIGRATIONS_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the migrations, sealed as they are."""
    copy = tmp_path / "migrations"
    baseline.copy_baseline(MIGRATIONS_DIRECTORY, copy)
    return copy


def call(directory: Path, *arguments: str) -> int:
    return main([*arguments, "--directory", str(directory)])


def test_from_new_to_verified(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = directory / "007_add_plant_location.py"
    assert call(directory, "new", "add_plant_location") == 0
    assert capsys.readouterr().out.startswith(f"{path}\n")
    text = path.read_text()
    assert text.startswith('"""Add plant location."""\n')
    # Sealed and verified it is when its statements are written, and not before.
    assert call(directory, "seal") == 1
    assert "007_add_plant_location.py is still the template." in capsys.readouterr().err
    assert call(directory, "verify") == 1
    assert capsys.readouterr().out == (
        "007_add_plant_location.py: is still the template: write its statements\n"
        "007_add_plant_location.py: is not sealed: run make seal when it is finished\n"
        "7 migrations: 2 findings\n"
    )
    path.write_text("".join(line.replace("# await", "await") for line in text.splitlines(True) if "raise" not in line))
    assert call(directory, "verify") == 1
    assert capsys.readouterr().out.endswith("7 migrations: 1 finding\n")
    assert call(directory, "seal", "007") == 0
    assert capsys.readouterr().out == "sealed 007_add_plant_location.py\n"
    assert call(directory, "seal") == 0
    assert capsys.readouterr().out == "Nothing to seal\n"
    assert call(directory, "verify") == 0
    assert capsys.readouterr().out == "7 migrations: all sealed, nothing wrong\n"
    subprocess.run(["sha256sum", "--check", "--quiet", "CHECKSUMS"], cwd=directory, check=True)
    assert (
        (directory / "CHECKSUMS")
        .read_text()
        .startswith(baseline.checksums((MIGRATIONS_DIRECTORY / "CHECKSUMS").read_text()))
    )


def test_the_template_passes_the_projects_linter(directory: Path) -> None:
    assert call(directory, "new", "add_plant_location") == 0
    path = directory / "007_add_plant_location.py"
    shown = str(MIGRATIONS_DIRECTORY / path.name)
    for check in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *check, "--no-cache", "--stdin-filename", shown, "-"]
        subprocess.run(command, cwd=TOP, input=path.read_bytes(), check=True, stdout=subprocess.DEVNULL)


async def test_the_template_is_not_applied_as_it_is(directory: Path, migrated_url: str) -> None:
    from src.db.commands.new import _TEMPLATE, UNFINISHED  # noqa: PLC0415 - likewise
    from src.db.errors import MigrationCodeError  # noqa: PLC0415 - the one test that runs it
    from src.db.migration_runner import run_migrations  # noqa: PLC0415 - likewise

    (directory / "007_x.py").write_text(_TEMPLATE.format(title="X", unfinished=UNFINISHED))
    with pytest.raises(MigrationCodeError, match="this migration is still the template"):
        await run_migrations(migrated_url, directory=directory)


def test_new_in_the_checkout_is_shown_from_its_top(
    monkeypatch: pytest.MonkeyPatch, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("src.db.commands.new.TOP", directory.parent)
    assert call(directory, "new", "x") == 0
    assert capsys.readouterr().out.startswith("migrations/007_x.py\n")


def test_new_after_999_and_in_an_empty_directory(directory: Path, write: Callable[[str, str], Path]) -> None:
    write("migrations/999_x.py", "SELECT 1")
    assert call(directory, "new", "more") == 0
    assert (directory / "1000_more.py").exists()
    empty = directory / "empty"
    empty.mkdir()
    assert call(empty, "new", "first") == 0
    assert (empty / "001_first.py").exists()


def test_new_refuses_a_taken_name(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(directory, "new", "create_plants") == 1
    assert "001_create_plants.py has this name already." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "Add", "1x", "a__b", "_a", "a_", "a-b", "a b", "ä", "a" * 61, "a\n"])
def test_new_refuses_a_bad_name(directory: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(directory.iterdir())
    with pytest.raises(SystemExit) as caught:
        call(directory, "new", name)
    assert caught.value.code == 2
    assert "cannot be the name of a migration" in capsys.readouterr().err
    assert sorted(directory.iterdir()) == before


def test_seal_refuses_what_was_edited(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (directory / "003_create_telemetry.py").open("a") as file:
        file.write("\n")
    before = (directory / "CHECKSUMS").read_text()
    assert call(directory, "seal") == 1
    assert (
        "003_create_telemetry.py is not what it was when it was sealed; nothing is sealed." in capsys.readouterr().err
    )
    assert (directory / "CHECKSUMS").read_text() == before


def test_what_a_migration_uses_is_sealed_with_it(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("007_x.py", "007.sql", "_helpers.py", "sql/008.sql", ".hidden", "__pycache__/x.pyc", "__init__.py"):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text("async def up(conn):\n    pass\n")
    assert call(directory, "verify") == 1
    found = capsys.readouterr().out
    assert "007.sql: is not sealed" in found
    assert "_helpers.py: is not sealed" in found
    assert call(directory, "seal", "007") == 0
    names = ["007.sql", "007_x.py", "__init__.py", "_helpers.py", "sql/008.sql"]
    assert capsys.readouterr().out == "".join(f"sealed {name}\n" for name in names)
    assert [line.split()[1] for line in (directory / "CHECKSUMS").read_text().splitlines()[6:]] == names
    subprocess.run(["sha256sum", "--check", "--quiet", "CHECKSUMS"], cwd=directory, check=True)
    assert call(directory, "verify") == 0
    with (directory / "_helpers.py").open("a") as file:
        file.write("\n")
    assert call(directory, "verify") == 1
    assert "_helpers.py: is not what it was when it was sealed" in capsys.readouterr().out
    assert call(directory, "seal") == 1
    assert "Put it back, and add another file for the change." in capsys.readouterr().err


def test_what_another_version_uses_is_not_sealed(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "007_x.py").write_text("async def up(conn):\n    pass\n")
    (directory / "008.sql").write_text("SELECT 1\n")
    assert call(directory, "seal", "007") == 0
    assert capsys.readouterr().out == "sealed 007_x.py\n"


@pytest.mark.parametrize("command", ["seal", "verify"])
def test_checksums_that_cannot_be_read(directory: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "CHECKSUMS").unlink()
    (directory / "CHECKSUMS").mkdir()
    assert call(directory, command) == 1
    assert capsys.readouterr().err == f"{directory}/CHECKSUMS cannot be read: Is a directory.\n"


def test_checksums_that_cannot_be_written(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / ".CHECKSUMS.new").mkdir()
    (directory / "007_x.py").write_text("async def up(conn):\n    pass\n")
    before = (directory / "CHECKSUMS").read_text()
    assert call(directory, "seal") == 1
    assert capsys.readouterr().err.endswith("CHECKSUMS cannot be written: Is a directory. Nothing is sealed.\n")
    assert (directory / "CHECKSUMS").read_text() == before


def test_a_file_that_cannot_be_read(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def gone(_: Path) -> list[str]:
        return ["gone.sql"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checksums, "names", gone)
        assert call(directory, "seal") == 1
    assert "gone.sql cannot be read: No such file or directory." in capsys.readouterr().err


def test_a_new_file_that_cannot_be_written(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "007_x.py").mkdir()
    assert call(directory, "new", "x") == 1
    assert capsys.readouterr().err == f"{directory}/007_x.py cannot be written: File exists.\n"


@pytest.mark.parametrize("command", ["seal", "verify"])
def test_no_migrations_at_all(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, command) == 1
    assert capsys.readouterr().err.startswith(f"there are no migrations in {tmp_path}.\nCopy the files there")


def test_seal_refuses_what_cannot_run(
    directory: Path, write: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write("migrations/007_x.py", "x = 1\n")
    assert call(directory, "seal") == 1
    assert "007_x.py: must define an async up(conn) function" in capsys.readouterr().err
    assert call(directory, "seal", "008", "009") == 1
    assert "there is no migration 008, 009 in " in capsys.readouterr().err
    with (directory / "CHECKSUMS").open("a") as file:
        file.write("<<<<<<< main\n")
    assert call(directory, "seal", "001") == 1
    assert "CHECKSUMS, line 7 is not a line of sha256sum: '<<<<<<< main'. Fix it first" in capsys.readouterr().err


def test_seal_makes_the_file_where_there_is_none(
    tmp_path: Path, write: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("1000_c.py", "999_b.py", "001_a.py"):
        write(name, "SELECT 1")
    assert call(tmp_path, "seal") == 0
    assert [line.split()[1] for line in (tmp_path / "CHECKSUMS").read_text().splitlines()] == [
        "001_a.py",
        "999_b.py",
        "1000_c.py",
    ]
    assert capsys.readouterr().out.count("sealed") == 3


def test_verify_finds_each_thing(
    directory: Path, write: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with (directory / "001_create_plants.py").open("a") as file:
        file.write("\n")
    (directory / "002_create_devices.py").unlink()
    write("migrations/7_short.py", "SELECT 1")
    write("migrations/008_no_up.py", "x = 1\n")
    write("migrations/009_syntax.py", "x = (\n")
    sealed, _ = checksums.read(directory)
    for name in ("7_short.py", "008_no_up.py", "009_syntax.py"):
        sealed[name] = checksums.digest(directory / name)
    checksums.write(directory, sealed)
    with (directory / "CHECKSUMS").open("a") as file:
        file.write(f"nonsense\n{'0' * 64}  003_create_telemetry.py\n")
    assert call(directory, "verify") == 1
    assert capsys.readouterr().out.splitlines() == [
        "7_short.py: the version is written 007, with three digits or more",
        "008_no_up.py: must define an async up(conn) function; it has none. [PM05]",
        "009_syntax.py, line 1: does not parse: '(' was never closed",
        "    x = ( [PM04]",
        "CHECKSUMS, line 10: is not a line of sha256sum: 'nonsense'",
        "CHECKSUMS, line 11: names 003_create_telemetry.py again",
        "001_create_plants.py: is not what it was when it was sealed: put it back, and add another migration",
        "002_create_devices.py: is in CHECKSUMS, and there is no such file",
        "8 migrations: 7 findings",
    ]


@pytest.mark.parametrize(("name", "code"), [("late.py", "PM02"), ("006_again.py", "PM03")])
def test_verify_finds_names(
    directory: Path, write: Callable[[str, str], Path], name: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(f"migrations/{name}", "SELECT 1")
    assert call(directory, "verify", "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["migrations"] == 7
    assert [finding["code"] for finding in report["findings"]] == [code, None]
    assert report["findings"][1]["message"].startswith("is not sealed")


def test_verify_json_of_nothing(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(directory, "verify", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"migrations": 6, "findings": []}


def test_a_directory_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path / "nowhere", "verify") == 1
    assert "cannot read the directory of the migrations" in capsys.readouterr().err

"""The errors of the migration runner as a family: their codes, and how they read."""

from __future__ import annotations

from pathlib import Path

from src.db import errors


def test_codes_do_not_change() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert {kind.code: kind.__name__ for kind in kinds if issubclass(kind, errors.MigrationError)} == {
        "PM00": "MigrationError",
        "PM01": "MigrationDirectoryError",
        "PM02": "MigrationNameError",
        "PM03": "DuplicateVersionError",
        "PM04": "MigrationLoadError",
        "PM05": "MissingUpError",
        "PM06": "UpNotAsyncError",
        "PM07": "MigrationSqlError",
        "PM08": "MigrationCodeError",
        "PM09": "TransactionEndedError",
        "PM10": "SwallowedErrorError",
        "PM11": "InvalidIndexError",
        "PM12": "LockTimeoutError",
        "PM13": "DatabaseUnavailableError",
        "PM14": "ConnectionLostError",
        "PM15": "HistoryError",
    }
    assert len(kinds) == 16


def test_the_text_starts_with_the_place_and_ends_with_the_page() -> None:
    error = errors.MigrationCodeError("up raised KeyError", file=Path("somewhere/007_x.py"), line=3)
    assert str(error) == "007_x.py, line 3: up raised KeyError\n[PM08] Background: docs/errors.md#pm08"
    assert error.page == "docs/errors.md#pm08"
    error = errors.MigrationCodeError("up raised KeyError", file=Path("007_x.py"))
    assert str(error).startswith("007_x.py: up raised KeyError\n")
    assert str(errors.MigrationCodeError("no file")).startswith("no file\n")


def test_an_error_carries_what_postgresql_said() -> None:
    parts = {"sqlstate": "42703", "detail": "the detail", "hint": "the hint"}
    error = errors.MigrationSqlError("no such column", file=Path("007_x.py"), line=3, **parts)
    assert {name: getattr(error, name) for name in parts} == parts
    assert error.args == ("no such column",)
    assert error.undone is False

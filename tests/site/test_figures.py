"""The figures of `make mutants` and `make lies`: what is recorded of them, and what the pages say of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import verification
from figures import LIES, MUTANTS, Figures, code_number, links
from mutants.mutant import Mutant
from mutants.report import subjects

FOUND: dict[str, Any] = {
    "date": "2026-11-08",
    "postgresql": "18.6",
    "mutants": 2010,
    "killed": 1999,
    "reviewed": 10,
    "shown_in": {
        "functions": {"src.garden.water": {"gone.md": ["top[1]"], "water.md": ["cans[1]", "cans[2]", "hoses[1]"]}},
        "errors": {"DroughtError": {"water.md": ["top[1]"]}},
        "settings": {},
    },
}
TOLD = {"date": "2026-11-09", "postgresql": "18.6", "lies": 1050, "caught": 1000, "covered": 30, "free": 20}
BLOCK = {"line": 3, "kind": "sql", "status": "passed", "hidden": False, "key": "", "versions": {}}
PAGES = {"water.md": [{**BLOCK, "id": name} for name in ("top[1]", "cans[1]", "cans[2]")]}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    source = tmp_path / "backend" / "src" / "garden.py"
    source.parent.mkdir(parents=True)
    source.write_text("a = 1\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / MUTANTS).write_text(json.dumps({**FOUND, "code": code_number(tmp_path)}))
    (tmp_path / LIES).write_text(json.dumps(TOLD))
    return tmp_path


def test_the_figures_are_shown_with_their_dates(project: Path) -> None:
    text = verification.text(PAGES, "18.6", Figures.read(project))
    # A share is rounded down: 100 % are all.
    assert "([make mutants](contributing/mutants.md)) | 2,000 | 99.9 % | 8 November 2026, PostgreSQL 18.6 |" in text
    assert "([make lies](contributing/lies.md)) | 1,000 | 100 % | 9 November 2026, PostgreSQL 18.6 |" in text
    assert "Not counted: 10 changes of the code" in text
    assert "has changed since" not in text

    (project / "backend" / "src" / "garden.py").write_text("a = 2\n")
    assert "The backend has changed since." in verification.text(PAGES, "18.6", Figures.read(project))


def test_one_figure_is_shown_without_the_other(project: Path) -> None:
    (project / LIES).unlink()
    text = verification.text(PAGES, "18.6", Figures.read(project))
    assert "make mutants" in text
    assert "make lies" not in text


def test_without_figures_the_page_has_none(tmp_path: Path) -> None:
    assert verification.text(PAGES, "18.6", Figures.read(tmp_path)) == verification.text(PAGES, "18.6")


def test_what_fails_when_something_changes(project: Path) -> None:
    figures = Figures.read(project)
    html = verification.with_tables(
        verification.text(PAGES, "18.6", figures), PAGES, {"water.md": "water.html"}, figures
    )
    # Blocks under one heading are one place; what no longer stands on its page is left out.
    assert '<td><code>src.garden.water</code></td><td>water: <a href="water.html#cans">#cans</a></td>' in html
    assert '<td><code>DroughtError</code></td><td>water: <a href="water.html">top</a></td>' in html
    assert "What fails when a setting changes" not in html


def test_no_link_to_a_page_that_is_gone(project: Path) -> None:
    assert links(Figures.read(project).blocks("functions", "src.garden.water"), {}, {}) == ""


@pytest.mark.parametrize(
    ("function", "before", "expected"),
    [
        ("", "a = 1", []),
        ("run.inner", "a = 1", [("functions", "src.db.garden.run")]),
        ("Garden.water.inner", "a = 1", [("functions", "src.db.garden.Garden.water")]),
        ("", "raise HistoryError(a)", [("errors", "HistoryError")]),
        ("HistoryError", 'code = "PM15"', [("functions", "src.db.garden.HistoryError"), ("errors", "HistoryError")]),
        (
            "",
            'f"PLANTOPS_PORT is {port}, not DATABASE_URL"',
            [("settings", "DATABASE_URL"), ("settings", "PLANTOPS_PORT")],
        ),
    ],
)
def test_what_a_mutant_is_a_change_of(function: str, before: str, expected: list[tuple[str, str]]) -> None:
    assert list(subjects(Mutant("db/garden.py", function, 0, 1, "", 1, (1, 1), before, ""))) == expected

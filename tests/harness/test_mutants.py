"""Mutants: which are made of a file, what the tests of a small project make of them, and what is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.project import Project
from mutants.mutant import mutants_of, statement_lines
from mutants.reviewed import LIST, ReviewError, read_reviews
from trials.branch import BranchError, changed_lines

GARDEN = """\
import sys

HOUR = 7


def thirsty(ago: int) -> bool:
    return (
        ago >= 9
    )


def counted(left: int) -> int:
    while left > 1:
        left -= 1
    return left


def forgotten() -> str:
    return "no test asks"


def careless() -> None:
    assert True  # pragma: no mutate


if sys.argv[1:] == ["thirsty"]:
    print(thirsty(HOUR))
"""

TEST = """\
import os
import subprocess
import sys

import pytest

from src.garden import HOUR, counted


def test_hour():
    assert HOUR == 7


def test_counted():
    assert counted(3) == 1


@pytest.fixture
def environment():
    return {**os.environ}


def test_thirsty_in_a_process(environment):
    command = [sys.executable, "-m", "src.garden", "thirsty"]
    ran = subprocess.run(command, cwd="backend", env=environment, capture_output=True, text=True)
    assert ran.stdout == "False\\n"


def test_that_fails():
    assert False
"""


@pytest.fixture
def garden(tmp_path: Path) -> Project:
    """A project with one module, its tests, and a page that says nothing of it."""
    project = Project(tmp_path / "project", copied=("backend",))
    project.write("page.md", "# Ferns\n")
    (project.directory / "backend/src/garden.py").write_text(GARDEN)
    for test in (project.directory / "backend/tests").glob("test_*.py"):
        test.unlink()
    (project.directory / "backend/tests/test_garden.py").write_text(TEST)
    return project


def run(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**project.environment, "PYTHONPATH": "backend:tests:docs"}
    command = [sys.executable, "-m", "mutants", *arguments]
    return subprocess.run(
        command, cwd=project.directory, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_each_change_is_tried_and_what_nobody_notices_is_told(garden: Project) -> None:
    ran = run(garden, "--record", "backend/src/garden.py")
    assert (ran.returncode, ran.stderr) == (1, ""), ran.stdout + ran.stderr
    told = json.loads((garden.directory / "build/mutants.json").read_text())["mutants"]
    found = {(one["before"], one["after"]): one["verdict"] for one in told}
    assert found == {
        ("HOUR = 7", "HOUR = 8"): "a test failed",
        ("HOUR = 7", "HOUR = None"): "a test failed",
        ("ago >= 9", "ago > 9"): "survived",
        ("ago >= 9", "ago >= 10"): "survived",
        ("while left > 1:", "while left >= 1:"): "a test failed",
        ("while left > 1:", "while left > 2:"): "a test failed",
        ("left -= 1", "left = 1"): "survived",
        ("left -= 1", "left += 1"): "a test did not end",
        ("left -= 1", "left -= 2"): "survived",
        ('return "no test asks"', 'return "XXno test asksXX"'): "no test reaches it",
        ('if sys.argv[1:] == ["thirsty"]:', 'if sys.argv[1:] != ["thirsty"]:'): "a test failed",
        ('if sys.argv[1:] == ["thirsty"]:', 'if sys.argv[2:] == ["thirsty"]:'): "a test failed",
        ('if sys.argv[1:] == ["thirsty"]:', 'if sys.argv[1:] == ["XXthirstyXX"]:'): "a test failed",
        ("print(thirsty(HOUR))", "print(thirsty(None))"): "a test failed",
        ("print(thirsty(HOUR))", "print(None)"): "a test failed",
    }
    assert "backend/tests/test_garden.py::test_that_fails" in ran.stdout
    assert "backend/src/garden.py:19: no test reaches it, and no page notices\n" in ran.stdout
    figures = json.loads((garden.directory / "docs/mutants.json").read_text())
    assert (figures["files"], figures["mutants"], figures["noticed"]) == (["backend/src/garden.py"], 15, 10)
    assert [one["line"] for one in figures["survivors"]] == [8, 8, 14, 14, 19]
    assert (garden.directory / "backend/src/garden.py").read_text() == GARDEN


def test_what_is_made_leaves_declarations_and_pragmas_alone() -> None:
    source = GARDEN.replace("7", "7  # pragma: no mutate")
    assert not [mutant for mutant in mutants_of("garden.py", source) if "pragma" in mutant.before]
    assert not mutants_of("garden.py", '__all__ = [\n    "thirsty",\n]\n')
    parts = [mutant.apply(source) for mutant in mutants_of("garden.py", source)]
    assert len({*parts, source}) == len(parts) + 1


def test_a_change_within_several_indented_lines() -> None:
    source = 'def f(x):\n    if x:\n        return g(\n            (x + 1), "é"\n        )\n'
    changes = {mutant.after for mutant in mutants_of("f.py", source) if mutant.line == 4}
    assert {'(x - 1), "é"', '(x + 2), "é"', '(x + 1), "XXéXX"'} <= changes


def test_the_lines_of_a_statement() -> None:
    source = (
        "def f():\n    if (1 and\n        2):\n        pass\n    match 1:\n        case 1:\n            x = [\n1]\n"
    )
    lines = {line: [*statement_lines(source, line)] for line in range(1, 9)}
    assert lines == {
        1: [*range(1, 9)],
        2: [2, 3],
        3: [2, 3],
        4: [4],
        5: [5],
        6: [5],
        7: [7, 8],
        8: [7, 8],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[mutant]]\nfile = "a.py"\nbefore = "x"\nafter = "y"', "entry 1 lacks one of"),
        ('[[mutant]]\nfile = "a.py"\nbefore = "x"\nafter = "y"\nreason = "z"\n' * 2, "entry 2 stands twice"),
        ("[[mutant", r"reviewed\.toml: "),
    ],
)
def test_a_list_of_reviews_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / LIST).parent.mkdir(parents=True)
    (tmp_path / LIST).write_text(text)
    with pytest.raises(ReviewError, match=message):
        read_reviews(tmp_path)


def test_the_lines_of_a_branch(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        owner = ("-c", "user.name=fern", "-c", "user.email=fern@example.org")
        subprocess.run(["git", *owner, *arguments], cwd=tmp_path, env=dict(os.environ), check=True)

    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("1\n2\n3\n")
    (tmp_path / "src/same.py").write_text("1\n")
    git("init", "--quiet", "--initial-branch=main")
    git("add", ".")
    git("commit", "--quiet", "--message=Plant")
    (tmp_path / "src/a.py").write_text("1\n3\n4\n5\n")
    assert changed_lines(tmp_path, "main", "src") == {"src/a.py": {3, 4}}
    with pytest.raises(BranchError, match="git cannot compare with weeds"):
        changed_lines(tmp_path, "weeds", "src")

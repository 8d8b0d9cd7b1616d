"""A harness that is sabotaged does not pass its own tests, and the test that fails says which part is broken."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from handbook.postgres import Postgres
from harness.project import Project, Run

TESTS = "tests/harness/test_parts.py"


@dataclass(frozen=True)
class Sabotage:
    """A module of the harness, what is put in at the start of one of its functions, and the test that finds out."""

    module: str
    function: str
    code: str
    found_by: str


SABOTAGES = {
    "compare always true": Sabotage(
        "output",
        "def compare(expected: list[str], actual: list[str]) -> Comparison:",
        "return Comparison(())",
        "test_the_comparison_tells_what_differs",
    ),
    "differences are overlooked": Sabotage(
        "output",
        "def first_difference(self) -> int | None:",
        "return None",
        "test_the_comparison_tells_what_differs",
    ),
    "the evaluator does nothing": Sabotage(
        "run",
        "def evaluate(self, example: Example) -> None:",
        "return",
        "test_the_evaluator_runs_every_kind_of_block",
    ),
    "the run does nothing": Sabotage(
        "run",
        "def _attempt(self, example: Example) -> Outcome:",
        "return Outcome(Status.PASSED)",
        "test_the_evaluator_runs_every_kind_of_block",
    ),
    "the parser returns no blocks": Sabotage(
        "document",
        "def __call__(self, document: Document) -> Iterable[Region]:",
        "document.page = Page(); return",
        "test_the_parser_finds_every_block",
    ),
    "the rendering has no fences": Sabotage(
        "rendering",
        "def _fences(self, lines: list[str], blocks: list[tuple[int, str]], offset: int) -> list[Fence]:",
        "return []",
        "test_the_parser_finds_every_block",
    ),
    "fences that are no blocks are overlooked": Sabotage(
        "fences",
        "def wrong_fences(rendering: Rendering, lines: Sequence[str]) -> Iterator[tuple[int, str]]:",
        "return",
        "test_every_fence_is_accounted_for",
    ),
    "reasons are not asked for": Sabotage(
        "page",
        "def _bind_reason(page: Page, comment: _Comment, lines: list[str]) -> None:",
        'comment = replace(comment, rest=comment.rest.strip() or "none")',
        "test_a_skip_needs_a_reason",
    ),
    "the proof is written without running": Sabotage(
        "run",
        "def _attempt(self, example: Example) -> Outcome:",
        "return Outcome(Status.PASSED)",
        "test_the_proof_is_of_what_ran",
    ),
    "the proof says that all has passed": Sabotage(
        "proof",
        "def entries_of(block: Block, outcome: Outcome) -> list[dict[str, Any]]:",
        "outcome = Outcome(Status.PASSED, outcome.output)",
        "test_the_proof_is_of_what_ran",
    ),
}


def run_own_tests(project: Project, name: str) -> Run:
    return project.pytest("-rA", TESTS, "-k", name)


def insert(path: Path, function: str, code: str) -> None:
    """Put code at the start of a function, below its docstring."""
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(rf'(?s)(\n( *){re.escape(function)}\n)((?: *""".*?"""\n)?)')
    assert len(pattern.findall(text)) == 1, f"{path.name} has no {function}"
    path.write_text(pattern.sub(lambda m: f"{m[1]}{m[3]}{m[2]}    {code}\n", text), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", SABOTAGES.values(), ids=SABOTAGES)
def test_a_sabotaged_harness_is_found_out(sabotage: Sabotage, tmp_path: Path, postgres: Postgres) -> None:
    assert postgres.run
    project = Project(tmp_path / "project", copied=("tests",))
    module = project.directory / "tests" / "handbook" / f"{sabotage.module}.py"
    insert(module, sabotage.function, sabotage.code)
    if "replace(" in sabotage.code:
        module.write_text(module.read_text().replace("from dataclasses import ", "from dataclasses import replace, "))
    run = run_own_tests(project, sabotage.found_by)
    assert run.status == 1, run.output
    assert re.search(rf"(?m)^FAILED {TESTS}::{sabotage.found_by}\b", run.output), run.output
    assert "AssertionError: " in run.output


@pytest.mark.slow
def test_a_harness_that_works_passes(tmp_path: Path, postgres: Postgres) -> None:
    assert postgres.run
    project = Project(tmp_path / "project", copied=("tests",))
    run = run_own_tests(project, "parser or skip")
    assert run.status == 0, run.output

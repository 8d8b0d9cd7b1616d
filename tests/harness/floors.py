"""What each stage of the checks must have run at the least: a stage that runs less fails, however green it is.

    python -m harness.floors STAGE

A stage writes what it runs to ``build/ran/STAGE.xml``. This compares that with the floor, and deletes it, so that no
later run can pass by it. A stage that is left out has reached its floor before, on the same files. Raise a floor when
tests are added; lower one only together with the tests that go.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from harness import unchanged

ROOT = Path(__file__).resolve().parents[2]
RAN = Path("build") / "ran"
COVERAGE = 100
"""Percent of the branches of backend/src that its own tests reach."""

# For each stage, the directories of its tests, and how many cases of each it must have run.
FLOORS = {
    "pages": {"backend/tests": 60, "tests/commands": 5, "tests/prose": 110, "tests/site": 40},
    "site": {"tests/site": 18},
    "tools": {"tests/commands": 50, "tests/harness": 220},
    "backend": {"backend/tests": 600},
    "browser": {"tests/browser": 200},
    "slow": {"backend/tests": 55, "tests/commands": 4, "tests/harness": 300, "tests/site": 20},
}
# The rules of axe that are on in each test of a page: those of these tags, but for these.
AXE_TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
AXE_OFF = frozenset({"aria-allowed-role"})
# Which stage runs a module that is not slow: the first of these that its path begins with.
STAGES = {
    "tests/site/test_site.py": "site",
    "tests/site/": "pages",
    "tests/prose/": "pages",
    "tests/commands/test_sandbox.py": "pages",
    "backend/tests/test_guides_": "pages",
    "backend/tests/": "backend",
    "tests/browser/": "browser",
    "tests/": "tools",
}
SLOW = "pytestmark = pytest.mark.slow"


def modules_of(directory: Path, stage: str) -> Iterator[str]:
    """Yield the test modules of a directory that have cases of a stage, by their paths in the project.

    Arguments:
        directory: a directory of tests.
        stage: the name of a stage.
    """
    for path in sorted(directory.glob("test_*.py")):
        name = path.relative_to(directory.parents[1]).as_posix()
        text = path.read_text(encoding="utf-8")
        wanted = stage in {"slow", next(found for start, found in STAGES.items() if name.startswith(start))}
        tests = len(re.findall(r"^ *(?:async )?def test_", text, re.MULTILINE))
        is_slow = SLOW in text or text.count("@pytest.mark.slow") == tests
        has_slow = is_slow or "@pytest.mark.slow" in text
        if wanted and (has_slow if stage == "slow" else not is_slow):
            yield name


def ran(report: Path) -> Counter[str]:
    """Return how many cases of each test module were run, or skipped for a reason, from a JUnit report."""
    cases: Counter[str] = Counter()
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest's own
        parts = case.get("classname", "").split(".")
        module = next((number for number, part in enumerate(parts, 1) if part.startswith("test_")), None)
        if module is not None:
            cases["/".join(parts[:module]) + ".py"] += 1
    return cases


def shortfalls(stage: str, cases: Counter[str], root: Path = ROOT) -> Iterator[str]:
    """Yield what a stage has not run.

    Arguments:
        stage: its name.
        cases: how many cases of each module were run.
        root: the project.
    """
    for directory, floor in FLOORS[stage].items():
        count = sum(number for name, number in cases.items() if name.startswith(f"{directory}/"))
        if count < floor:
            yield f"{directory}: {count} cases, and {floor} are the least"
        for name in modules_of(root / directory, stage):
            if not cases[name]:
                yield f"{name}: no case"


def main(stage: str) -> int:
    """Compare what a stage has run with its floor, and return the exit status."""
    report = RAN / f"{stage}.xml"
    if not report.exists() and unchanged.has_passed(stage):
        return 0
    found = [*shortfalls(stage, ran(report), Path.cwd())] if report.exists() else ["it has run no tests"]
    report.unlink(missing_ok=True)
    if stage == "backend" and not found:
        measured = [sys.executable, "-m", "coverage", "report", f"--fail-under={COVERAGE}", "--format=total"]
        told = subprocess.run(measured, stdout=subprocess.PIPE, text=True, check=False)
        if told.returncode:
            found.append(f"coverage is {told.stdout.strip() or 'not measured'}, and must be {COVERAGE} percent")
    for line in found:
        sys.stderr.write(f"The stage {stage} has run too little. {line}.\n")
    if not found:
        unchanged.keep(stage)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

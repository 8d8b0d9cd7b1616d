"""Which tests reach which lines of the backend: one recorded run of them, by coverage with the test as its context."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from coverage import CoverageData

from mutants import recorder
from mutants.mutant import Mutant, is_in_function, statement_lines

CONFIGURATION = """\
[run]
branch = false
patch = subprocess
parallel = true
source_pkgs = src
disable_warnings = couldnt-parse
"""


class ReachError(Exception):
    """The tests could not be run; the text says why."""


@dataclass(frozen=True)
class Reach:
    """Which tests reach which lines.

    Arguments:
        durations: the seconds that each test takes which passes.
        lines: by the path of a file below the checkout, and by line, the tests that reach it.
        others: the tests that fail, or are skipped, with the code as it is.
    """

    durations: Mapping[str, float]
    lines: Mapping[str, Mapping[int, set[str]]]
    others: list[str]

    def tests_of(self, mutant: Mutant, source: str) -> list[str]:
        """The tests that reach a mutant, the quickest first.

        What runs when its file is imported is reached by every test that reaches any line of it, whichever imports it;
        and a test that reaches no line of any file looks at something that an import has made.
        """
        lines = self.lines.get(mutant.file, {})
        if is_in_function(source, mutant.line):
            found = {test for line in statement_lines(source, mutant.line) for test in lines.get(line, ())}
        else:
            found = {test for tests in lines.values() for test in tests} | self._lookers
        return sorted(found, key=lambda test: self.durations[test])

    @cached_property
    def _lookers(self) -> set[str]:
        return set(self.durations).difference(*(tests for lines in self.lines.values() for tests in lines.values()))


def record(copy: Path, tests: Sequence[str], workers: int) -> Reach:
    """Run the tests of a checkout, and see which lines each reaches.

    Arguments:
        copy: the checkout, or a copy of it; the run writes there.
        tests: files of tests, and directories of them.
        workers: processes that run tests.

    Raises:
        ReachError: they do not run.
    """
    configuration, answer = copy / "mutants.coveragerc", copy / "mutants.json"
    configuration.write_text(CONFIGURATION, encoding="utf-8")
    options = ["-m", "not slow", "-q", "-p", "mutants.recorder", "-p", "no:cacheprovider"]
    modules = sum(len([*(copy / test).rglob("test_*.py")]) or 1 for test in tests)
    if min(workers, modules) > 1:
        options += ["-n", str(workers), "--dist", "worksteal"]
    options += ["--cov", f"--cov-config={configuration}", "--cov-context=test", "--cov-report="]
    command = [sys.executable, "-m", "pytest", *tests, *options]
    environment = {**os.environ, recorder.TESTS: str(answer), "PYTHONPATH": "backend:tests:docs"}
    ran = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if not answer.exists() or ran.returncode not in (0, 1):
        raise ReachError(f"the tests do not run:\n{ran.stdout}{ran.stderr}")
    told = json.loads(answer.read_text(encoding="utf-8"))
    data = CoverageData(str(copy / ".coverage"))
    data.read()
    lines: dict[str, dict[int, set[str]]] = {}
    for measured in data.measured_files():
        file = measured.rpartition("/backend/src/")[2]
        by_line = lines.setdefault(f"backend/src/{file}", defaultdict(set))
        for line, contexts in data.contexts_by_lineno(measured).items():
            names = {context.rpartition("|")[0] for context in contexts}
            by_line[line] |= names & told["passed"].keys()
    return Reach(told["passed"], lines, told["others"])

"""The whole suite: the tests that notice what no page does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mutants.book import SOURCE, Book
from mutants.memory import function_of
from mutants.mutant import Mutant
from mutants.reach import executes

TESTS = ("backend/tests", "tests")
# Directories of the checkout that no test needs a copy of.
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".git", ".venv", ".data", "build", ".*_cache")
RECORD = "MUTANTS_RECORD"
LEAST_LIMIT, LIMIT_FACTOR = 30.0, 6.0
# What pytest ends with when every test has run: all passed, or some failed.
COMPLETE = (0, 1)


class SuiteError(Exception):
    """The tests could not be run as they are; the text says why."""


@dataclass(frozen=True)
class Test:
    """One test: its id for pytest, the seconds that it takes, and the lines of the backend that it executes."""

    __test__ = False

    id: str
    seconds: float
    lines: dict[str, list[int]]


def tests_for(book: Book, mutants: Sequence[Mutant], workers: int) -> dict[str, str]:
    """The test that notices each of some mutants, by the mutants' ids; those that none notices are left out.

    Raises:
        SuiteError: the tests do not run to their end with the code as it is.
    """
    if not mutants:
        return {}
    tests = _record(book, workers)

    def notice(mutant: Mutant) -> tuple[str, str]:
        return mutant.id, _noticing(book, mutant, tests)

    with ThreadPoolExecutor(workers) as threads:
        return {name: test for name, test in threads.map(notice, mutants) if test}


def _record(book: Book, workers: int) -> list[Test]:
    """Run every test once with the code as it is, and write down what each that passes executes; the quickest first."""
    with tempfile.TemporaryDirectory() as directory:
        project, records = Path(directory) / "project", Path(directory) / "records"
        records.mkdir()
        _copy(book.project, project)
        arguments = ["-p", "mutants.recorder", "-n", str(workers), *TESTS]
        status = _pytest(project, arguments, {RECORD: str(records)}, None)
        if status not in COMPLETE:
            raise SuiteError(
                f"The tests of {' and '.join(TESTS)} did not run to their end with the code as it is: "
                f"pytest ended with status {status}. Run `make test` to see why."
            )
        entries = [json.loads(line) for file in records.iterdir() for line in file.read_text().splitlines()]
    return sorted((Test(**entry) for entry in entries), key=lambda test: test.seconds)


def _noticing(book: Book, mutant: Mutant, tests: Sequence[Test]) -> str:
    """The first test that fails with a mutant; empty where none does."""
    chosen = [test for test in tests if executes(test.lines, mutant)]
    if function_of(mutant, book.sources[mutant.file]) is None:
        # What runs when a module is imported is of use to every test of the module, in whichever it is imported.
        chosen = [test for test in tests if mutant.file in test.lines]
    if not chosen:
        return ""
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory) / "project"
        _copy(book.project, project)
        (project / SOURCE / mutant.file).write_bytes(mutant.apply(book.sources[mutant.file]))
        limit = LEAST_LIMIT + LIMIT_FACTOR * sum(test.seconds for test in chosen)
        records = Path(directory) / "failed"
        ids = [test.id for test in chosen]
        ended = _pytest(project, ["-x", "-p", "mutants.recorder", *ids], {RECORD: str(records)}, limit)
        if ended == 0:
            return ""
        failed = records / "failed"
        return failed.read_text() if failed.exists() else "the run of the tests"


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=LEFT_OUT, symlinks=True)
    (target / ".venv").symlink_to((source / ".venv").resolve())


def _pytest(project: Path, arguments: Sequence[str], variables: Mapping[str, str], limit: float | None) -> int | None:
    """Run pytest in a copy of the checkout; return its exit status, or None where it did not end."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("HANDBOOK_", "PLANTOPS_", "COV"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=project,
        env={**environment, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

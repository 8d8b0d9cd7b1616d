"""A bench: one worker with a server and a copy of the checkout, which tries one mutant after another."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from handbook.forked import end_children
from handbook.postgres import Postgres, serve_alone
from handbook.process import EndedError, Process
from mutants import suite
from mutants.mutant import Mutant

# Not the backend, which each trial imports anew, changed.
LOADED = ("mutants.suite", "handbook.plugin", "asyncpg", "psutil", "starlette.applications", "uvicorn")
LEFT_OUT = {".git", ".data", "build", ".coverage", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
COPIED = ("backend", "docs")
# A test may take so many times as long as in the recorded run, and so many seconds more.
SLOWNESS, PATIENCE = 5.0, 10.0
PAGES = "docs"
FIRST = 12
# pytest's exit statuses: tests have failed; no test was found for an id.
PASSED, FAILED, NO_TESTS = 0, 1, 5


class Verdict(Enum):
    """What became of a mutant; the value is its name in the report."""

    FAILED = "a test failed"
    HUNG = "a test did not end"
    BROKEN = "the tests could not run"
    SURVIVED = "survived"
    UNREACHED = "no test reaches it"


@dataclass(frozen=True)
class Trial:
    """A mutant, and the tests that reach it with the seconds that each takes, the quickest first."""

    mutant: Mutant
    tests: dict[str, float]


@dataclass(frozen=True)
class Finding:
    """What became of a mutant: by which test, after how many of them and how many seconds."""

    verdict: Verdict
    test: str = ""
    count: int = 0
    seconds: float = 0.0

    @property
    def is_noticed(self) -> bool:
        return self.verdict not in (Verdict.SURVIVED, Verdict.UNREACHED)


def copy_checkout(project: Path, target: Path) -> None:
    """Copy what a mutant can change and what finds itself by its path; the rest is linked."""
    for entry in project.iterdir():
        if entry.name in COPIED:
            shutil.copytree(entry, target / entry.name, symlinks=True)
        elif entry.name not in LEFT_OUT:
            (target / entry.name).symlink_to(entry)


class Bench:
    """Tries mutants of a checkout, on a copy of it.

    Arguments:
        project: the checkout.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self._resources = ExitStack()
        self._begin()

    def _begin(self) -> None:
        self.postgres: Postgres = self._resources.enter_context(serve_alone())
        self.copy = Path(tempfile.mkdtemp(prefix="mutants-", dir=self.postgres.scratch))
        copy_checkout(self.project, self.copy)
        environment = {**os.environ, **self.postgres.shared}
        self.process = Process.start(LOADED, environment)
        self._resources.callback(self.process.end)

    def close(self) -> None:
        """End the bench's server, and its processes."""
        self._resources.close()

    def judge(self, trial: Trial) -> Finding:
        """Run the tests that reach a mutant, up to the first that notices; the pages where there is none."""
        start = time.monotonic()
        path = self.copy / trial.mutant.file
        source = path.read_text(encoding="utf-8")
        write_source(path, trial.mutant.apply(source))
        try:
            finding = self._tried(trial)
        finally:
            write_source(path, source)
            self._tidy()
        seconds = round(time.monotonic() - start, 2)
        return Finding(finding.verdict, finding.test, finding.count, seconds)

    def _tried(self, trial: Trial) -> Finding:
        tests = list(trial.tests)
        # Most changes are noticed by the first few tests: the modules of all the others need not be loaded for them.
        batches = [batch for batch in (tests[:FIRST], tests[FIRST:]) if batch] or [[PAGES]]
        count = 0
        for batch in batches:
            limits = {test: PATIENCE + SLOWNESS * trial.tests[test] for test in batch if test in trial.tests}
            fork = self.process.fork()
            try:
                told = fork.call(suite.run, str(self.copy), batch, limits, PATIENCE if tests else 600.0)
            except EndedError as error:
                # A change can end the process in many ways; all of them are noticed.
                return Finding(Verdict.HUNG if error.status == -signal.SIGALRM else Verdict.BROKEN)
            finally:
                fork.end()
            count += told["count"]
            if told["status"] == FAILED:
                return Finding(Verdict.FAILED, told["failed"] or "", count)
            if told["status"] != PASSED and (tests or told["status"] != NO_TESTS):
                return Finding(Verdict.BROKEN, count=count)
        return Finding(Verdict.SURVIVED if tests else Verdict.UNREACHED, count=count)

    def _tidy(self) -> None:
        """Take away what a trial has left, and begin anew where it has ended the server."""
        try:
            self.process.call(end_children, limit=PATIENCE)
            self.postgres.drop_all()
        except Exception:  # whatever a change has done to them
            with suppress(Exception):
                self._resources.close()
            self._resources = ExitStack()
            self._begin()


def write_source(path: Path, text: str) -> None:
    """Write a module, and forget how it was compiled: within a second, its time and size may be the same."""
    path.write_text(text, encoding="utf-8")
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)

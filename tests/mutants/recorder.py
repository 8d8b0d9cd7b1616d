"""A pytest plugin that writes down, for each test that passes, which lines of the backend it executes.

It writes into the directory that the variable MUTANTS_RECORD names; with -x, the id of the test that failed.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from mutants.book import Book
from mutants.reach import Recording
from mutants.suite import RECORD


class Recorder:
    """Records every test of one process.

    Args:
        directory: where it writes.
        stops: whether the run stops at the first failure, so that only the failure is of interest.
    """

    def __init__(self, directory: Path, book: Book, *, stops: bool) -> None:
        self.directory = directory
        self.book = book
        self.stops = stops
        self.seconds = 0.0
        self.passed = True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        if self.stops:
            return (yield)
        self.seconds, self.passed = 0.0, True
        with tempfile.TemporaryDirectory() as scratch:
            recording = Recording(Path(scratch))
            with recording.block(0):
                result = yield
            lines = recording.lines(self.book, 0)
        if self.passed:
            entry = {"id": item.nodeid, "seconds": self.seconds, "lines": lines}
            with (self.directory / str(os.getpid())).open("a") as file:
                file.write(json.dumps(entry) + "\n")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds += report.duration
        self.passed = self.passed and report.outcome == "passed"
        if report.failed and self.stops:
            self.directory.mkdir(parents=True, exist_ok=True)
            (self.directory / "failed").write_text(report.nodeid)


def pytest_configure(config: pytest.Config) -> None:
    if RECORD in os.environ:
        stops = bool(config.getoption("maxfail"))
        config.pluginmanager.register(Recorder(Path(os.environ[RECORD]), Book(config.rootpath), stops=stops))

"""What the pages reach: which block executes which lines of the backend, in any of its processes."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import coverage
import psutil

from handbook.workspace import PAGE
from lies.snapshot import unfit
from mutants.book import SOURCE, Book, file_in
from mutants.mutant import Mutant
from mutants.trial import Bench, Report, attempts

CONFIGURATION = f"""\
[run]
include = */{SOURCE.as_posix()}/*
parallel = true
# What executes nothing of the backend is no mistake; pytest makes errors of warnings.
disable_warnings = no-data-collected
"""
STARTS_MEASURING = "COVERAGE_PROCESS_START"
DATA_FILE = "COVERAGE_FILE"
# An outer measurement, of the tests of this package, has set it.
OUTER = "COVERAGE_PROCESS_CONFIG"
# Seconds for the processes that a page leaves running to end, and write down what they executed.
FAREWELL = 3.0
# A copy of a page's state is worth its trouble where so many seconds have passed since the one before.
WORTH = 0.3


@dataclass(frozen=True)
class Reach:
    """What one page reaches.

    Args:
        text: the number of the page's text.
        durations: the seconds that each of its blocks took.
        lines: for each block, the lines that it executed, by the file's path below `backend/src`.
        fit: the blocks above which the state of the page can be copied.
        loaded: the block in which the page's own process has imported a file, by the file's path below `backend/src`.
        failure: what failed with the code as it is; None where the page passes.
    """

    text: str
    durations: list[float]
    lines: list[dict[str, list[int]]]
    fit: list[int] = field(default_factory=list)
    loaded: dict[str, int] = field(default_factory=dict)
    failure: str | None = None

    @cached_property
    def places(self) -> list[int]:
        """The blocks above which it pays to copy the state of the page."""
        places, since = [0], 0.0
        for index, seconds in enumerate(self.durations):
            if index in self.fit and since >= WORTH:
                places.append(index)
                since = 0.0
            since += seconds
        return places

    def start(self, block: int, file: str | None = None) -> int:
        """The last of the places down to a block; with a file of the backend, before the page's process imports it."""
        bound = block if file is None else min(block, self.loaded.get(file, block))
        return max(place for place in self.places if place <= bound)

    def blocks_for(self, mutant: Mutant) -> list[int]:
        """The blocks that execute the statement of a mutant."""
        return [index for index, lines in enumerate(self.lines) if executes(lines, mutant)]


def executes(lines: Mapping[str, Sequence[int]], mutant: Mutant) -> bool:
    """Whether one of the lines that were executed, in ascending order for each file, is of a mutant's statement."""
    first, last = mutant.statement
    executed = lines.get(mutant.file, ())
    at = bisect_left(executed, first)
    return at < len(executed) and executed[at] <= last


@dataclass(frozen=True)
class Measurement:
    """A page to be run with the code as it is, writing down what each block executes."""

    page: str

    def make(self, bench: Bench, report: Report) -> Reach:
        """Run the page in this process."""
        page = bench.book.pages[self.page]
        durations: list[float] = []
        fit: list[int] = []
        loaded: dict[str, int] = {}
        failure = None
        with tempfile.TemporaryDirectory() as directory, bench.page_run(page, {}) as page_run:
            recording = Recording(Path(directory))
            tries = attempts(bench, page, page_run, report)
            for index in range(len(page.blocks)):
                if index and unfit(page_run.workspace) is None:
                    fit.append(index)
                with recording.block(index):
                    _, outcome = next(tries)
                durations.append(outcome.duration)
                for module in page_run.workspace.modules.values():
                    if (file := file_in(module.__file__)) is not None:
                        loaded.setdefault(file, index)
                if outcome.failure is not None:
                    failure = f"{page.place(index)}: {outcome.failure.summary}"
                    break
            _say_farewell(str(page_run.workspace.directory))
            lines = [recording.lines(bench.book, index) for index in range(len(durations))]
        return Reach(bench.book.text(page.name), durations, lines, fit, loaded, failure)

    def killed(self, bench: Bench, block: int) -> Reach:
        """The result where a block did not end."""
        page = bench.book.pages[self.page]
        return Reach(bench.book.text(page.name), [], [], failure=f"{page.place(block)}: did not end")


class Recording:
    """Records which lines of the backend are executed, in this process and in those that it starts.

    Args:
        directory: an empty one, for the measurements.
    """

    def __init__(self, directory: Path) -> None:
        self._data = directory / "data"
        self._configuration = directory / "coveragerc"
        self._configuration.write_text(CONFIGURATION)

    @contextmanager
    def block(self, number: int) -> Iterator[None]:
        """Record, under a number, what is executed meanwhile."""
        data = self._data / str(number)
        data.mkdir(parents=True)
        os.environ.pop(OUTER, None)
        os.environ[STARTS_MEASURING] = str(self._configuration)
        os.environ[DATA_FILE] = str(data / "executed")
        here = coverage.Coverage(config_file=str(self._configuration), data_file=str(data / "executed"))
        here.start()
        try:
            yield
        finally:
            here.stop()
            here.save()

    def lines(self, book: Book, number: int) -> dict[str, list[int]]:
        """The lines that were recorded under a number, by the file's path below `backend/src`, in ascending order."""
        found: dict[str, set[int]] = {}
        for file in (self._data / str(number)).iterdir():
            data = coverage.CoverageData(str(file))
            # A process that was killed leaves none, or half of one.
            with suppress(coverage.CoverageException):
                data.read()
                for name in data.measured_files():
                    if (inside := file_in(name)) in book.sources:
                        found.setdefault(inside, set()).update(data.lines(name) or ())
        return {name: sorted(lines) for name, lines in sorted(found.items())}


def _say_farewell(directory: str) -> None:
    """End the processes that a page has left running in such a way that they write down what they executed."""
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(PAGE) == directory:
                process.send_signal(signal.SIGTERM)
                left.append(process)
    end = time.monotonic() + FAREWELL
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in left) and time.monotonic() < end:
        time.sleep(0.01)


def save(path: Path, backend: str, reaches: dict[str, Reach]) -> None:
    """Keep what was measured, for the next run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pages: dict[str, Any] = {name: asdict(reach) for name, reach in reaches.items()}
    path.write_text(json.dumps({"backend": backend, "pages": pages}), encoding="utf-8")


def load(path: Path, book: Book) -> dict[str, Reach]:
    """What an earlier run has measured of pages and code that are the same now."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if kept["backend"] != book.backend:
        return {}
    reaches = {name: Reach(**value) for name, value in kept["pages"].items() if name in book.pages}
    return {name: reach for name, reach in reaches.items() if reach.text == book.text(name) and reach.failure is None}

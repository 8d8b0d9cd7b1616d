"""Batches: many mutants tried on one page, each from a snapshot of the page above the block that may notice it.

What the page does up to there is done once for all of them. That a snapshot is faithful is seen each time: the page as
it is must run from it as far as any mutant came. Where it does not, and where none can be taken, a mutant has no
result, and is to be tried alone.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass

import asyncpg

from handbook.run import PageRun
from lies.fork import Copy, WorkError
from lies.orphans import kill_descendants
from lies.snapshot import Snapshot, SpoiltError, still, unfit
from mutants import memory
from mutants.book import file_in
from mutants.mutant import Mutant
from mutants.trial import Bench, Report, Result, attempts, write_changes

SPOILT = "spoilt"


@dataclass(frozen=True)
class Try:
    """One mutant of a batch.

    Args:
        mutant: the mutant.
        start: the block, from 0, above which nothing has to be run again.
        last: the block after which to stop.
    """

    mutant: Mutant
    start: int
    last: int


@dataclass(frozen=True)
class Batch:
    """Mutants to be tried on one page, one after the other.

    Args:
        page: its name.
        tries: the mutants.
    """

    page: str
    tries: tuple[Try, ...]

    def make(self, bench: Bench, report: Report) -> list[Result | None]:
        """Run the page in this process, and each mutant in a copy of it."""
        starting: dict[int, list[Try]] = defaultdict(list)
        for one in self.tries:
            starting[one.start].append(one)
        found: dict[str, Result] = {}
        page = bench.book.pages[self.page]
        with bench.page_run(page, {}) as page_run:
            blocks = attempts(bench, page, page_run, report)
            at = 0
            for start, tries in sorted(starting.items()):
                while at < start:
                    at += 1
                    if next(blocks)[1].failure is not None:
                        return [found.get(one.mutant.id) for one in self.tries]
                if not start:
                    page_run.open()
                if unfit(page_run.workspace) is None:
                    results = _Halt(bench, self.page, page_run, start, report).results(tries)
                    found |= {one.mutant.id: result for one, result in zip(tries, results, strict=True) if result}
        return [found.get(one.mutant.id) for one in self.tries]

    def killed(self, _bench: Bench, _block: int) -> list[Result | None]:
        """The results where the page's process had to be killed: none."""
        return [None] * len(self.tries)


class _Halt:
    """A page that halts before one of its blocks."""

    def __init__(self, bench: Bench, page: str, page_run: PageRun, start: int, report: Report) -> None:
        self.bench = bench
        self.page = bench.book.pages[page]
        self.page_run = page_run
        self.workspace = page_run.workspace
        self.start = start
        self.report = report
        self.snapshot = Snapshot(self.workspace, start)

    def results(self, tries: list[Try]) -> list[Result | None]:
        """What becomes of some mutants from here on; the page is then as it was."""
        still(self.workspace)
        self.snapshot.take()
        still(self.workspace)
        none: list[Result | None] = [None] * len(tries)
        try:
            results: list[Result | None] = [self._result(one.mutant, one.last) for one in tries]
            furthest = max(
                one.last if result is None or result.failed is None else result.failed
                for one, result in zip(tries, results, strict=True)
            )
            control = self._result(None, furthest)
            self.snapshot.restore_files()
            self.snapshot.restore_database()
        except SpoiltError:
            return none
        self.snapshot.forget()
        return results if control is not None and control.failed is None else none

    def _result(self, mutant: Mutant | None, last: int) -> Result | None:
        """What becomes of a mutant, or of the page as it is.

        Raises:
            SpoiltError: the server cannot be put back.
        """
        self.snapshot.restore_files()
        if mutant is not None:
            write_changes(self.workspace, {mutant.file: mutant.apply(self.bench.book.sources[mutant.file])})
        limit = sum(2 * self.bench.limit(self.page.name, index) for index in range(self.start, last + 1))
        try:
            result = Copy(lambda: self._run(mutant, last)).result(limit)
        except WorkError:
            return None
        finally:
            kill_descendants()
        if isinstance(result, str):
            raise SpoiltError
        return result

    def _run(self, mutant: Mutant | None, last: int) -> Result | str:
        """Run the page from here to a block, in this copy of its process.

        Raises:
            LookupError: the process has imported what the mutant changes, and it cannot be changed there.
        """
        for module in self.workspace.modules.values():
            if mutant is not None and file_in(module.__file__) == mutant.file:
                memory.change(module, mutant, self.bench.book.sources[mutant.file])
        try:
            self.snapshot.restore_database()
        except SpoiltError:
            return SPOILT
        started = time.perf_counter()
        at = self.start
        try:
            for index, outcome in attempts(self.bench, self.page, self.page_run, self.report, self.start):
                at = index
                if outcome.failure is not None:
                    failure = outcome.failure
                    return Result(index, failure.line, failure.summary, time.perf_counter() - started)
                if index == last:
                    break
        except Exception as error:
            line = self.page.blocks[at].line
            return Result(at, line, f"{type(error).__name__}: {error}", time.perf_counter() - started)
        finally:
            for value in list(self.workspace.namespace.values()):
                if type(value) is asyncpg.Connection and not value.is_closed():
                    value.terminate()
            kill_descendants()
            self.workspace.server.close()
        return Result(None, seconds=time.perf_counter() - started)

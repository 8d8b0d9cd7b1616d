"""Trials: one page run against a changed backend, in a process of its own that leaves nothing behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

import asyncpg

from handbook import program, run
from handbook.database import RUN, Server
from handbook.run import Outcome, PageRun
from handbook.workspace import Workspace
from lies.snapshot import cluster
from mutants.book import SOURCE, Book, TestedPage
from mutants.mutant import Mutant, apply_all
from src.db.server import ServerError

# Seconds that a block may take: these, and so many times what it took with the code as it is.
LEAST_LIMIT = 3.0
LIMIT_FACTOR = 4.0


# Told with the number of each block before it runs.
Report = Callable[[int], None]


@dataclass(frozen=True)
class Result:
    """How a trial ended.

    Args:
        failed: the block, from 0, that failed; None where all passed.
        line: the line of the page that is untrue.
        summary: what is wrong there.
        seconds: how long the page took.
    """

    failed: int | None
    line: int = 0
    summary: str = ""
    seconds: float = 0.0


def write_changes(workspace: Workspace, changed: Mapping[str, bytes]) -> None:
    """Change files of the backend in a page's scratch copy of the checkout."""
    for file, content in changed.items():
        target = workspace.directory / SOURCE / file
        # Not written through: the copy may be a link to the checkout's own file.
        target.unlink(missing_ok=True)
        target.write_bytes(content)


class TrialServer(Server):
    """The run's server, as one trial knows it."""

    @property
    def shared(self) -> dict[str, str]:
        """What leads a page's processes to the server; those that run pages themselves name their databases apart."""
        return {**super().shared, RUN: self._inner}

    @property
    def _inner(self) -> str:
        return f"{self.run}t{os.getpid()}"

    def close(self) -> None:
        """Drop what the page's processes have made and left, and close the connection."""
        self.drop_all(self._inner)
        super().close()


@dataclass
class Bench:
    """Where trials are made, one at a time: a checkout's handbook on a server.

    Args:
        book: the handbook.
        serve: starts a server.
        least_limit: how many seconds every block may take.
        durations: how many seconds each block of a page takes with the code as it is.
    """

    book: Book
    serve: Callable[[], AbstractContextManager[Server]]
    least_limit: float = LEAST_LIMIT
    durations: dict[str, list[float]] = field(default_factory=dict)
    server: Server = field(init=False)
    _cluster: str = ""
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        self.server = self._open.enter_context(self.serve())
        self._cluster = cluster(self.server)
        self.server.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def mend(self) -> bool:
        """Start another server where this one is gone or holds what it did not; say whether it was there still.

        A changed backend can stop the server, or delete its files; and a page that is broken off can leave a role.
        """
        try:
            now = cluster(self.server)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            now = None
        finally:
            self.server.close()
        if now != self._cluster:
            with suppress(OSError, ServerError):
                self._open.close()
            self.__enter__()
        return now is not None

    @contextmanager
    def page_run(self, page: TestedPage, changed: dict[str, bytes]) -> Iterator[PageRun]:
        """Have a page ready to run in this process against changed files of the backend, and clean up after it."""
        # With connections of its own: those of the process that this one was forked from are not its.
        server = TrialServer(self.server.address, self.server.scratch, self.server.environment, self.server.run)
        name = "-".join(page.path.relative_to(self.book.project / "docs").with_suffix("").parts)
        workspace = Workspace(self.book.project, lambda: server, page.page.database, name)
        page_run = PageRun(page.path, page.blocks, workspace)
        try:
            if changed:
                write_changes(workspace, changed)
            yield page_run
        finally:
            try:
                page_run.close()
            finally:
                server.close()

    def limit(self, page: str, index: int) -> float:
        """How many seconds a block may take."""
        known = self.durations.get(page)
        return self.least_limit + LIMIT_FACTOR * known[index] if known else program.TIME_LIMIT


@dataclass(frozen=True)
class Trial:
    """One page to be run against a backend with some changes.

    Args:
        page: its name.
        mutants: the changes, which do not overlap.
        last: the block, from 0, after which to stop; None for the whole page.
    """

    page: str
    mutants: tuple[Mutant, ...]
    last: int | None = None

    def make(self, bench: Bench, report: Report) -> Result:
        """Run the page in this process, until a block fails."""
        page = bench.book.pages[self.page]
        files = {mutant.file for mutant in self.mutants}
        changed = {
            file: apply_all([m for m in self.mutants if m.file == file], bench.book.sources[file]) for file in files
        }
        started = time.perf_counter()
        at = 0
        try:
            with bench.page_run(page, changed) as page_run:
                for index, outcome in attempts(bench, page, page_run, report):
                    at = index
                    if outcome.failure is not None:
                        failure = outcome.failure
                        return Result(index, failure.line, failure.summary, time.perf_counter() - started)
                    if index == self.last:
                        break
        except Exception as error:
            return Result(at, page.blocks[at].line, f"{type(error).__name__}: {error}", time.perf_counter() - started)
        return Result(None, seconds=time.perf_counter() - started)

    def killed(self, bench: Bench, block: int) -> Result:
        """The result where the page's process had to be killed, or ended itself, in a block."""
        return Result(block, bench.book.pages[self.page].blocks[block].line, "did not end, or ended the whole run")


def attempts(
    bench: Bench, page: TestedPage, page_run: PageRun, report: Report, start: int = 0
) -> Iterator[tuple[int, Outcome]]:
    """Run a page's blocks, one after the other; what is not asked for does not run."""
    for index, block in enumerate(page.blocks[start:], start):
        report(index)
        # The harness's own limit is for pages that a person writes; a changed program hangs often.
        program.TIME_LIMIT = run.TIME_LIMIT = bench.limit(page.name, index)  # type: ignore[attr-defined]
        yield index, page_run.reach(block, page_run.evaluate)

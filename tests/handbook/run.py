"""Running a page: its blocks in order, each once, however they are selected."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import FrameType

from handbook.block import Block, Kind
from handbook.database import DatabaseError
from handbook.failure import BlockError
from handbook.files import check_data, write_file
from handbook.output import Expected, compare, lines_of
from handbook.program import TIME_LIMIT, run_bash, run_console, run_sql
from handbook.python import run_python, run_session
from handbook.workspace import Workspace

# The ways in which Python comes to the page's database. A page with none of them, and no other kind of block that
# could use it, costs no database.
REACHES_DATABASE = re.compile(r"\b(conn|src|asyncpg|environ|getenv|subprocess)\b")
# Python that has none of these computes and prints: it can reach no file, variable, module or process.
REACHES_OUT = re.compile(r"\b(import|open|exec|eval|compile|breakpoint|input|conn)\b|__")
COMPUTES = {Kind.PYTHON, Kind.PYCON, Kind.DATA}
USES_DATABASE = {Kind.SQL, Kind.CONSOLE, Kind.BASH}


class Status(Enum):
    """What became of a block; the value is its name in the proof."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"
    NOT_REACHED = "not reached"


@dataclass(frozen=True)
class Outcome:
    """What became of a block: what it printed, how long it took in seconds, and why it did not pass."""

    status: Status
    output: str = ""
    duration: float = 0.0
    failure: BlockError | None = None
    blocked_by: Block | None = None


@dataclass(frozen=True)
class Edit:
    """Lines of a page to be replaced: those from `line`, `count` of them, each behind `prefix`."""

    line: int
    count: int
    prefix: str
    lines: list[str]


@dataclass
class PageRun:
    """One page being run.

    Args:
        path: the page.
        blocks: its blocks.
        workspace: where they run.
        updating: collect edits that bring expected output up to date, instead of failing.
        outcomes: what became of the blocks that have run in this workspace already.
    """

    path: Path
    blocks: list[Block]
    workspace: Workspace
    updating: bool = False
    edits: list[Edit] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        blocks = [block for block in self.blocks if block.kind is not Kind.SHOWN]
        self._waiting = [block for block in blocks if block.id not in self.outcomes]
        self._failed: Block | None = None
        self._uses_database = any(_uses_database(block) for block in blocks)
        self._uses_workspace = any(_uses_workspace(block) for block in blocks)

    def open(self) -> None:
        """Make what the page needs before its first block does."""
        if self._uses_database:
            _ = self.workspace.database_url
        if self._uses_workspace:
            _ = self.workspace.directory

    def reach(self, block: Block, evaluate: Callable[[Block], None]) -> Outcome:
        """Run the blocks of the page up to this one, those that have not run yet, and say what became of it.

        Args:
            evaluate: runs one block; `evaluate` of this class, by way of Sybil.
        """
        while block.id not in self.outcomes:
            following = self._waiting.pop(0)
            outcome = self._attempt(following, evaluate)
            self.outcomes[following.id] = outcome
            if outcome.status is Status.FAILED:
                self._failed = following
        return self.outcomes[block.id]

    def _attempt(self, block: Block, evaluate: Callable[[Block], None]) -> Outcome:
        if block.reason is not None:
            return Outcome(Status.NOT_RUN)
        if self._failed is not None:
            return Outcome(Status.NOT_REACHED, blocked_by=self._failed)
        self._printed = ""
        start = time.perf_counter()
        try:
            evaluate(block)
        except BlockError as failure:
            return Outcome(Status.FAILED, self._printed, time.perf_counter() - start, failure)
        return Outcome(Status.PASSED, self._printed, time.perf_counter() - start)

    def evaluate(self, block: Block) -> None:
        """Run one block in the page workspace and compare what it prints with what the page shows.

        Raises:
            BlockError: it did not do what the page says.
        """
        try:
            if self._uses_database:
                _ = self.workspace.database_url
            with self.workspace.active() if self._uses_workspace else nullcontext(), _time_limit(block):
                self._printed = self._run(block)
        except DatabaseError as error:
            message = str(error).split("\n")
            raise BlockError(block.line, "the page's database cannot be made", message) from None
        if block.output is not None:
            self._check(block, Expected.at(block.output.line + 1, block.output.text), lines_of(self._printed))

    def _run(self, block: Block) -> str:
        def check(expected: Expected, actual: list[str]) -> None:
            self._check(block, expected, actual)

        if block.kind is Kind.PYTHON:
            return run_python(block, self.path, self.workspace)
        if block.kind is Kind.PYCON:
            return run_session(block, self.path, self.workspace, check)
        if block.kind is Kind.SQL:
            return run_sql(block, self.workspace)
        if block.kind is Kind.BASH:
            return run_bash(block, self.workspace)
        if block.kind is Kind.CONSOLE:
            return run_console(block, self.workspace, check)
        if block.kind is Kind.FILE:
            write_file(block, self.path, self.workspace)
        else:
            check_data(block, block.fence.language)
        return ""

    def _check(self, block: Block, expected: Expected, actual: list[str]) -> None:
        comparison = compare(expected.lines, actual)
        place = comparison.first_difference
        if place is None:
            return
        if self.updating:
            prefix = (block.output or block.fence).prefix
            self.edits.append(Edit(expected.line, expected.count, prefix, comparison.updated()))
            return
        covered = ", ~ what ... stands for" if any(step.covered for step in comparison.steps) else ""
        summary = f"the output differs (- is what the page shows, + what was printed{covered})"
        raise BlockError(expected.number(place), summary, comparison.difference(), outdated=True)

    def close(self) -> None:
        """End the page's workspace."""
        self.workspace.close()


def _uses_database(block: Block) -> bool:
    if block.reason is not None:
        return False
    return block.kind in USES_DATABASE or REACHES_DATABASE.search(block.text) is not None


def _uses_workspace(block: Block) -> bool:
    """Whether a block could tell that it runs in a workspace; a page without such blocks is not given one."""
    return block.reason is None and (block.kind not in COMPUTES or REACHES_OUT.search(block.text) is not None)


@contextmanager
def _time_limit(block: Block) -> Iterator[None]:
    """Fail a block whose Python does not end; programs have the limit of `program` as well."""

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise BlockError(block.first_line, f"did not end within {TIME_LIMIT:.0f} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT + 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

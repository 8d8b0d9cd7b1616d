"""Running a page: its blocks in order, each once, however they are selected."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path

import pytest
from sybil import Document, Example
from sybil.example import NotEvaluated

from handbook.block import Block, BlockError, Kind
from handbook.output import Expected, compare, lines_of
from handbook.postgres import DatabaseError
from handbook.workshop import Workshop
from handbook.workspace import Workspace


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
    """Lines of a page to be replaced: those from `line`, `count` of them, each behind `prefix`.

    `fresh` are those of the lines that the page did not show before; `kind` is that of the block.
    """

    line: int
    count: int
    prefix: str
    lines: list[str]
    fresh: list[str] = field(default_factory=list)
    kind: Kind = Kind.OUTPUT


class PageRun:
    """One page being run; its document asks it before the evaluator of a block's kind.

    Arguments:
        document: the page.
        database: what the page's database starts with, one of `DATABASES` of `handbook.page`.
        workshop: gives the one that makes the page's workspace.
        examples: the blocks that run, in their order; None for all of the document's, after which the page ends.
        updating: collect edits that bring expected output up to date, instead of failing.
    """

    def __init__(
        self,
        document: Document,
        database: str,
        workshop: Callable[[], Workshop],
        examples: Iterable[Example] | None = None,
        *,
        updating: bool = False,
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.edits: list[Edit] = []
        self.printed = ""
        """What the block that is evaluated has printed."""
        self.more = False
        """Whether another page follows, whose workspace can be made meanwhile."""
        self._waiting = deque(document.examples() if examples is None else examples)
        self._ends = examples is None
        self._document, self._database, self._workshop = document, database, workshop
        self._updating = updating
        self._current: Block | None = None
        self._failed: Block | None = None
        document.namespace["run"] = self
        document.push_evaluator(self.evaluate)

    @classmethod
    def of(cls, example: Example) -> PageRun:
        """The run that an example is part of."""
        run = example.namespace["run"]
        assert isinstance(run, cls)
        return run

    @cached_property
    def workspace(self) -> Workspace:
        """The page's workspace, made when the first of its blocks needs one."""
        return self._workshop().open(Path(self._document.path), self._database, more=self.more)

    def advance(self, until: Block | None = None) -> None:
        """Run the blocks above one, or all of them where none is named, up to the first that fails."""
        while self._waiting and self._failed is None and self._waiting[0].parsed is not until:
            self._next()

    def evaluate(self, example: Example) -> None:
        """Run a block, and those above it that have not run; leave each to its kind's evaluator.

        Raises:
            NotEvaluated: it is this block's turn.
            BlockError: the block failed.
            pytest.skip.Exception: it does not run, or is not reached.
        """
        block: Block = example.parsed
        if block is self._current:
            raise NotEvaluated
        while block.id not in self.outcomes:
            self._next()
        outcome = self.outcomes[block.id]
        if outcome.failure is not None:
            raise outcome.failure
        if outcome.status is Status.NOT_RUN:
            raise pytest.skip.Exception(f"not run: {block.reason}", _use_item_location=True)
        if outcome.blocked_by is not None:
            raise pytest.skip.Exception("not reached", _use_item_location=True)

    def _next(self) -> None:
        example = self._waiting.popleft()
        self.outcomes[example.parsed.id] = self._attempt(example)

    def _attempt(self, example: Example) -> Outcome:
        block: Block = example.parsed
        if block.reason is not None:
            return Outcome(Status.NOT_RUN)
        if self._failed is not None:
            return Outcome(Status.NOT_REACHED, blocked_by=self._failed)
        self._current, self.printed = block, ""
        start = time.perf_counter()
        failure: BlockError | None = None
        try:
            example.evaluate()
            if block.output is not None:
                expected = Expected.at(block.output.line + 1, block.output.text)
                self.check(block, expected, lines_of(self.printed))
            if self._ends and not self._waiting:
                self._leave(block)
        except BlockError as error:
            failure = error
        except DatabaseError as error:
            failure = BlockError(block.line, "the page's database cannot be made", str(error).split("\n"))
        finally:
            self._current = None
        duration = time.perf_counter() - start
        if failure is None:
            return Outcome(Status.PASSED, self.printed, duration)
        self._failed = block
        return Outcome(Status.FAILED, self.printed, duration, failure)

    def check(self, block: Block, expected: Expected, actual: Sequence[str]) -> None:
        """Compare what a block printed with what the page shows.

        Raises:
            BlockError: they differ, and the page is not being brought up to date.
        """
        if expected.is_wild:
            raise BlockError(expected.line, "nothing but ..., which lets everything pass; show a part of the output")
        comparison = compare(expected.lines, list(actual))
        place = comparison.first_difference
        if place is None:
            return
        if self._updating:
            prefix = (block.output or block.fence).prefix
            fresh = [step.actual for step in comparison.steps if step.expected is None and step.actual is not None]
            self.edits.append(Edit(expected.line, expected.count, prefix, comparison.updated(), fresh, block.kind))
            return
        covered = ", ~ what ... stands for" if any(step.covered for step in comparison.steps) else ""
        summary = f"the output differs (- is what the page shows, + what was printed{covered})"
        raise BlockError(expected.number(place), summary, comparison.difference(), outdated=True)

    def _leave(self, block: Block) -> None:
        if changed := self._close_workspace():
            summary = f"the page leaves the server changed: {', '.join(changed)}; take it back in a block of the page"
            raise BlockError(block.first_line, summary)

    def _close_workspace(self) -> list[str]:
        workspace: Workspace | None = self.__dict__.pop("workspace", None)
        return self._workshop().close_page(workspace) if workspace is not None else []

    def close(self) -> None:
        """End the run, and the page's workspace."""
        self._document.namespace.pop("run", None)
        self._document.pop_evaluator(self.evaluate)
        self._close_workspace()

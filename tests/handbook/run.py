"""Running a page: its blocks in order, each once, however they are selected."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

import pytest
from sybil import Example
from sybil.example import NotEvaluated

from handbook.block import Block, Kind
from handbook.failure import BlockError
from handbook.output import Expected, compare, lines_of
from handbook.postgres import DatabaseError
from handbook.workshop import Order, Workshop
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
        examples: the page's blocks that are tested, in their order.
        order: the page's file and database.
        workshop: gives the one that makes the page's workspace.
        updating: collect edits that bring expected output up to date, instead of failing.
        following: the page that comes after this one.
    """

    def __init__(
        self,
        examples: Iterable[Example],
        order: Order,
        workshop: Callable[[], Workshop],
        *,
        updating: bool = False,
        following: Order | None = None,
    ) -> None:
        self.path = order.page
        self.outcomes: dict[str, Outcome] = {}
        self.edits: list[Edit] = []
        self.printed = ""
        """What the block that is evaluated has printed."""
        self._waiting = deque(examples)
        self._order, self._workshop, self._following = order, workshop, following
        self._updating = updating
        self._current: Block | None = None
        self._failed: Block | None = None

    @classmethod
    def of(cls, example: Example) -> PageRun:
        """The run that an example is part of."""
        run = example.namespace["run"]
        assert isinstance(run, cls)
        return run

    def advance(self, block: Block | None = None) -> None:
        """Run the blocks above one, or all of them where none is named, as far as they pass."""
        while self._waiting and self._failed is None and self._waiting[0].parsed is not block:
            example = self._waiting.popleft()
            self.outcomes[example.parsed.id] = self._attempt(example)

    @cached_property
    def workspace(self) -> Workspace:
        """The page's workspace, made when the first of its blocks needs one."""
        return self._workshop().open(*self._order, self._following)

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
            following = self._waiting.popleft()
            self.outcomes[following.parsed.id] = self._attempt(following)
        outcome = self.outcomes[block.id]
        if outcome.failure is not None:
            raise outcome.failure
        if outcome.status is Status.NOT_RUN:
            raise pytest.skip.Exception(f"not run: {block.reason}", _use_item_location=True)
        if outcome.blocked_by is not None:
            raise pytest.skip.Exception("not reached", _use_item_location=True)

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
            if not self._waiting:
                self._leave(block)
        except BlockError as error:
            failure = error
        except DatabaseError as error:
            failure = BlockError(block.line, "the page's database cannot be made", str(error).split("\n"))
        finally:
            self._current = None
        if failure is not None:
            self._failed = block
        status = Status.PASSED if failure is None else Status.FAILED
        return Outcome(status, self.printed, time.perf_counter() - start, failure)

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

    def close(self) -> list[str]:
        """End the page's workspace; return what it leaves changed on the server."""
        workspace = self.__dict__.get("workspace")
        return self._workshop().close_page(workspace) if workspace is not None else []

    def _leave(self, block: Block) -> None:
        if changed := self.close():
            summary = f"the page leaves the server changed: {', '.join(changed)}; take it back in a block of the page"
            raise BlockError(block.first_line, summary)

"""Trials: a page run with a lie in it, up to the first block that fails.

A page is first run as it is (`observe`), which tells what its blocks print, how long each takes, and above which of
them nothing runs that could not be copied. There snapshots are made; from the last one above a lie, the page is run
with the lie in it (`judged`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sybil import Example, Region

from handbook.block import Block
from handbook.document import PageDocument
from handbook.evaluators import EVALUATORS
from handbook.output import Expected
from handbook.run import Outcome, PageRun
from handbook.workshop import Order, Workshop
from lies.lie import Lie
from lies.snapshot import Snapshot
from lies.verdict import Fate, Verdict

Run = TypeVar("Run", bound=PageRun)
# A block with a lie in it may take so many times as long as without, and so many seconds more; then it counts as one
# that does not end.
SLOWNESS, PATIENCE = 4.0, 3.0


@dataclass
class Course:
    """How a page runs as it is.

    Arguments:
        printed: for each block what was compared, in the order of the comparisons.
        durations: the seconds that each block takes.
        idle: the blocks above which nothing of the page runs.
        failure: why the page itself fails, where it does.
    """

    printed: dict[str, list[list[str]]] = field(default_factory=lambda: defaultdict(list))
    durations: dict[str, float] = field(default_factory=dict)
    idle: set[str] = field(default_factory=set)
    failure: str | None = None


class Observation(PageRun):
    """A run of a page as it is, which keeps its course."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.course = Course()

    def check(self, block: Block, expected: Expected, actual: Sequence[str]) -> None:
        self.course.printed[block.id].append(list(actual))
        super().check(block, expected, actual)

    def _attempt(self, example: Example) -> Outcome:
        block: Block = example.parsed
        if self.workspace.is_idle:
            self.course.idle.add(block.id)
        outcome = super()._attempt(example)
        self.course.durations[block.id] = outcome.duration
        if outcome.failure is not None:
            self.course.failure = f"line {outcome.failure.line}: {outcome.failure.summary}"
        return outcome


class Attempt(PageRun):
    """A run of a page from a snapshot on, which gives its blocks less time."""

    def __init__(self, *arguments: Any, snapshot: Snapshot, course: Course) -> None:
        super().__init__(*arguments)
        self.workspace = snapshot.workspace
        self._snapshot, self._course = snapshot, course

    def _attempt(self, example: Example) -> Outcome:
        self.workspace.limit = PATIENCE + SLOWNESS * self._course.durations[example.parsed.id]
        return super()._attempt(example)

    def close(self) -> list[str]:
        return self._snapshot.bring_back()


def observe(order: Order, blocks: Sequence[Block], workshop: Workshop) -> Course:
    """Run a page as it is.

    Arguments:
        order: the page's file and database.
        blocks: the page's blocks that are tested.
        workshop: makes its workspace.
    """
    run = _advanced(order, blocks, lambda examples: Observation(examples, order, lambda: workshop))
    run.close()
    return run.course


def judged(
    lies: Sequence[Lie], order: Order, blocks: Sequence[Block], workshop: Workshop, course: Course
) -> Iterator[Verdict]:
    """What becomes of lies about a page that is run with each of them, in the order of its blocks.

    Arguments:
        lies: about the page.
        order: as for `observe`, and so on.
        course: what that has returned.
    """
    workspace = workshop.open(*order)
    snapshot, first = Snapshot(workspace, workshop), 0

    def attempt(examples: Iterable[Example]) -> Attempt:
        snapshot.bring_back()
        return Attempt(examples, order, lambda: workshop, snapshot=snapshot, course=course)

    try:
        for number, block in enumerate(blocks):
            told = [lie for lie in lies if lie.block.id == block.id]
            if told and number and block.id in course.idle:
                run = _advanced(order, blocks[first:], attempt, block)
                if workspace.is_idle and all(outcome.failure is None for outcome in run.outcomes.values()):
                    snapshot.discard()
                    snapshot, first = Snapshot(workspace, workshop), number
            for lie in told:
                changed = [lie.told if one is block else one for one in blocks[first:]]
                yield _verdict(lie, _advanced(order, changed, attempt))
    finally:
        snapshot.discard()
        workshop.close_page(workspace)


def _advanced(
    order: Order, blocks: Sequence[Block], make: Callable[[Iterable[Example]], Run], until: Block | None = None
) -> Run:
    """A run of some blocks, made and come to its end, or to one of them."""
    document = PageDocument(" " * len(blocks), str(order.page))
    for number, block in enumerate(blocks):
        document.add(Region(number, number + 1, parsed=block, evaluator=EVALUATORS[block.kind]))
    run = make(document.blocks)
    document.start(run)
    try:
        run.advance(until)
    finally:
        document.stop()
    return run


def _verdict(lie: Lie, run: PageRun) -> Verdict:
    for outcome in run.outcomes.values():
        if outcome.failure is not None:
            return Verdict(lie, Fate.RUN, outcome.failure.line, outcome.failure.summary)
    return Verdict(lie, Fate.SURVIVED)

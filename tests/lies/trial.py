"""Trials: a page run with a lie in it, from its start to the first block that fails.

A page is first run as it is (`observe`), which tells what its blocks print and how long each takes. Then it is run once
more for each lie (`judge`), in a workspace of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sybil import Example, Region

from handbook.block import Block, Kind
from handbook.document import PageDocument
from handbook.evaluators import EVALUATORS
from handbook.output import Expected
from handbook.page import Page
from handbook.run import Outcome, PageRun
from handbook.workshop import Order, Workshop
from lies.lie import Lie
from lies.verdict import Fate, Verdict

# A block with a lie in it may take so many times as long as without, and so many seconds more; then it counts as one
# that does not end.
SLOWNESS, PATIENCE = 4.0, 3.0
TOO_LONG = "did not end"


@dataclass(frozen=True)
class Subject:
    """A page on trial.

    Args:
        path: its file.
        page: its blocks.
    """

    path: Path
    page: Page

    @property
    def blocks(self) -> list[Block]:
        return [block for block in self.page if block.kind is not Kind.SHOWN]


@dataclass
class Course:
    """How a page runs as it is.

    Args:
        printed: for each block what was compared, in the order of the comparisons.
        durations: the seconds that each block takes.
        failure: why the page itself fails, where it does.
    """

    printed: dict[str, list[list[str]]] = field(default_factory=dict)
    durations: dict[str, float] = field(default_factory=dict)
    failure: str | None = None


class Attempt(PageRun):
    """A run of a page that keeps what its blocks print, and ends them sooner."""

    def __init__(self, *arguments: Any, durations: Mapping[str, float], **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.compared: dict[str, list[list[str]]] = defaultdict(list)
        self._durations = durations

    def check(self, block: Block, expected: Expected, actual: Sequence[str]) -> None:
        self.compared[block.id].append(list(actual))
        super().check(block, expected, actual)

    def _attempt(self, example: Example) -> Outcome:
        duration = self._durations.get(example.parsed.id)
        if duration is not None and self._failed is None:
            self.workspace.limit = PATIENCE + SLOWNESS * duration
        return super()._attempt(example)


def observe(subject: Subject, workshop: Workshop) -> Course:
    """Run a page as it is."""
    attempt = _run(subject, subject.blocks, workshop, {})
    failure = next((outcome.failure for outcome in attempt.outcomes.values() if outcome.failure is not None), None)
    return Course(
        dict(attempt.compared),
        {name: outcome.duration for name, outcome in attempt.outcomes.items()},
        f"line {failure.line}: {failure.summary}" if failure is not None else None,
    )


def judge(subject: Subject, lie: Lie, course: Course, workshop: Workshop) -> Verdict:
    """Run a page with a lie in it."""
    told = lie.told
    blocks = [told if block.id == lie.block.id else block for block in subject.blocks]
    for outcome in _run(subject, blocks, workshop, course.durations).outcomes.values():
        if outcome.failure is not None:
            summary = outcome.failure.summary
            return Verdict(lie, Fate.RUN, outcome.failure.line, TOO_LONG if TOO_LONG in summary else summary)
    return Verdict(lie, Fate.SURVIVED)


def _run(subject: Subject, blocks: Sequence[Block], workshop: Workshop, durations: Mapping[str, float]) -> Attempt:
    document = PageDocument(" " * len(blocks), str(subject.path))
    for number, block in enumerate(blocks):
        document.add(Region(number, number + 1, parsed=block, evaluator=EVALUATORS[block.kind]))
    order = Order(subject.path, subject.page.database)
    attempt = Attempt(document.blocks, order, lambda: workshop, durations=durations, following=order)
    document.start(attempt)
    try:
        attempt.advance()
    finally:
        attempt.close()
        document.stop()
    return attempt

"""Trials: a page run with a lie in it, up to the first block that fails.

A page is first run as it is (`observe`), which tells what its blocks print, how long each takes, and above which of
them nothing runs that could not be copied. There snapshots are made; from the last one above a lie, the page is run
with the lie in it (`judged`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sybil import Document, Example, Region

from handbook.block import Block
from handbook.document import EVALUATORS, PageDocument
from handbook.output import Expected
from handbook.run import Outcome, PageRun
from handbook.workshop import Workshop
from lies.lie import Lie
from lies.snapshot import Snapshot
from lies.verdict import Fate, Verdict

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

    def __init__(self, document: PageDocument, workshop: Workshop) -> None:
        super().__init__(document, document.page.database, lambda: workshop)
        self.course = Course()

    def check(self, block: Block, expected: Expected, actual: Sequence[str]) -> None:
        self.course.printed[block.id].append(list(actual))
        super().check(block, expected, actual)

    def _attempt(self, example: Example) -> Outcome:
        block: Block = example.parsed
        if self._workshop().is_idle(self.workspace):
            self.course.idle.add(block.id)
        outcome = super()._attempt(example)
        self.course.durations[block.id] = outcome.duration
        if outcome.failure is not None:
            self.course.failure = f"line {outcome.failure.line}: {outcome.failure.summary}"
        return outcome


class Attempt(PageRun):
    """A run of a page from a snapshot on, which gives its blocks less time."""

    def __init__(self, document: Document, snapshot: Snapshot, course: Course) -> None:
        super().__init__(document, "", lambda: snapshot.workshop)
        self.workspace = snapshot.workspace
        self._snapshot, self._course = snapshot, course

    def _attempt(self, example: Example) -> Outcome:
        self.workspace.limit = PATIENCE + SLOWNESS * self._course.durations[example.parsed.id]
        return super()._attempt(example)

    def _close_workspace(self) -> list[str]:
        return self._snapshot.bring_back()


def observe(document: PageDocument, workshop: Workshop) -> Course:
    """Run a page as it is."""
    run = Observation(document, workshop)
    run.advance()
    run.close()
    return run.course


def judged(lies: Sequence[Lie], document: PageDocument, workshop: Workshop, course: Course) -> Iterator[Verdict]:
    """What becomes of lies about a page that is run with each of them, in the order of its blocks.

    Arguments:
        lies: about the page.
        document: the page.
        workshop: makes its workspace.
        course: how it runs as it is.
    """
    blocks: list[Block] = [example.parsed for example in document.examples()]
    workspace = workshop.open(Path(document.path), document.page.database)
    snapshot, first = Snapshot(workspace, workshop), 0

    def advanced(blocks: Sequence[Block], until: Block | None = None) -> Attempt:
        snapshot.bring_back()
        run = Attempt(_document(document.path, blocks), snapshot, course)
        run.advance(until)
        return run

    try:
        for number, block in enumerate(blocks):
            told = [lie for lie in lies if lie.block.id == block.id]
            if told and number and block.id in course.idle:
                run = advanced(blocks[first:], block)
                if workshop.is_idle(workspace) and all(outcome.failure is None for outcome in run.outcomes.values()):
                    snapshot.discard()
                    snapshot, first = Snapshot(workspace, workshop), number
            for lie in told:
                yield _verdict(lie, advanced([lie.told if one is block else one for one in blocks[first:]]))
    finally:
        snapshot.discard()
        workshop.close_page(workspace)


def _document(path: str, blocks: Sequence[Block]) -> Document:
    document = Document(" " * len(blocks), path)
    for number, block in enumerate(blocks):
        document.add(Region(number, number + 1, parsed=block, evaluator=EVALUATORS[block.kind]))
    return document


def _verdict(lie: Lie, run: PageRun) -> Verdict:
    for outcome in run.outcomes.values():
        if outcome.failure is not None:
            return Verdict(lie, Fate.RUN, outcome.failure.line, outcome.failure.summary)
    return Verdict(lie, Fate.SURVIVED)

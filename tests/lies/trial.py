"""Trials: a page run with a lie in it, from just above the lie to the first block that fails.

A page is first run as it is (`observe`), which tells what its blocks print, how long each takes, and where a snapshot
can be taken. Then it is run once more (`judge`), and halts at each of these places: there every lie about the blocks
down to the next place is told in a copy of the process, with the database and the directory put back before each.

A snapshot might leave out something. So after the lies the unaltered page is run from it too, as far as any lie came,
and where that fails the lies are told again from the place before.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import asyncpg

from handbook import program, run
from handbook.block import Block, Kind
from handbook.database import Server
from handbook.output import Expected
from handbook.page import Page
from handbook.run import Outcome, PageRun, Status
from handbook.workspace import Workspace
from lies.fork import Copy, WorkError
from lies.lie import Lie
from lies.orphans import adopt_orphans, kill_descendants
from lies.snapshot import Snapshot, SpoiltError, still, unfit
from lies.verdict import Fate, Verdict

# A block with a lie in it may take so many times as long as without, and so many seconds more; then it counts as one
# that does not end.
SLOWNESS, PATIENCE = 4.0, 3.0
LONGEST = 900.0  # seconds for a whole page as it is
# A snapshot is worth its trouble where so many seconds have passed since the one before.
WORTH = 0.12
START = "the start"
TOO_LONG = "did not end"


@dataclass(frozen=True)
class Subject:
    """A page on trial.

    Args:
        name: its path below docs.
        path: its file.
        page: its blocks.
        project: the checkout.
    """

    name: str
    path: Path
    page: Page
    project: Path

    @property
    def blocks(self) -> list[Block]:
        return [block for block in self.page if block.kind is not Kind.SHOWN]


@dataclass
class Course:
    """How a page runs as it is.

    Args:
        printed: for each block what was compared, in the order of the comparisons.
        durations: the seconds that each block takes.
        fit: the places where a snapshot can be taken: each is the number of the block that follows.
        failure: why the page itself fails, where it does.
    """

    printed: dict[str, list[list[str]]] = field(default_factory=dict)
    durations: dict[str, float] = field(default_factory=dict)
    fit: list[int] = field(default_factory=list)
    failure: str | None = None


@dataclass
class Judgement:
    """What became of some lies: the verdicts, the lies that are left, and why they are."""

    verdicts: list[Verdict] = field(default_factory=list)
    left: list[Lie] = field(default_factory=list)
    unfaithful: set[int] = field(default_factory=set)
    spoilt: bool = False
    failure: str | None = None


@dataclass
class Attempt(PageRun):
    """A run of a page that keeps what its blocks print, and ends them sooner."""

    printed: dict[str, list[list[str]]] = field(default_factory=lambda: defaultdict(list))
    durations: dict[str, float] = field(default_factory=dict)

    def _check(self, block: Block, expected: Expected, actual: list[str]) -> None:
        self.printed[block.id].append(actual)
        super()._check(block, expected, actual)

    def go(self, block: Block) -> Outcome:
        """Run the page up to a block, each block within its time."""
        return self.reach(block, self._evaluate_in_time)

    def _evaluate_in_time(self, block: Block) -> None:
        if block.id in self.durations:
            limit = PATIENCE + SLOWNESS * self.durations[block.id]
            # A block's Python is given five seconds more than the programs that it starts.
            program.TIME_LIMIT, run.TIME_LIMIT = limit, limit - 5  # type: ignore[attr-defined]
        self.evaluate(block)


def _workspace(subject: Subject, server: Server) -> Workspace:
    name = "-".join(Path(subject.name).with_suffix("").parts)
    return Workspace(subject.project, lambda: server, subject.page.database, name)


def observe(subject: Subject, server: Server) -> Course:
    """Run a page as it is, in a copy of this process."""
    return Copy(lambda: _observe(subject, server)).result(LONGEST)


def _observe(subject: Subject, server: Server) -> Course:
    workspace = _workspace(subject, server)
    attempt = Attempt(subject.path, subject.page.blocks, workspace)
    course = Course()
    try:
        for number, block in enumerate(subject.blocks):
            if number and unfit(workspace) is None:
                course.fit.append(number)
            outcome = attempt.go(block)
            course.durations[block.id] = outcome.duration
            if outcome.failure is not None:
                course.failure = f"line {outcome.failure.line}: {outcome.failure.summary}"
                break
        course.printed = dict(attempt.printed)
    finally:
        workspace.close()
    return course


def judge(subject: Subject, lies: Sequence[Lie], course: Course, avoid: set[int], server: Server) -> Judgement:
    """Run a page with each of some lies in it, in copies of this process.

    Args:
        course: how the page runs as it is.
        avoid: places whose snapshots are not faithful.
    """
    limit = LONGEST + 60 * len(lies)
    return Copy(lambda: _judge(subject, lies, course, avoid, server)).result(limit)


def _judge(subject: Subject, lies: Sequence[Lie], course: Course, avoid: set[int], server: Server) -> Judgement:
    # Some of what a lie starts has a session of its own, and outlives the copy that started it.
    adopt_orphans()
    workspace = _workspace(subject, server)
    blocks = subject.blocks
    attempt = Attempt(subject.path, subject.page.blocks, workspace)
    numbers = {block.id: number for number, block in enumerate(blocks)}
    places = [*_places(blocks, course, avoid), len(blocks)]
    judgement = Judgement()
    waiting = [
        sorted((lie for lie in lies if start <= numbers[lie.block.id] < end), key=lambda lie: numbers[lie.block.id])
        for start, end in pairwise(places)
    ]
    try:
        for index, (start, end) in enumerate(pairwise(places)):
            if not any(waiting[index:]):
                break
            if waiting[index]:
                segment = _Segment(subject, workspace, attempt, start, course)
                segment.judge(waiting[index], judgement)
                if judgement.spoilt:
                    judgement.left += [lie for later in waiting[index + 1 :] for lie in later]
                    break
            outcome = None
            for block in blocks[start:end]:
                outcome = attempt.go(block)
                if outcome.failure is not None:
                    judgement.failure = f"line {outcome.failure.line}: {outcome.failure.summary}"
                    judgement.left += [lie for later in waiting[index + 1 :] for lie in later]
                    return judgement
    finally:
        with suppress(Exception):
            workspace.close()
        kill_descendants()
    return judgement


def _places(blocks: Sequence[Block], course: Course, avoid: set[int]) -> list[int]:
    """Where to halt: at the start, and where it pays."""
    places = [0]
    since = 0.0
    for number, block in enumerate(blocks):
        if number in course.fit and number not in avoid and since >= WORTH:
            places.append(number)
            since = 0.0
        since += course.durations.get(block.id, 0.0)
    return places


class _Segment:
    """The lies about the blocks from one place to the next."""

    def __init__(self, subject: Subject, workspace: Workspace, attempt: Attempt, start: int, course: Course) -> None:
        self.subject = subject
        self.workspace = workspace
        self.attempt = attempt
        self.start = start
        self.course = course
        self.blocks = subject.blocks
        self.snapshot = Snapshot(workspace, start)

    def judge(self, lies: Sequence[Lie], judgement: Judgement) -> None:
        """Tell each lie, and add what became of it; the page is then as it was."""
        if self.start:
            reason = unfit(self.workspace)
            if reason is not None:
                judgement.unfaithful.add(self.start)
                judgement.left += lies
                return
            still(self.workspace)
        self.snapshot.take()
        still(self.workspace)
        verdicts: list[Verdict] = []
        furthest = self.start
        for index, lie in enumerate(lies):
            try:
                verdict, reached = self._tell(lie)
            except SpoiltError:
                judgement.verdicts += verdicts
                judgement.left += lies[index:]
                judgement.spoilt = True
                return
            verdicts.append(verdict)
            if verdict.fate is Fate.RUN:
                furthest = max(furthest, reached)
        if self.start:
            if self._is_faithful(furthest):
                judgement.verdicts += verdicts
            else:
                judgement.unfaithful.add(self.start)
                judgement.left += lies
        else:
            judgement.verdicts += verdicts
        self.snapshot.restore_files()
        try:
            self.snapshot.restore_database()
        except SpoiltError:
            judgement.spoilt = True
            return
        self.snapshot.forget()

    def _tell(self, lie: Lie) -> tuple[Verdict, int]:
        told = lie.told
        result = self._run(
            [told if block.id == lie.block.id else block for block in self.subject.page.blocks], len(self.blocks)
        )
        if result is None:
            return Verdict(lie, Fate.SURVIVED), len(self.blocks)
        number, line, reason = result
        return Verdict(lie, Fate.RUN, line, reason), number

    def _is_faithful(self, furthest: int) -> bool:
        """Whether the page as it is runs from the snapshot, as far as any lie came."""
        try:
            return self._run(self.subject.page.blocks, furthest + 1) is None
        except SpoiltError:
            return False

    def _run(self, blocks: list[Block], end: int) -> tuple[int, int, str] | None:
        """Run some blocks from the snapshot in a copy of this process: the number, line and reason of a failure.

        Raises:
            SpoiltError: the server cannot be put back.
        """
        self.snapshot.restore_files()
        limit = 30 + sum(PATIENCE + SLOWNESS * seconds for seconds in self.course.durations.values())
        try:
            result = Copy(lambda: self._run_here(blocks, end)).result(limit)
        except WorkError as error:
            return self.start, 0, f"the harness stopped: {str(error).strip().splitlines()[-1]}"
        finally:
            kill_descendants()
        if result == START:
            raise SpoiltError
        assert not isinstance(result, str)
        return result

    def _run_here(self, blocks: list[Block], end: int) -> tuple[int, int, str] | str | None:
        adopt_orphans()
        workspace = self.workspace
        try:
            self.snapshot.restore_database()
        except SpoiltError:
            return START
        done = dict(self.attempt.outcomes)
        attempt = Attempt(self.subject.path, blocks, workspace, outcomes=done, durations=self.course.durations)
        try:
            runnable = [block for block in blocks if block.kind is not Kind.SHOWN]
            for number, block in enumerate(runnable[:end]):
                outcome = attempt.go(block)
                if outcome.status is Status.FAILED and outcome.failure is not None:
                    summary = outcome.failure.summary
                    return number, outcome.failure.line, TOO_LONG if TOO_LONG in summary else summary
        finally:
            self._leave()
        return None

    def _leave(self) -> None:
        """End what the page has started, in this copy; what the snapshot puts back is left to it."""
        workspace = self.workspace
        for value in list(workspace.namespace.values()):
            if type(value) is asyncpg.Connection and not value.is_closed():
                value.terminate()
        kill_descendants()
        if self.snapshot.database is None and workspace.database is not None:
            workspace.server.drop(workspace.database)
        if self.snapshot.files is None and workspace._directory is not None:
            shutil.rmtree(workspace._directory, ignore_errors=True)

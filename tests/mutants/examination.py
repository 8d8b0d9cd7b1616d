"""The examination: every mutant against the pages that reach it, until a block notices or none is left."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from mutants.batch import Batch, Try
from mutants.mutant import Mutant
from mutants.order import Order, Turn
from mutants.pool import Plan
from mutants.trial import Result, Trial

# Pages that a mutant is tried on alone, before it is tried together with others.
ALONE = 2
# Mutants that are tried together.
TOGETHER = 30
# Mutants of one batch, at most.
BATCH = 96
# Of the mutants of a function, one in so many goes first.
SCOUTS = 5


class Verdict(Enum):
    """What became of a mutant; the value is its name in the report."""

    KILLED = "killed"
    SURVIVED = "survived"
    UNREACHED = "not reached"


@dataclass
class Finding:
    """What became of a mutant, and where.

    Args:
        verdict: what became of it.
        page: the page that noticed it.
        block: that page's block, from 0.
        line: the line of the page that became untrue.
        summary: what was wrong there.
        tried: the pages that ran whole and did not notice.
    """

    verdict: Verdict
    page: str = ""
    block: int = 0
    line: int = 0
    summary: str = ""
    tried: set[str] = field(default_factory=set)


class Carrier(Protocol):
    """Carries out plans."""

    def carry_out(self, plans: Iterable[Plan | None]) -> None:
        """Carry out plans to their ends, several at a time perhaps; None stands for a plan that is not there yet."""


@dataclass
class Examination:
    """An examination of some mutants.

    Args:
        order: which pages reach a mutant, and in which order they are tried.
        pool: where pages run.
        findings: what is known of mutants already, by their ids; what is found is added.
        tell: called whenever a mutant has a finding.
    """

    order: Order
    pool: Carrier
    findings: dict[str, Finding]
    tell: Callable[[Mutant, Finding], None]

    def run(self, mutants: Sequence[Mutant], reviewed: Collection[str] = ()) -> None:
        """Examine mutants: each alone first, then what is left together, and last what is expected to be left.

        Args:
            mutants: the mutants.
            reviewed: the ids of those that nobody can tell apart from the original, as their list says.
        """
        for mutant in mutants:
            if mutant.id not in reviewed and not self.order.pages(mutant):
                self._found(mutant, Finding(Verdict.UNREACHED))
        expected = {mutant.id for mutant in mutants if mutant.id in reviewed or mutant.id in self.order.left}
        others = [mutant for mutant in mutants if mutant.id not in expected]
        self.pool.carry_out(self._alone([m for m in others if self._is_open(m) and self.order.is_hopeful(m)]))
        self._together([m for m in others if self._is_open(m)])
        self._confirm([m for m in mutants if m.id in expected and self._is_open(m)], reviewed)

    def _together(self, mutants: Sequence[Mutant]) -> None:
        """Try many mutants in one run of each page, the cheapest page first: it may spare the others theirs."""

        def plan(page: str, reaching: Sequence[Mutant]) -> Plan:
            for group in _groups(self._unsettled(page, reaching), lambda *_: True, TOGETHER):
                yield from self._settle(page, group)

        found = self._reaching(mutants)
        self.pool.carry_out(plan(page, found[page]) for page in sorted(found, key=self._seconds))
        self._survived(mutants)

    def _confirm(self, mutants: Sequence[Mutant], reviewed: Collection[str]) -> None:
        """Try mutants that no page has noticed before, in as few runs as can be; what takes longest first.

        What one of them hides of another is taken to be left, as it was the last time. An entry of the reviewed list
        must not be hidden.
        """

        def apart(one: Mutant, other: Mutant) -> bool:
            return one.id in reviewed or other.id in reviewed

        groups = [
            (page, group)
            for page, reaching in self._reaching(mutants).items()
            for group in _groups(self._unsettled(page, reaching), apart, len(mutants))
        ]
        groups.sort(key=lambda one: self._seconds(one[0]), reverse=True)
        self.pool.carry_out(self._settle(page, group) for page, group in groups)
        self._survived(mutants)

    def _reaching(self, mutants: Iterable[Mutant]) -> dict[str, list[Mutant]]:
        """The mutants that each page reaches."""
        reaching: dict[str, list[Mutant]] = defaultdict(list)
        for mutant in mutants:
            for page in self.order.pages(mutant):
                reaching[page].append(mutant)
        return reaching

    def _seconds(self, page: str) -> tuple[float, str]:
        return sum(self.order.reaches[page].durations), page

    def _survived(self, mutants: Iterable[Mutant]) -> None:
        for mutant in mutants:
            if self._is_open(mutant):
                self._found(mutant, Finding(Verdict.SURVIVED, tried=self._tried(mutant)))

    def _is_open(self, mutant: Mutant) -> bool:
        finding = self.findings.get(mutant.id)
        return finding is None or (
            finding.verdict is Verdict.SURVIVED and not self.order.pages(mutant) <= finding.tried
        )

    def _tried(self, mutant: Mutant) -> set[str]:
        finding = self.findings.get(mutant.id)
        return finding.tried if finding is not None else set()

    def _found(self, mutant: Mutant, finding: Finding) -> None:
        self.findings[mutant.id] = finding
        self.tell(mutant, finding)

    def _killed(self, mutant: Mutant, page: str, result: Result) -> None:
        assert result.failed is not None
        self.order.learn(mutant, page)
        self._found(mutant, Finding(Verdict.KILLED, page, result.failed, result.line, result.summary))

    def _alone(self, mutants: Sequence[Mutant]) -> Iterator[Plan | None]:
        """Try the best pages for each of some mutants, each page as far as it is of interest.

        None where there is nothing to try before a batch that runs has ended.
        """
        # Some mutants of each function go first: they find out which pages notice changes of it.
        scouts, others = _scouts(mutants, self.order.is_known)
        seen = {mutant.id: set(self._tried(mutant)) for mutant in mutants}
        left: list[Mutant] = []
        running: list[str] = []
        ready = self._batches(scouts, seen)
        while True:
            if ready:
                page, turns = ready.pop(0)
                running.append(page)
                yield self._batch(page, turns, left, running)
            elif others:
                ready, others = self._batches(others, seen), []
            elif left:
                ready, left[:] = self._batches(left, seen), []
            elif running:
                yield None
            else:
                return

    def _batches(
        self, mutants: Sequence[Mutant], seen: Mapping[str, set[str]]
    ) -> list[tuple[str, list[tuple[Mutant, Turn]]]]:
        """The next page for each of some mutants, those of a page together, what takes longest first."""
        asked: dict[str, list[tuple[Mutant, Turn]]] = defaultdict(list)
        for mutant in mutants:
            # In the order as it is by now: other mutants of the function have been noticed somewhere meanwhile.
            turn = next((turn for turn in self.order.turns(mutant) if turn.page not in seen[mutant.id]), None)
            if turn is not None and len(seen[mutant.id] - self._tried(mutant)) < ALONE:
                seen[mutant.id].add(turn.page)
                asked[turn.page].append((mutant, turn))
        found = [(page, batch) for page, turns in asked.items() for batch in _parts(turns)]
        return sorted(found, key=lambda one: -sum(turn.cost for _, turn in one[1]))

    def _batch(self, page: str, turns: Sequence[tuple[Mutant, Turn]], left: list[Mutant], running: list[str]) -> Plan:
        results = yield Batch(page, tuple(Try(mutant, turn.start, turn.last) for mutant, turn in turns))
        for (mutant, turn), found in zip(turns, results, strict=True):
            result = found
            # Without a result, or with one in a block that does not execute the change: was it the page itself?
            if result is None or (result.failed is not None and result.failed < self._first(mutant, turn)):
                result = yield Trial(page, (mutant,), turn.last)
            if result.failed is not None:
                self._killed(mutant, page, result)
            else:
                left.append(mutant)
        running.remove(page)

    def _first(self, mutant: Mutant, turn: Turn) -> int:
        return self.order.reaches[turn.page].blocks_for(mutant)[0]

    def _unsettled(self, page: str, mutants: Iterable[Mutant]) -> list[Mutant]:
        """Those of some mutants that are open and have not been tried on a page."""
        return [mutant for mutant in mutants if self._is_open(mutant) and page not in self._tried(mutant)]

    def _settle(self, page: str, group: Sequence[Mutant]) -> Plan:
        group = [mutant for mutant in group if self._is_open(mutant)]
        if not group:
            return
        result = yield Trial(page, tuple(group))
        if result.failed is None:
            # Another page, which ran meanwhile, may have noticed one of them.
            for mutant in filter(self._is_open, group):
                tried = self._tried(mutant) | {page}
                self.findings[mutant.id] = Finding(Verdict.SURVIVED, tried=tried)
        elif len(group) == 1:
            self._killed(group[0], page, result)
        else:
            middle = len(group) // 2
            yield from self._settle(page, group[:middle])
            yield from self._settle(page, group[middle:])


def _scouts(mutants: Iterable[Mutant], is_known: Callable[[Mutant], bool]) -> tuple[list[Mutant], list[Mutant]]:
    """Some mutants of each function, which find out the pages that notice changes of it, and the others.

    Those of which it is known already need not wait.
    """
    found: tuple[list[Mutant], list[Mutant]] = ([], [])
    counts: Counter[tuple[str, str]] = Counter()
    for mutant in mutants:
        function = (mutant.file, mutant.function)
        found[counts[function] % SCOUTS > 0 and not is_known(mutant)].append(mutant)
        counts[function] += 1
    return found


def _parts(turns: list[tuple[Mutant, Turn]]) -> Iterator[list[tuple[Mutant, Turn]]]:
    """Parts of what is asked of a page, for processes side by side; those that start at one block stay together."""
    turns = sorted(turns, key=lambda one: (one[1].start, one[1].first))
    size = -(-len(turns) // -(-len(turns) // BATCH))
    return (turns[at : at + size] for at in range(0, len(turns), size))


def _groups(mutants: Iterable[Mutant], apart: Callable[[Mutant, Mutant], bool], size: int) -> Iterator[list[Mutant]]:
    """Groups of mutants that can be made together.

    Args:
        mutants: the mutants.
        apart: whether two of one function, or of one statement at the top of a module, are to be told apart: the one
            could hide what the other does.
        size: how many make a group at most.
    """
    left = list(mutants)
    while left:
        group: list[Mutant] = []
        for mutant in left:
            if len(group) < size and not any(_collide(mutant, other, apart) for other in group):
                group.append(mutant)
        yield group
        chosen = {mutant.id for mutant in group}
        left = [mutant for mutant in left if mutant.id not in chosen]


def _collide(one: Mutant, other: Mutant, apart: Callable[[Mutant, Mutant], bool]) -> bool:
    if one.file != other.file:
        return False
    overlap = one.start <= other.end and other.start <= one.end
    return overlap or (_unit(one) == _unit(other) and apart(one, other))


def _unit(mutant: Mutant) -> object:
    """What a mutant could hide another one in: its function, or the statement at the top of a module."""
    return mutant.function or mutant.statement

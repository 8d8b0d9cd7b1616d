"""A measured figure beside its bound: how it is told, and when it fails."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Machines and moments differ by less than this.
TOLERANCE = 1.25


@dataclass(frozen=True)
class Figure:
    """What was measured, in the unit of its bound.

    Arguments:
        name: what was measured.
        value: how much it took, in times of something else, or in seconds.
        bound: what it may take.
        details: what the value was computed from.
        goal: what it shall take one day, if that is less than its bound.
        unit: what the three are counted in.
    """

    name: str
    value: float
    bound: float
    details: str = ""
    goal: float | None = None
    unit: str = "times"

    @property
    def fails(self) -> bool:
        """Whether the bound is missed by more than a machine or a moment explains."""
        return self.value > TOLERANCE * self.bound

    def __str__(self) -> str:
        kept = "within" if self.value <= self.bound else "FAR ABOVE" if self.fails else "above"
        goal = "" if self.goal is None else f", goal {self.goal:g}"
        details = f" ({self.details})" if self.details else ""
        return f"{self.name}: {self.value:.3g} {self.unit}{details}; {kept} {self.bound:g}{goal}"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How many times longer ours took than theirs, which were taken in turn with them.

    A shared machine is now and then slower for some seconds. Two runs next to each other are mostly both in such a
    moment or both outside of it, and where one alone is, it is as often the one as the other: the median of the rounds'
    ratios knows nothing of it, whereas a least time or a median of each kind depends on who was lucky.
    """
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def settled(ours: Sequence[float], theirs: Sequence[float], bound: float, rounds: int) -> bool:
    """Whether enough rounds are over: all that there are, or so many within the limit that the rest can change nothing.

    Arguments:
        ours: what ours took in the rounds that are over.
        theirs: what theirs took.
        bound: what the ratio may be.
        rounds: how many rounds there are at most.
    """
    within = sum(one <= TOLERANCE * bound * other for one, other in zip(ours, theirs, strict=True))
    return len(ours) == rounds or within > rounds / 2


def report(figures: Iterable[Figure]) -> int:
    """Print figures as they come, and return the exit status: 1 if one of them fails."""
    failed = False
    for figure in figures:
        print(figure, flush=True)  # noqa: T201 - a command
        failed |= figure.fails
    return int(failed)

"""Pages: their blocks, and everything about a page that is not well-formed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from handbook.block import Block

# The baseline of migrations, applied; the baseline, not applied; the checkout's own migrations, not applied.
DATABASES = ("migrated", "empty", "checkout")


@dataclass(frozen=True)
class Problem:
    """Something on a page that keeps it from being tested, with its line and the remedy."""

    line: int
    message: str


@dataclass
class Page:
    """A page as it is tested: its blocks in the order of its text, without expected output, which its block holds."""

    blocks: list[Block] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    database: str = DATABASES[0]

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)

    def wrong(self, line: int, message: str) -> None:
        """Add something that keeps the page from being tested."""
        self.problems.append(Problem(line, message))

"""Failures: what is untrue on a page, at the line where it stands."""

from __future__ import annotations

from collections.abc import Iterable


class BlockError(Exception):
    """A block that did not do what its page says.

    Args:
        line: the line of the page.
        summary: one sentence: what is wrong.
        details: lines that show it: a difference, a traceback, what a command printed.
        outdated: whether the page's expected output alone is wrong, so that it can be brought up to date.
    """

    def __init__(self, line: int, summary: str, details: Iterable[str] = (), *, outdated: bool = False) -> None:
        super().__init__(summary)
        self.line = line
        self.summary = summary
        self.details = list(details)
        self.outdated = outdated

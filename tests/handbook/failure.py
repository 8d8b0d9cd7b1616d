"""Failures: what is untrue on a page, at the line where it stands."""

from __future__ import annotations

from collections.abc import Iterable

from handbook.output import lines_of
from handbook.workspace import Ran


class BlockError(Exception):
    """A block that did not do what its page says.

    Arguments:
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


def printed_by(ran: Ran, line: int) -> str:
    """What something printed that ran to its end.

    Arguments:
        ran: what became of it.
        line: the line of the page to blame where it did not end, and nothing says which it was.

    Raises:
        BlockError: it did not, or something failed in it.
    """
    if ran.error is not None:
        *details, summary = str(ran.error).rstrip("\n").split("\n")
        raise BlockError(line, summary, [*lines_of(ran.printed), *details])
    if ran.result is not None and "summary" in ran.result:
        details = ran.result["details"]
        if ran.printed.strip():
            details = ["it printed:", *lines_of(ran.printed), "", *details]
        raise BlockError(ran.result["line"], ran.result["summary"], details)
    return ran.printed

"""Lies about output: another word, a missing line, one line more."""

from __future__ import annotations

import re
from collections.abc import Iterator

from handbook.output import ELLIPSIS
from lies.lie import Edit, altered

EXTRA = "a line that nothing prints"
WORD = re.compile(r"\w+")


def edits(text: str) -> Iterator[Edit]:
    """Every lie about the lines of an output.

    A blank line tells nothing. A line beside one of only `...` is not dropped: those stand for it as well.
    """
    start = 0
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.strip() and line.strip() != ELLIPSIS:
            words = list(WORD.finditer(line))
            for word in words:
                yield Edit("output word", start + word.start(), start + word.end(), altered(word[0]))
            if not words:
                yield Edit("output word", start, start + len(line), line + "+")
            whole = start + len(line) + 1
            if ELLIPSIS not in (beside.strip() for beside in lines[max(number - 1, 0) : number + 2]):
                yield Edit("output line", start if whole <= len(text) else max(start - 1, 0), min(whole, len(text)), "")
            yield Edit("added line", start + len(line), start + len(line), "\n" + EXTRA)
        start += len(line) + 1

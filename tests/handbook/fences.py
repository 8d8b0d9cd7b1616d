"""What is wrong with a page's fences, and what looks like code and is in none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from handbook.rendering import Rendering, looks_like_fence

SNIPPET = re.compile(r"[ \t>]*(?:-{1,}8<-{1,}|;*-+8<-+)(?:[ \t]|$)")
MARKS = re.compile(r"`{3,}|~{3,}")
STRAY = (
    "the site does not render this fence as a block: {}. Is it closed by a line of exactly as many marks, indented "
    "alike, and are its attributes those that Material knows?"
)
NESTED = (
    "a fence inside the block that opens at line {}: close that block before this line, or open it with more marks "
    "than this line has to show a fence"
)
SNIPPETS = "snippets (--8<--) are not rendered by this site; write the text out"
UNFENCED = "code that no fence holds is never tested; put it into a fence, of text where it does not run"


def wrong_fences(rendering: Rendering, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The line and the remedy of each fence that is not what it looks like, and of each snippet."""
    shown = {line.strip() for text in rendering.unfenced for line in text.split("\n")}
    silent = rendering.inside | _commented(rendering, lines)
    for number, line in enumerate(lines, 1):
        if number >= rendering.body_line and number not in silent and line.strip() not in shown:
            if looks_like_fence(line):
                yield number, STRAY.format(repr(line.strip()))
            elif SNIPPET.match(line):
                yield number, SNIPPETS
    for fence in rendering.fences:
        opening = MARKS.search(lines[fence.line - 1])
        inner = re.compile(rf"\s{{0,3}}{re.escape(opening[0] if opening else '```')}")
        for number, line in enumerate(fence.text.split("\n"), fence.line + 1):
            if inner.match(line):
                yield number, NESTED.format(fence.line)


def _commented(rendering: Rendering, lines: Sequence[str]) -> set[int]:
    """The lines of the comments that the reader does not see."""
    found = set()
    for start in rendering.comments:
        end = next((number for number in range(start, len(lines)) if "-->" in lines[number - 1]), len(lines))
        found |= set(range(start, end + 1))
    return found


def unfenced_code(rendering: Rendering, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The line and the remedy of what is shown as code, without a mark, and would never be tested."""
    outside = [(number, line) for number, line in enumerate(lines, 1) if number not in rendering.inside]
    after = rendering.body_line
    for text in rendering.unfenced:
        first = next((line.strip() for line in text.split("\n") if line.strip()), "")
        found = [number for number, line in outside if number >= after and first and first in line]
        after = next(iter(found), next((number for number, line in outside if "<pre" in line), rendering.body_line))
        yield after, UNFENCED

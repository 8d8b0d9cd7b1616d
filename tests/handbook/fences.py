"""What is wrong with a page's fences, and what looks like code and is in none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from handbook.rendering import Fence, Rendering

SNIPPET = re.compile(r"^[ \t>]*(?:-{1,}8<-{1,}|;*-+8<-+)(?:[ \t]|$)")
MARKS = re.compile(r"`{3,}|~{3,}")


def lines_inside(fences: Iterable[Fence]) -> set[int]:
    """The lines of a page that stand in a fence, or open or close one."""
    return {number for fence in fences for number in range(fence.line, fence.end_line + 1)}


def wrong_fences(rendering: Rendering, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The line and the remedy of each fence that is not what it looks like."""
    for number in rendering.stray:
        yield (
            number,
            (
                f"the site does not render this fence as a block: {lines[number - 1].strip()!r}. Is it closed by a "
                "line of exactly as many marks, indented alike, and are its attributes those that Material knows?"
            ),
        )
    for fence in rendering.fences:
        opening = MARKS.search(lines[fence.line - 1])
        inner = re.compile(rf"\s{{0,3}}{re.escape(opening[0] if opening else '```')}")
        for number, line in enumerate(fence.text.split("\n"), fence.line + 1):
            if inner.match(line):
                yield (
                    number,
                    (
                        f"a fence inside the block that opens at line {fence.line}: close that block before this line, "
                        "or open it with more marks than this line has to show a fence"
                    ),
                )
    inside = lines_inside(rendering.fences)
    for number, line in enumerate(lines, 1):
        if number not in inside and SNIPPET.match(line):
            yield number, "snippets (--8<--) are not rendered by this site; write the text out"


def unfenced_code(rendering: Rendering, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The line and the remedy of what is shown as code, without a mark, and would never be tested."""
    inside = lines_inside(rendering.fences)
    outside = [(number, line) for number, line in enumerate(lines, 1) if number not in inside]
    after = rendering.body_line
    for text in rendering.unfenced:
        first = next((line.strip() for line in text.split("\n") if line.strip()), "")
        found = [number for number, line in outside if number >= after and first and first in line]
        after = next(iter(found), next((number for number, line in outside if "<pre" in line), rendering.body_line))
        yield after, "code that no fence holds is never tested; put it into a fence, of text where it does not run"

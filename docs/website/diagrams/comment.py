"""The comments that ask for diagrams.

`<!-- diagram: tables the-tables.1 -->` draws what the block of that id has printed when the handbook's tests ran it,
which the proof holds: the picture is that of the database on which the page's blocks ran. `sequence` and `timeline`
draw the lines of the comment itself, of which the first is the title.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from html import unescape

from markdown import Markdown
from markdown.extensions import Extension
from markdown.postprocessors import Postprocessor

from website import proof
from website.diagrams import entities, growth, sequence, timeline
from website.diagrams.drawing import Drawing
from website.pages import PageFinder, page_of, refusal

COMMENT = re.compile(r"<!-- diagram: (?P<kind>\w+) *(?P<block>[^\n]*?)(?P<lines>(?:\n.*?)?)\s*-->", re.DOTALL)
RULE = re.compile(r"[-+]+")
COUNT = re.compile(r"\(\d+ rows?\)")
NOTHING = '<p class="note note--unverified">No diagram yet</p>'

Rows = Sequence[dict[str, str]]
# What is drawn from a block's output, and what from lines of text: each with a function that draws, and one that tells.
FROM_ROWS: dict[str, tuple[str, Callable[[Rows], Drawing], Callable[[Rows], str]]] = {
    "tables": (entities.TITLE, entities.draw, entities.description),
    "growth": (growth.TITLE, growth.draw, growth.description),
}
# Drawn once more for narrow screens; the style sheet shows one of the two.
NARROW: dict[str, Callable[[Rows], Drawing]] = {"tables": entities.draw_narrow}
FROM_LINES: dict[str, tuple[Callable[[Sequence[str]], Drawing], Callable[[Sequence[str]], str]]] = {
    "sequence": (sequence.draw, sequence.description),
    "timeline": (timeline.draw, timeline.description),
}


class Diagrams(Extension):
    """Draws in the place of each comment that asks for it."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown calls it by this name
        """Add what the extension does to an instance of Markdown."""
        PageFinder.register(md)
        md.postprocessors.register(_Draw(md), "website-diagrams", 6)


class _Draw(Postprocessor):
    def run(self, text: str) -> str:
        numbers = itertools.count(1)
        page = page_of(self.md).name

        def drawn(comment: re.Match[str]) -> str:
            try:
                return diagram(comment, page, f"diagram-{next(numbers)}")
            except (KeyError, ValueError) as error:
                return NOTHING + refusal(f"docs/{page}: the {comment['kind']} diagram: {error}")

        return COMMENT.sub(drawn, text)


def diagram(comment: re.Match[str], page: str, name: str) -> str:
    """Return a diagram as an element of a page.

    Arguments:
        comment: what asks for it.
        page: the page's path below docs.
        name: the start of its ids, which no other diagram of the page has.

    Raises:
        ValueError: the comment asks for what cannot be drawn.
    """
    kind = comment["kind"]
    lines = [line.strip() for line in unescape(comment["lines"]).strip().splitlines()]
    if kind in FROM_ROWS:
        title, draw, description = FROM_ROWS[kind]
        rows = _printed_by(unescape(comment["block"]), page)
        wide = draw(rows).svg(name, title, description(rows))
        if kind not in NARROW:
            return wide
        narrow = NARROW[kind](rows).svg(f"{name}-narrow", title, description(rows))
        return f'<div class="diagram--wide">{wide}</div><div class="diagram--narrow">{narrow}</div>'
    if kind in FROM_LINES and lines:
        draw_lines, describe_lines = FROM_LINES[kind]
        return draw_lines(lines[1:]).svg(name, lines[0], describe_lines(lines[1:]))
    raise ValueError(f"{comment[0]!r} asks for none of {', '.join([*FROM_ROWS, *FROM_LINES])}")


def _printed_by(block: str, page: str) -> list[dict[str, str]]:
    """The rows that a block of a page has printed."""
    entries = [entry for entry in proof.read().entries(page) if entry["id"] in (block, f"{block}-output")]
    if not entries:
        raise ValueError(f"the block {block} has not run; {proof.REMEDY}")
    rows = rows_of(entries[-1].get("output", ""))
    if not rows:
        raise ValueError(f"the block {block} has printed no table")
    return rows


def rows_of(output: str) -> list[dict[str, str]]:
    """Return the rows of a table that psql has printed, by the names of its columns."""
    lines = [line for line in output.splitlines() if line.strip() and not COUNT.fullmatch(line.strip())]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines if not RULE.fullmatch(line.strip())]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]  # a row of another length is an error

"""The MkDocs hook that draws: a comment on a page is the place of a diagram, and says what is to be drawn.

`<!-- diagram: tables the-tables[1] -->` draws what the block of that id has printed when the handbook's tests ran it,
which the proof holds: the picture is that of the database on which the page's blocks ran. `sequence` and `timeline`
draw the lines of the comment itself, of which the first is the title.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.exceptions import PluginError

import entities
import growth
import sequence
import timeline
from drawing import Drawing
from proof import PROOF, Proof

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

COMMENT = re.compile(r"<!-- diagram: (?P<kind>\w+) *(?P<block>[^\n]*?)(?P<lines>(?:\n.*?)?)\s*-->", re.DOTALL)
RULE = re.compile(r"[-+]+")
COUNT = re.compile(r"\(\d+ rows?\)")
NOTHING = '<p class="proof proof--unverified">Drawn when the block that it is about has run</p>'

Rows = Sequence[dict[str, str]]
# What is drawn from a block's output, and what from lines of text: each with a function that draws, and one that tells.
FROM_ROWS: dict[str, tuple[str, Callable[[Rows], Drawing], Callable[[Rows], str]]] = {
    "tables": (entities.TITLE, entities.draw, entities.description),
    "growth": (growth.TITLE, growth.draw, growth.description),
}
FROM_LINES: dict[str, tuple[Callable[[Sequence[str]], Drawing], Callable[[Sequence[str]], str]]] = {
    "sequence": (sequence.draw, sequence.description),
    "timeline": (timeline.draw, timeline.description),
}

_proof = Proof({})


def on_config(config: MkDocsConfig) -> None:
    """Read the proof."""
    global _proof  # noqa: PLW0603 - MkDocs calls functions of this module, which share what they know here
    _proof = Proof.read(Path(config.config_file_path).parent / PROOF)


def on_page_content(html: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Draw in the place of each comment that asks for it; a strict build refuses one that cannot be drawn yet."""
    numbers = itertools.count(1)

    def drawn(comment: re.Match[str]) -> str:
        drawing = diagram(comment, page.file.src_uri, f"diagram-{next(numbers)}")
        if drawing == NOTHING and config.strict:
            block = unescape(comment["block"])
            raise PluginError(f"{page.file.src_uri}: to draw from {block}, which has not run: run make docs-test")  # noqa: TRY003
        return drawing

    return COMMENT.sub(drawn, html)


def diagram(comment: re.Match[str], page: str, name: str) -> str:
    """A diagram as an element of a page.

    Args:
        comment: what asks for it.
        page: the page's path below docs.
        name: what no other diagram of the page is called.

    Raises:
        PluginError: the comment asks for what cannot be drawn.
    """
    kind = comment["kind"]
    lines = [line.strip() for line in unescape(comment["lines"]).strip().splitlines()]
    try:
        if kind in FROM_ROWS:
            return _from_rows(kind, unescape(comment["block"]), page, name)
        if kind in FROM_LINES and lines:
            draw, description = FROM_LINES[kind]
            return draw(lines[1:]).svg(name, lines[0], description(lines[1:]))
    except ValueError as error:
        raise PluginError(f"{page}: the {kind} diagram: {error}") from None  # noqa: TRY003
    raise PluginError(f"{page}: no diagram is {comment[0]!r}; there are {', '.join([*FROM_ROWS, *FROM_LINES])}")  # noqa: TRY003


def _from_rows(kind: str, block: str, page: str, name: str) -> str:
    title, draw, description = FROM_ROWS[kind]
    entries = [entry for entry in _proof.pages.get(page, []) if entry["id"] in (block, f"{block}-output")]
    if not entries:
        return NOTHING
    rows = rows_of(entries[-1].get("output", ""))
    if not rows:
        raise ValueError(f"the block {block} has printed no table")  # noqa: TRY003 - the caller names the page
    return draw(rows).svg(name, title, description(rows))


def rows_of(output: str) -> list[dict[str, str]]:
    """The rows of a table that psql has printed, by the names of its columns."""
    lines = [line for line in output.splitlines() if line.strip() and not COUNT.fullmatch(line.strip())]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines if not RULE.fullmatch(line.strip())]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]  # a row of another length is an error

"""Cells: a block, what it printed below it, and one mark for both."""

from __future__ import annotations

import re
from typing import Any
from weakref import WeakKeyDictionary

from markdown import Markdown

from website.digest import block_key
from website.marks import report
from website.marks.block import Blocks
from website.marks.mark import mark

END = "<!--cell-->"
OUTPUT = '<div class="cell cell--output">'
# What a terminal shows goes on in the next line if it is too long. On a narrow screen a table would fall apart: it is
# scrolled there.
WRAPPED = {"console", "pycon", "text"}
TABLE = "-+-"
JOINT = re.compile(rf"</div>{END}\s*{OUTPUT}")

_blocks: WeakKeyDictionary[Markdown, Blocks] = WeakKeyDictionary()


def start(md: Markdown, blocks: Blocks) -> None:
    """Note whose blocks an instance of Markdown renders next."""
    _blocks[md] = blocks


def blocks_of(md: Markdown) -> Blocks:
    """Return the blocks of the page that an instance of Markdown renders."""
    return _blocks[md]


def format_block(
    source: str, language: str, class_name: str, options: dict[str, Any], md: Markdown, **keywords: Any
) -> str:
    """Highlight a block as SuperFences does, and put it into a cell with its mark; SuperFences calls this."""
    fences: Any = md.preprocessors["fenced_code_block"]
    code: str = fences.highlight(src=source, language=language, options=options, md=md, **keywords)
    if language == "console" and report.COMMAND in source:
        code = report.color(code)
    if language in WRAPPED:
        code = code.replace('class="', 'class="wrapped table ' if TABLE in source else 'class="wrapped ', 1)
    blocks = blocks_of(md)
    entry = blocks.take(language, source)
    below = mark(entry, stale=bool(blocks.staleness))
    if blocks.live:
        below = f'<div data-proof-key="{block_key(language, source)}">{below}</div>'
    start = OUTPUT if entry is not None and entry["kind"] == "output" else '<div class="cell">'
    return f"{start}{code}{below}</div>{END}"


def join(html: str) -> str:
    """Make one cell of each block and its output, if nothing stands between them."""
    return JOINT.sub("", html).replace(END, "")

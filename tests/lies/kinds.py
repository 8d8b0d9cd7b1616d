"""Which lies there are about a page: what each kind of block shows, and what of it can be altered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import PurePosixPath

from handbook.block import Block, BlockError, Kind
from handbook.exchange import exchanges_of
from handbook.page import Page
from lies import code, commands, data, outputs, sql
from lies.lie import Edit, Lie, Part, altered, distinct

# A block of a page within a page that does not run, and set-up that is hidden.
LEFT_OUT = re.compile(
    r"<!-- not run:.*?-->\n(?P<fence>`{3,}).*?\n(?P=fence)(?!`)|<!-- invisible-code-block:.*?-->", re.DOTALL
)
PROMPT_WIDTHS = {Kind.PYCON: 4, Kind.CONSOLE: 2}
NOTHING = {Kind.PYCON: "pass", Kind.CONSOLE: ":"}


def lies_of(name: str, page: Page) -> list[Lie]:
    """Every lie about a page, in the order of its text.

    Hidden set-up, blocks that do not run and blocks that are only shown are left out: nobody reads the one as a
    statement, and the page says of the others that they are not tested.

    Arguments:
        name: the page's path below docs.
        page: the page.
    """
    found: list[Lie] = []
    for block in page:
        if is_told(block):
            found += distinct(Lie(name, block, edit) for edit in edits_of(block))
    return sorted(found, key=lambda lie: lie.line)


def is_told(block: Block) -> bool:
    """Whether a block is one that the reader sees and that runs."""
    return block.kind is not Kind.SHOWN and block.reason is None and not block.setup


def edits_of(block: Block) -> Iterator[Edit]:
    """Every edit of a block that makes a lie of it."""
    if block.kind is Kind.PYTHON:
        yield from code.edits(block.text)
    elif block.kind is Kind.SQL:
        yield from sql.edits(block.text)
        statements = sql.statements(block.text)
        if len(statements) == 1 and block.output is None:
            yield Edit("SQL statement", *statements[0], "")
    elif block.kind is Kind.BASH:
        yield from commands.edits(block.text)
    elif block.kind in PROMPT_WIDTHS:
        yield from _session_edits(block)
    elif block.kind is Kind.FILE:
        yield from _file_edits(block)
    else:
        yield from data.edits(block.text)
    if block.output is not None:
        for edit in outputs.edits(block.output.text):
            yield replace(edit, part=Part.OUTPUT)


def _file_edits(block: Block) -> Iterator[Edit]:
    path = PurePosixPath(str(block.fence.title))
    if path.suffix == ".py":
        yield from code.edits(block.text)
    elif path.suffix == ".sql":
        yield from sql.edits(block.text)
    elif path.suffix == ".sh":
        yield from commands.edits(block.text)
    else:
        left_out = [match.span() for match in LEFT_OUT.finditer(block.text)] if path.suffix == ".md" else []
        for edit in data.edits(block.text):
            if not any(start <= edit.start and edit.end <= end for start, end in left_out):
                yield edit
    start = len(str(path)) - len(path.name)
    yield Edit("path", start, start + len(path.stem), altered(path.stem), Part.TITLE)


def _session_edits(block: Block) -> Iterator[Edit]:
    """The lies about a session: about its prompts, and about what it shows below them."""
    try:
        exchanges = exchanges_of(block)
    except BlockError:
        return
    starts = list(accumulate((len(line) + 1 for line in block.text.split("\n")), initial=0))
    for exchange in exchanges:
        text, expected = exchange.text, exchange.expected
        first = exchange.line - block.first_line

        def place(offset: int, first: int = first, text: str = text) -> int:
            """Where in the block a place of the code is, which is without the prompts."""
            column = offset - (text.rfind("\n", 0, offset) + 1)
            return starts[first + text.count("\n", 0, offset)] + PROMPT_WIDTHS[block.kind] + column

        for edit in code.literals(text) if block.kind is Kind.PYCON else commands.edits(text):
            yield replace(edit, start=place(edit.start), end=place(edit.end))
        if not expected.lines and not _is_idle(block.kind, text):
            yield Edit("statement", place(0), place(len(text)), NOTHING[block.kind])
        if expected.lines:
            begin = starts[expected.line - block.first_line]
            shown = block.text[begin:].split("\n")[: expected.count]
            yield from (edit.moved(begin) for edit in outputs.edits("\n".join(shown)))


def _is_idle(kind: Kind, text: str) -> bool:
    """Whether a prompt without output only waits or tidies up."""
    if kind is Kind.CONSOLE:
        return text.split(maxsplit=1)[0] in commands.PAUSES | commands.TIDIES
    return not any(edit.kind == "statement" for edit in code.edits(text))

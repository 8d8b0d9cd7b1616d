"""Reading a page: from its text to its blocks, and what is wrong with them."""

from __future__ import annotations

import difflib
from collections import Counter
from pathlib import Path

from mkdocs.utils import meta

from handbook.block import WITHOUT_OUTPUT, Block, Kind, UnknownBlockError, classify
from handbook.directives import read_directives
from handbook.fences import unfenced_code, wrong_fences
from handbook.page import DATABASES, Page
from handbook.rendering import Fence, Renderer, Rendering

TOP = "top"
NOT_TEXT = "a character that is not UTF-8; save the page as UTF-8"


def text_of(source: Path | bytes) -> str:
    """The text of a page's file, or of what was read from it: U+FFFD for what is not UTF-8, and one line end."""
    data = source.read_bytes() if isinstance(source, Path) else source
    return data.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def read(text: str, renderer: Renderer) -> Page:
    """Read a page.

    Arguments:
        text: the page's whole text.
        renderer: renders it as the site does.
    """
    rendering = renderer.render(text)
    page = Page()
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if "\ufffd" in line:
            page.wrong(number, NOT_TEXT)
    _read_metadata(page, rendering, text)
    for number, message in [*wrong_fences(rendering, lines), *unfenced_code(rendering, lines)]:
        page.wrong(number, message)
    _read_blocks(page, rendering.fences)
    read_directives(page, rendering, lines)
    _number(page)
    page.problems.sort(key=lambda problem: problem.line)
    return page


def _read_metadata(page: Page, rendering: Rendering, text: str) -> None:
    match = meta.YAML_RE.match(text)
    if match and match[1].strip() and not rendering.metadata:
        page.wrong(1, "front matter that is not YAML, or not keys and values: the site ignores it")
    others = [key for key in rendering.metadata if key != "database"]
    for key in difflib.get_close_matches("database", others, cutoff=0.75):
        page.wrong(1, f"front matter: unknown key {key!r}; is it database?")
    database = rendering.metadata.get("database", DATABASES[0])
    if database in DATABASES:
        page.database = database
    else:
        page.wrong(1, f"front matter: database is {database!r}; it can be migrated, empty or checkout")


def _read_blocks(page: Page, fences: list[Fence]) -> None:
    above: Block | None = None
    for fence in sorted(fences, key=lambda fence: fence.line):
        try:
            kind = classify(fence)
        except UnknownBlockError as error:
            page.wrong(fence.line, str(error))
            # Whatever it was meant to be, expected output below it is no second problem.
            above = Block(fence, Kind.PYTHON)
            continue
        if kind is not Kind.OUTPUT:
            above = Block(fence, kind)
            page.blocks.append(above)
        elif above is None or above.kind is Kind.SHOWN:
            page.wrong(fence.line, "expected output with no block above it that it could belong to")
        elif above.output is not None:
            page.wrong(fence.line, "the block above has its expected output already")
        elif above.kind in WITHOUT_OUTPUT:
            page.wrong(fence.line, f"expected output below a {above.kind.value} block, which has no output of its own")
        else:
            above.output = fence


def _number(page: Page) -> None:
    """Give each block that is tested its id: heading and number under it; hidden set-up is counted by itself."""
    counts: Counter[str] = Counter()
    for block in page.blocks:
        if block.kind is not Kind.SHOWN:
            name = f"{block.fence.heading or TOP}.setup-" if block.setup else f"{block.fence.heading or TOP}."
            counts[name] += 1
            block.id = f"{name}{counts[name]}"

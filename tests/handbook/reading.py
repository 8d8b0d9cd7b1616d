"""Reading a page: from its text to its blocks, and what is wrong with them."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from mkdocs.utils import meta
from sybil.parsers.markdown.lexers import FENCE

from handbook.block import WITHOUT_OUTPUT, Block, Kind, UnknownBlockError, classify
from handbook.directives import read_directives
from handbook.page import DATABASES, Page
from handbook.rendering import Fence, Renderer, Rendering

TOP = "top"
NOT_TEXT = "a character that is not UTF-8; save the page as UTF-8"
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
    for number, message in [*_wrong_fences(rendering, lines), *_unfenced_code(rendering, lines)]:
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


def _wrong_fences(rendering: Rendering, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The line and the remedy of each fence that is not what it looks like, and of each snippet."""
    shown = {line.strip() for text in rendering.unfenced for line in text.split("\n")}
    silent = rendering.inside | _commented(rendering, lines)
    for number, line in enumerate(lines, 1):
        if number >= rendering.body_line and number not in silent and line.strip() not in shown:
            if _looks_like_fence(line):
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


def _unfenced_code(rendering: Rendering, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The line and the remedy of what is shown as code, without a mark, and would never be tested."""
    outside = [(number, line) for number, line in enumerate(lines, 1) if number not in rendering.inside]
    after = rendering.body_line
    for text in rendering.unfenced:
        first = next((line.strip() for line in text.split("\n") if line.strip()), "")
        found = [number for number, line in outside if number >= after and first and first in line]
        after = next(iter(found), next((number for number, line in outside if "<pre" in line), rendering.body_line))
        yield after, UNFENCED


def _looks_like_fence(line: str) -> bool:
    """Whether Markdown could read this line as the start or the end of a fence."""
    match = FENCE.match(line)
    # CommonMark: the info string of a backtick fence holds no backtick, else the line is inline code.
    return match is not None and not (match["fence"][0] == "`" and "`" in match["trailing"])

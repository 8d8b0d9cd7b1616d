"""A page's prose, section by section, each with what its blocks show."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from markdown.extensions.toc import slugify

from handbook.reading import read, text_of
from handbook.rendering import Renderer
from handbook.session import pages_of
from prose.table import tables
from website.pages import FRONT_MATTER

ROOT = Path(__file__).resolve().parents[2]
BESIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
FENCE = re.compile(r"(?ms)^( *)(`{3,}|~{3,}).*?^\1\2 *$")
COMMENT = re.compile(r"(?s)<!--.*?-->")
HEADING = re.compile(r"(#{1,6}) (.*?)(?: *\{ *#([\w-]+) *\})?")
LINK = re.compile(r"\[(?P<text>(?:[^\[\]]|\[[^\]]*\])+)\]\((?P<page>[^)#\s]*)(?:#(?P<anchor>[\w.-]+))?\)")
LITERAL = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n *\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
SENTENCE = re.compile(r"(?<=[.:?!])\s+(?=[^a-z\s])")
PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*|] ?|\d+\. |: ))")


class Finding(NamedTuple):
    """What is wrong at a line of a page, and the remedy."""

    page: str
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.problem}"


@dataclass
class Section:
    """What stands below one heading of a page, up to the next.

    `source` is its text, without blocks, each line where it was; the first is line `line` of the page. `shown` is all
    that its blocks show.
    """

    page: str
    line: int
    level: int
    anchor: str
    title: str
    source: str
    shown: str = ""
    parent: Section | None = None
    children: list[Section] = field(default_factory=list)

    @cached_property
    def prose(self) -> str:
        """The source with blanks for its comments."""
        return COMMENT.sub(blank, self.source)

    @cached_property
    def scope(self) -> str:
        """What the blocks show of the section, of those below its headings, and of those that it is a part of."""
        return "\n".join(section.shown for section in (*self.above(), self, *self.below()))

    @cached_property
    def view(self) -> str:
        """What a reader of the section has in view, or one click away: all of the page, at its top."""
        return "\n".join((self.here, *self.linked()))

    @property
    def here(self) -> str:
        return self.scope if self.level > 1 else self.top.scope

    @property
    def top(self) -> Section:
        """The section above any heading, which has the whole page below it."""
        return self.parent.top if self.parent else self

    def above(self) -> Iterator[Section]:
        if self.parent:
            yield from self.parent.above()
            yield self.parent

    def altered(self, start: int, end: int, text: str) -> Section:
        """The section with another text in a place of its source."""
        return replace(self, source=self.source[:start] + text + self.source[end:])

    def below(self) -> Iterator[Section]:
        for child in self.children:
            yield child
            yield from child.below()

    def line_of(self, place: int) -> int:
        """The line of the page on which a place of the source or the prose is."""
        return self.line + self.prose.count("\n", 0, place)

    def paragraphs(self) -> Iterator[tuple[int, str]]:
        """The paragraphs, items and rows of tables, each with the line of the page on which it starts."""
        yield from ((self.line_of(place), plain(text)) for place, text in pieces(PARAGRAPH, self.prose))

    @cached_property
    def sentences(self) -> list[tuple[int, str]]:
        """The sentences, each with the line of the page on which it starts."""
        return [
            (self.line_of(start + place), plain(text))
            for start, paragraph in pieces(PARAGRAPH, self.prose)
            for place, text in pieces(SENTENCE, paragraph)
        ]

    def page_of(self, link: re.Match[str]) -> list[Section]:
        """The sections of the page that a link leads to; none, where it leads out of the handbook."""
        page = os.path.normpath(Path(self.page).parent / link["page"]) if link["page"] else self.page
        return handbook().get(page, [])

    def linked(self, parts: int | None = None) -> Iterator[str]:
        """What the sections show that links lead to: of a whole page, its first parts."""
        for link in LINK.finditer(self.prose):
            found = self.page_of(link)
            wanted = (one.scope for one in found if one.anchor == link["anchor"])
            yield from wanted if link["anchor"] else (one.shown for one in found[:parts])


def blank(found: re.Match[str]) -> str:
    """Blanks for a part of a text, each line where it was."""
    return re.sub(r"\S", " ", found[0])


def pieces(between: re.Pattern[str], text: str) -> Iterator[tuple[int, str]]:
    """The parts of a text, each with the place at which it starts."""
    cuts = [0, *(place for found in between.finditer(text) for place in found.span()), len(text)]
    for start, end in zip(cuts[::2], cuts[1::2], strict=True):
        part = text[start:end].lstrip()
        yield end - len(part), part


def plain(text: str) -> str:
    return " ".join(text.split())


def sections(page: str, text: str, renderer: Renderer) -> list[Section]:
    """The sections of a page, in their order; the first is what stands above any heading."""
    lines = FENCE.sub(blank, FRONT_MATTER.sub(blank, text)).split("\n")
    found = [Section(page, 1, 0, "", "", "")]
    seen: Counter[str] = Counter()
    own: list[list[str]] = [[]]
    for number, line in enumerate(lines, 1):
        if heading := HEADING.fullmatch(line):
            title = re.sub(r"[`*]", "", LINK.sub(r"\g<text>", heading[2]))
            anchor = heading[3] or slugify(title, "-")
            seen[anchor] += 1
            anchor += f"_{seen[anchor] - 1}" if seen[anchor] > 1 else ""
            parent = next(one for one in reversed(found) if one.level < len(heading[1]))
            found.append(Section(page, number, len(heading[1]), anchor, title, "", parent=parent))
            parent.children.append(found[-1])
            own.append([])
        own[-1].append(line)
    ends = [*(section.line for section in found[1:]), len(lines) + 1]
    blocks = read(text, renderer).blocks
    for section, end, mine in zip(found, ends, own, strict=True):
        section.source = "\n".join(mine)
        for block in (block for block in blocks if section.line <= block.line < end):
            shown = (block.fence.title or "", block.text, block.output.text if block.output else "")
            section.shown += plain(" ".join(shown)) + "\n"
        # What is compared is no less evidence than what a block shows.
        section.shown += "".join(f"{' | '.join(row)}\n" for table in tables(section.source, 1) for row in table.rows)
    return found


@cache
def handbook() -> Mapping[str, list[Section]]:
    """The sections of every page, by its path below the project."""
    renderer = Renderer(ROOT / "mkdocs.yml")
    files = [*pages_of(ROOT).values(), *(ROOT / name for name in BESIDE)]
    return {name: sections(name, text_of(file), renderer) for file in files if (name := str(file.relative_to(ROOT)))}


@cache
def page_shown(page: str) -> str:
    """All that the blocks of a page show; nothing, where it is no page."""
    return handbook()[page][0].scope if page in handbook() else ""


def everything() -> str:
    """All that the blocks of the handbook show."""
    return "\n".join(map(page_shown, handbook()))

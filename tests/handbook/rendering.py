"""What the site makes of a page's text: its fences as the reader sees them, with their places in the source.

SuperFences itself finds the fences, with the extensions of mkdocs.yml, so that what is collected cannot differ from
what is rendered: Python-Markdown renders the page with a marker in the place of each block, and a fence counts when its
marker stands in the finished HTML outside a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import markdown
from mkdocs.config import base, config_options
from mkdocs.exceptions import ConfigurationError
from mkdocs.utils import meta
from mkdocs.utils.yaml import yaml_load
from pymdownx.superfences import SuperFencesBlockPreprocessor, SuperFencesCodeExtension
from sybil.parsers.markdown.lexers import FENCE

MARKER = "data-handbook-block"
# The extensions that show on a page what became of its blocks.
PROOF = "website."
# A character of Unicode's private use area, which no page holds: it marks a fence line that SuperFences left alone.
STRAY = "\ue000{}\ue001"
STRAY_PATTERN = re.compile("\ue000(\\d+)\ue001")
COMMENT_START = re.compile(r"[ \t>]*<!--")


@dataclass(frozen=True)
class Fence:
    """One fenced block as the site renders it.

    `line` and `end_line` are the lines of the opening and the closing fence, from 1. `prefix` is what stands before the
    fence on its line (indentation, quote marks). `text` is the code as the reader sees it, without a final newline;
    its first line is line `line + 1` of the page. `heading` is the id of the heading above it, as in its address.
    """

    line: int
    end_line: int
    language: str
    title: str | None
    prefix: str
    text: str
    heading: str = ""


@dataclass(frozen=True)
class Rendering:
    """A page as the site renders it: its metadata, its fences in the order of the page, and the lines that look like
    the start or end of a fence but are neither rendered as one nor shown as literal text.

    `comments` are the lines on which the comments start that the reader does not see, each with the id of the heading
    above it. `literal` are the lines that start a comment or look like a fence, and are shown as they are. `unfenced`
    are the texts that the reader sees as code though no fence holds them."""

    metadata: dict[str, Any]
    fences: list[Fence]
    stray: list[int]
    body_line: int
    comments: dict[int, str]
    literal: set[int]
    unfenced: list[str]


class MarkdownConfig(base.Config):  # type: ignore[no-untyped-call] # MkDocs leaves a hook of the class untyped
    """The part of mkdocs.yml that decides what Python-Markdown makes of a page."""

    markdown_extensions = config_options.MarkdownExtensions(builtins=["toc", "tables", "fenced_code"])
    mdx_configs = config_options.Private[dict[str, dict[str, Any]]]()


@dataclass
class _Found:
    start: int
    end: int
    language: str
    title: str | None
    text: str


@dataclass(eq=False)
class Renderer:
    """Renders pages with the Markdown extensions of one mkdocs.yml.

    Args:
        configuration: path of mkdocs.yml.

    Raises:
        mkdocs.exceptions.ConfigurationError: an extension cannot be loaded.
    """

    configuration: Path
    _found: list[_Found] = field(default_factory=list)

    def __post_init__(self) -> None:
        with self.configuration.open("rb") as source:
            settings = yaml_load(source)
        config = MarkdownConfig()
        # What the proof adds to a page is not what the proof is about.
        extensions = [name for name in settings.get("markdown_extensions", []) if not str(name).startswith(PROOF)]
        config.load_dict({"markdown_extensions": extensions})
        errors, _ = config.validate()
        for _, error in errors:
            raise error
        self._markdown = markdown.Markdown(
            extensions=config.markdown_extensions, extension_configs=config.mdx_configs or {}
        )
        self._instrument()

    def _instrument(self) -> None:
        """Let SuperFences put a marker in the place of each block, and note the lines that the block stands on."""
        preprocessor = self._markdown.preprocessors["fenced_code_block"]
        if not isinstance(preprocessor, SuperFencesBlockPreprocessor):
            raise ConfigurationError(f"{self.configuration}: markdown_extensions must hold pymdownx.superfences")
        extension: SuperFencesCodeExtension = preprocessor.extension
        store = preprocessor._store

        def mark(src: str, language: str, options: dict[str, Any], **_: Any) -> str:
            self._found.append(_Found(0, 0, language or "", options.get("title"), src))
            return f'<div {MARKER}="{len(self._found) - 1}"></div>'

        def store_with_lines(source: str, code: str, start: int, end: int) -> None:
            self._found[-1].start, self._found[-1].end = start, end
            store(source, code, start, end)

        for entry in extension.superfences:
            entry["formatter"] = mark
        preprocessor._store = store_with_lines

    @lru_cache(maxsize=256)  # noqa: B019 - there are few renderers, and each lives as long as its process
    def render(self, text: str) -> Rendering:
        """Render a page's text.

        Args:
            text: the page's whole text with its front matter; any of the three line ends.
        """
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        body, metadata = meta.get_data(text)
        offset = text[: len(text) - len(body)].count("\n") if body else text.count("\n")
        lines = text.split("\n")
        shown = self._convert(body)
        fences = self._fences(lines, shown.blocks, offset)
        inside = {number for fence in fences for number in range(fence.line, fence.end_line + 1)}
        outside = [number for number in range(offset + 1, len(lines) + 1) if number not in inside]
        candidates = [number for number in outside if looks_like_fence(lines[number - 1])]
        comments = [number for number in outside if COMMENT_START.match(lines[number - 1])]
        outline = self._mark(lines, candidates, comments, offset)
        stray = [number for number in candidates if number not in outline.literal]
        return Rendering(metadata, fences, stray, offset + 1, outline.comments, outline.literal, shown.unfenced)

    def _convert(self, body: str) -> Outline:
        self._found.clear()
        self._markdown.reset()
        outline = Outline()
        outline.feed(self._markdown.convert(body))
        outline.close()
        return outline

    def _fences(self, lines: list[str], blocks: list[tuple[int, str]], offset: int) -> list[Fence]:
        fences = []
        for index, heading in blocks:
            found = self._found[index]
            line = found.start + offset + 1
            opening = FENCE.match(lines[line - 1])
            prefix = opening["prefix"] if opening else ""
            fences.append(Fence(line, found.end + offset, found.language, found.title, prefix, found.text, heading))
        return fences

    def _mark(self, lines: list[str], candidates: list[int], comments: list[int], offset: int) -> Outline:
        """The page rendered once more, with a token in the place of each candidate and at the start of each comment."""
        if not candidates and not comments:
            return Outline()
        marked = list(lines)
        for number in candidates:
            marked[number - 1] = re.sub(r"`{3,}|~{3,}", STRAY.format(number), marked[number - 1], count=1)
        for number in comments:
            marked[number - 1] = marked[number - 1].replace("<!--", "<!--" + STRAY.format(number), 1)
        return self._convert("\n".join(marked[offset:]))


def looks_like_fence(line: str) -> bool:
    """Whether Markdown could read this line as the start or the end of a fence."""
    match = FENCE.match(line)
    # CommonMark: the info string of a backtick fence holds no backtick, else the line is inline code.
    return match is not None and not (match["fence"][0] == "`" and "`" in match["trailing"])


class Outline(HTMLParser):
    """Reads finished HTML: the markers and the comments, each with the heading above it, and the tokens in literal
    text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[tuple[int, str]] = []
        self.literal: set[int] = set()
        self.unfenced: list[str] = []
        self.comments: dict[int, str] = {}
        self._heading = ""
        self._pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if (marker := values.get(MARKER)) is not None:
            self.blocks.append((int(marker), self._heading))
        elif re.fullmatch("h[1-6]", tag) and (heading := values.get("id")):
            self._heading = heading
        elif tag == "pre":
            self._pre += 1
            self.unfenced.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._pre -= 1

    def handle_data(self, data: str) -> None:
        if self._pre > 0:
            self.unfenced[-1] += data
            self.literal.update(_tokens(data))

    def handle_comment(self, data: str) -> None:
        tokens = list(_tokens(data))
        if STRAY_PATTERN.match(data):
            self.comments[tokens.pop(0)] = self._heading
        self.literal.update(tokens)


def _tokens(text: str) -> Iterator[int]:
    return (int(number) for number in STRAY_PATTERN.findall(text))

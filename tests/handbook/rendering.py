"""What the site makes of a page's text: its fences as the reader sees them, with their places in the source.

SuperFences itself finds the fences, with the extensions of mkdocs.yml, so that what is collected cannot differ from
what is rendered: Python-Markdown renders the page with a marker in the place of each block, and a fence counts when its
marker stands in the finished HTML outside a comment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
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
# Behind each `<!--` that starts a line stands the line's number, between two characters of Unicode's private use area,
# which no page holds: so the comment is found again in the finished HTML.
COMMENT_MARK = "\ue000{}\ue001"
COMMENT_MARK_PATTERN = re.compile("\ue000(\\d+)\ue001")
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
    """A page as the site renders it: its metadata, and its fences in the order of the page.

    `comments` are the lines on which the comments start that the reader does not see, each with the id of the heading
    above it; `inert_comments` are those within another comment or in code. `unfenced` are the texts that the reader
    sees as code though no fence holds them.
    """

    metadata: dict[str, Any]
    fences: list[Fence]
    body_line: int
    comments: dict[int, str]
    inert_comments: set[int]
    unfenced: list[str]

    @cached_property
    def inside(self) -> set[int]:
        """The lines of the page that stand in a fence, or open or close one."""
        return {number for fence in self.fences for number in range(fence.line, fence.end_line + 1)}


class MarkdownConfig(base.Config):  # type: ignore[no-untyped-call] # MkDocs leaves a hook of the class untyped
    """The part of mkdocs.yml that decides what Python-Markdown makes of a page."""

    markdown_extensions = config_options.MarkdownExtensions(builtins=["toc", "tables", "fenced_code"])
    mdx_configs = config_options.Private[dict[str, dict[str, Any]]]()


class Renderer:
    """Renders pages with the Markdown extensions of one mkdocs.yml.

    Arguments:
        configuration: path of mkdocs.yml.

    Raises:
        mkdocs.exceptions.ConfigurationError: an extension cannot be loaded.
    """

    def __init__(self, configuration: Path) -> None:
        with configuration.open("rb") as source:
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
        # The blocks of the page that is rendered: the lines that each stands on, from 0, and the fence.
        self._found: list[tuple[int, int, Fence]] = []
        preprocessor = self._markdown.preprocessors["fenced_code_block"]
        if not isinstance(preprocessor, SuperFencesBlockPreprocessor):
            raise ConfigurationError(f"{configuration}: markdown_extensions must hold pymdownx.superfences")
        self._instrument(preprocessor)

    def _instrument(self, preprocessor: SuperFencesBlockPreprocessor) -> None:
        """Let SuperFences put a marker in the place of each block, and note the lines that the block stands on."""
        store = preprocessor._store
        blocks: list[Fence] = []

        def mark(src: str, language: str, options: dict[str, Any], **_: Any) -> str:
            blocks.append(Fence(0, 0, language or "", options.get("title"), "", COMMENT_MARK_PATTERN.sub("", src)))
            return f'<div {MARKER}="{len(self._found)}"></div>'

        def store_with_lines(source: str, code: str, start: int, end: int) -> None:
            self._found.append((start, end, blocks.pop()))
            store(source, code, start, end)

        extension: SuperFencesCodeExtension = preprocessor.extension
        for entry in extension.superfences:
            entry["formatter"] = mark
        preprocessor._store = store_with_lines

    @lru_cache(maxsize=256)  # noqa: B019 - there are few renderers, and each lives as long as its process
    def render(self, text: str) -> Rendering:
        """Render a page's text.

        Arguments:
            text: the page's whole text with its front matter; any of the three line ends.
        """
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        body, metadata = meta.get_data(text)
        offset = text[: len(text) - len(body)].count("\n") if body else text.count("\n")
        lines = text.split("\n")
        marked = [
            line.replace("<!--", "<!--" + COMMENT_MARK.format(number), 1) if COMMENT_START.match(line) else line
            for number, line in enumerate(lines, 1)
        ]
        self._found.clear()
        outline = Outline()
        outline.feed(self._markdown.reset().convert("\n".join(marked[offset:])))
        outline.close()
        fences = []
        for index, heading in outline.blocks:
            start, end, fence = self._found[index]
            opening = FENCE.match(lines[start + offset])
            prefix = opening["prefix"] if opening else ""
            line, end_line = start + offset + 1, end + offset
            fences.append(replace(fence, line=line, end_line=end_line, prefix=prefix, heading=heading))
        return Rendering(metadata, fences, offset + 1, outline.comments, outline.inert_comments, outline.unfenced)


class Outline(HTMLParser):
    """Reads finished HTML: the markers and the comments, each with the heading above it, and code without a marker."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[tuple[int, str]] = []
        self.comments: dict[int, str] = {}
        self.inert_comments: set[int] = set()
        self.unfenced: list[str] = []
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
            self.unfenced[-1] += COMMENT_MARK_PATTERN.sub("", data)
            self.inert_comments.update(map(int, COMMENT_MARK_PATTERN.findall(data)))

    def handle_comment(self, data: str) -> None:
        numbers = [int(number) for number in COMMENT_MARK_PATTERN.findall(data)]
        if COMMENT_MARK_PATTERN.match(data):
            self.comments[numbers.pop(0)] = self._heading
        self.inert_comments.update(numbers)

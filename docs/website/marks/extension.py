"""The extension: it marks the blocks of a page, says at its head where they ran, and puts totals where a page asks.

Two settings in mkdocs.yml belong together: the extension, and the formatter of all fences, which SuperFences calls:

    markdown_extensions:
      - website.marks
      - pymdownx.superfences:
          custom_fences:
            - {name: "*", class: "", format: !!python/name:website.marks.cell.format_block, …}
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.postprocessors import Postprocessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor

from website import proof
from website.marks import cell, head, totals
from website.marks.block import Blocks
from website.pages import PageFinder, page_of

NAME = "website-marks"


class Marks(Extension):
    """Shows the proof on the pages."""

    def __init__(self, **options: Any) -> None:
        self.config = {"live": [False, "whether pages ask for the marks of their blocks while they are open"]}
        super().__init__(**options)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown calls it by this name
        """Add what the extension does to an instance of Markdown."""
        PageFinder.register(md)
        md.preprocessors.register(_Start(md, live=self.getConfig("live")), NAME, 900)
        # After the blocks have been put back into the page, which has the priority 30.
        md.postprocessors.register(_Finish(md), NAME, 5)
        md.treeprocessors.register(_Head(md), NAME, 0)


class _Start(Preprocessor):
    """Finds the proof of a page before its fences are read."""

    def __init__(self, md: Markdown, *, live: bool) -> None:
        super().__init__(md)
        self.live = live

    def run(self, lines: list[str]) -> list[str]:
        cell.start(self.md, Blocks(page_of(self.md), proof.read(), live=self.live))
        return lines


class _Head(Treeprocessor):
    """Adds to a page the line at its head and what keeps it from being published: its blocks have been read by now."""

    def run(self, root: Element) -> None:
        blocks = cell.blocks_of(self.md)
        title = root.find("h1")
        if title is not None:
            self._add(root, list(root).index(title) + 1, head.line(blocks))
        # A page that is being served is about to be proven.
        self._add(root, len(root), "" if blocks.live else blocks.refusals())

    def _add(self, root: Element, place: int, html: str) -> None:
        if html:
            paragraph = Element("p")
            paragraph.text = self.md.htmlStash.store(html)
            root.insert(place, paragraph)


class _Finish(Postprocessor):
    """Completes the cells and the totals of a page. The headings pass here once more, each alone."""

    def run(self, text: str) -> str:
        blocks = cell.blocks_of(self.md)
        return totals.replace(cell.join(text), blocks.proof, blocks.page.name)

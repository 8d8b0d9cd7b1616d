"""Pages as Sybil sees them: a document with a region for each block that is tested."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from sybil import Document, Example, Region
from sybil.typing import Parser

from handbook.block import Kind
from handbook.evaluators import EVALUATORS
from handbook.page import Page, read, text_of
from handbook.rendering import Renderer
from handbook.run import PageRun
from handbook.workshop import Order

CONFIGURATION = "mkdocs.yml"


class PageDocument(Document):
    """A page as Sybil sees it."""

    page: Page
    source: bytes = b""
    """The page's file as it was read."""

    @classmethod
    def parse(cls, path: str, *parsers: Parser, **_: Any) -> PageDocument:
        """Read a page as Sybil does, but for bytes that are no text: they are a problem of the page."""
        source = Path(path).read_bytes()
        document = cls(text_of(source), path)
        document.source = source
        for parser in parsers:
            for region in parser(document):
                document.add(region)
        return document

    @cached_property
    def blocks(self) -> list[Example]:
        """The blocks that are tested."""
        return list(self.examples())

    @property
    def order(self) -> Order:
        """What the workshop needs to know of the page."""
        return Order(Path(self.path), self.page.database)

    def start(self, run: PageRun) -> None:
        """Let a run of the page say which block's turn it is."""
        self.namespace["run"] = run
        self.push_evaluator(run.evaluate)

    def stop(self) -> PageRun | None:
        """Take the run away again; None where none has started."""
        run: PageRun | None = self.namespace.pop("run", None)
        if run is not None:
            self.pop_evaluator(run.evaluate)
        return run


class BlockParser:
    """Sybil's parser of pages.

    Arguments:
        renderer: renders them as the site does.
    """

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def __call__(self, document: Document) -> Iterable[Region]:
        """A region for each block of the page that is tested."""
        assert isinstance(document, PageDocument)
        document.page = read(document.text, self._renderer)
        starts = _line_starts(document.text)
        for block in document.page:
            if block.kind is not Kind.SHOWN:
                end = starts[min(block.fence.end_line, len(starts) - 1)]
                yield Region(starts[block.line - 1], end, parsed=block, evaluator=EVALUATORS[block.kind])


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.split("\n"):
        starts.append(min(starts[-1] + len(line) + 1, len(text)))
    return starts

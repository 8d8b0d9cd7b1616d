"""The handbook of one test session: its pages as Sybil's documents, the server they run on, and what became of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import pytest
from mkdocs.utils import markdown_extensions
from sybil import Document, Example, Region, Sybil

from handbook.block import Block
from handbook.document import CONFIGURATION, BlockParser, PageDocument
from handbook.lint import Finding, findings_of
from handbook.page import Page, read, text_of
from handbook.postgres import OWN_SERVER, DatabaseError, Postgres, serve, serve_alone
from handbook.proof import Record, stale_pages
from handbook.rendering import Renderer
from handbook.run import PageRun, Status
from handbook.update import UpdateError, apply_edits, check, settled
from handbook.workshop import DOCS, Workshop

# Tested like pages; the site and its proof do not have them.
BESIDE = ("README.md", "CONTRIBUTING.md")
MOST_WORKERS = 8


def default_workers() -> int:
    """How many processes run pages: twice the cores, since half of a page's time it waits for locks and programs."""
    return min(2 * (os.cpu_count() or 1), MOST_WORKERS)


class HandbookSybil(Sybil):
    """Sybil, with a block's own id for the name of its test."""

    def identify(self, example: Example) -> str:
        block: Block = example.parsed
        return block.id


class Handbook:
    """The handbook of one test session: its pages, the server they run on, and what became of their blocks."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.project = config.rootpath
        self.docs = self.project / DOCS
        self.record = Record(self.project, config.getoption("proof"))
        self.documents: dict[Path, PageDocument] = {}
        self.left: Counter[Path] = Counter()
        self.sybil = HandbookSybil(
            parsers=[self.parse],
            pattern="*.md",
            path=str(self.docs),
            document_types=dict.fromkeys(markdown_extensions, PageDocument),
        )
        self.updates: dict[str, str] = {}
        self._resources = ExitStack()
        self._server: Postgres | None = None
        self._uses_server = False
        self._renderer: Renderer | None = None

    def begin(self) -> Postgres:
        """Start the run: this process gets its environment, and the server, which not every page asks for, starts."""
        if self._server is None:
            try:
                self._server = self._resources.enter_context(serve())
            except (DatabaseError, SystemExit) as error:
                pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
        return self._server

    @property
    def server(self) -> Postgres:
        self._uses_server = True
        return self.begin()

    @property
    def renderer(self) -> Renderer:
        if self._renderer is None:
            self._renderer = Renderer(self.project / CONFIGURATION)
        return self._renderer

    @property
    def updating(self) -> bool:
        return bool(self.config.getoption("update_docs"))

    @property
    def version(self) -> str | None:
        return self.server.version if self._uses_server else None

    @cached_property
    def findings(self) -> dict[Path, list[Finding]]:
        """What the linters say of every page that this session has collected: they are quicker in one go."""
        return findings_of({path: document.page for path, document in self.documents.items()})

    @cached_property
    def left_out(self) -> set[Path]:
        """The pages that are not asked for because their proof is of their present text and of the present code."""
        if not self.config.getoption("unproven"):
            return set()
        return set(self.pages.values()) - set(stale_pages(self.project, self.pages))

    def owns(self, path: Path) -> bool:
        beside = path in (self.project / name for name in BESIDE)
        return (is_page(path, self.docs) or beside) and (self.project / CONFIGURATION).is_file()

    def parse(self, document: Document) -> Iterable[Region]:
        """Sybil's parser, which notes the pages."""
        assert isinstance(document, PageDocument)
        self.documents[Path(document.path)] = document
        return BlockParser(self.renderer)(document)

    @cached_property
    def workshop(self) -> Workshop:
        """Where this process's pages are given their workspaces.

        A process that is one of several has a server for its pages alone: no other page sees what one does to it.
        """
        several = hasattr(self.config, "workerinput") and OWN_SERVER not in os.environ
        postgres = self._resources.enter_context(serve_alone()) if several else self.server
        workshop = Workshop(self.project, postgres)
        self._resources.callback(workshop.close)
        return workshop

    def run_of(self, document: PageDocument) -> PageRun:
        """The page's run, started with the first of its blocks."""
        if "run" not in document.namespace:
            order = document.order
            paths = list(self.left)
            following = next(
                (self.documents[path].order for path in paths[paths.index(order.page) + 1 :] if self.left[path]), None
            )
            run = PageRun(document.blocks, order, lambda: self.workshop, updating=self.updating, following=following)
            document.start(run)
        run = document.namespace["run"]
        assert isinstance(run, PageRun)
        return run

    def expect(self, pages: Iterable[Path]) -> None:
        """Note how many of each page's blocks will have their turn: the page of each block that will run."""
        self.left = Counter(pages)

    def had_turn(self, path: Path) -> str | None:
        """Note that one of a page's blocks has had its turn; after the last one the page ends.

        Returns:
            What became of the page's expected output, once the page has ended and was to be brought up to date.
        """
        self.left[path] -= 1
        run = self._finish(path) if self.left[path] == 0 else None
        return self._update(path, run) if run is not None and self.updating else None

    def _finish(self, path: Path) -> PageRun | None:
        run = self.documents[path].stop()
        if run is not None:
            run.close()
        return run

    def _update(self, path: Path, run: PageRun) -> str:
        if any(outcome.status is Status.FAILED for outcome in run.outcomes.values()):
            return "left as it is: another of its blocks fails"
        if not run.edits:
            return "up to date"
        document = self.documents[path]
        try:
            # What differs from run to run is no output to write down.
            edits = [check(edit) for edit in settled(run.edits, self._rerun(document, updating=True).edits)]
            apply_edits(path, edits, document.source)
        except UpdateError as error:
            return f"left as it is: {error}"
        told = "1 output rewritten" if len(edits) == 1 else f"{len(edits)} outputs rewritten"
        fresh = PageDocument.parse(str(path), BlockParser(self.renderer))
        failures = [outcome.failure for outcome in self._rerun(fresh).outcomes.values()]
        left = next((f"; line {failure.line} still fails: {failure.summary}" for failure in failures if failure), "")
        return told + left

    def _rerun(self, document: PageDocument, *, updating: bool = False) -> PageRun:
        run = PageRun(document.blocks, document.order, lambda: self.workshop, updating=updating)
        document.start(run)
        try:
            run.advance()
        finally:
            document.stop()
            run.close()
        return run

    def write_proof(self) -> Path | None:
        """Write the proof of what this session ran, unless it ran no block."""
        if not self.record.pages or self.updating:
            return None
        return self.record.write(self.version, self.pages, self._read)

    @property
    def pages(self) -> dict[str, Path]:
        """The files of every page, by their paths below docs."""
        return pages_of(self.project)

    def _read(self, path: Path) -> Page:
        document = self.documents.get(path)
        return document.page if document else read(text_of(path), self.renderer)

    def close(self) -> None:
        for path in self.documents:
            self._finish(path)
        self._resources.close()


def pages_of(project: Path) -> dict[str, Path]:
    """The files of a checkout's pages, by their paths below docs: those that MkDocs publishes."""
    docs = project / DOCS
    return {path.relative_to(docs).as_posix(): path for path in sorted(docs.rglob("*")) if is_page(path, docs)}


def is_page(path: Path, docs: Path) -> bool:
    """Whether a file is one that MkDocs makes a page of, which leaves out hidden files and its theme's templates."""
    if path.suffix not in markdown_extensions or docs not in path.parents:
        return False
    parts = path.relative_to(docs).parts
    return parts[0] != "templates" and not any(part.startswith(".") for part in parts) and path.is_file()


HANDBOOK: pytest.StashKey[Handbook] = pytest.StashKey()

"""The handbook of one test session: its pages as Sybil's documents, the server they run on, and what became of them."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import pytest
from mkdocs.utils import markdown_extensions
from sybil import Example, Sybil

from handbook.block import Block
from handbook.document import CONFIGURATION, PageDocument
from handbook.lint import Finding, findings_of
from handbook.page import Page
from handbook.postgres import OWN_SERVER, DatabaseError, Postgres, serve, serve_alone
from handbook.proof import stale_pages
from handbook.rendering import Renderer
from handbook.run import PageRun
from handbook.update import update
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
        self.documents: dict[Path, PageDocument] = {}
        self.sybil = HandbookSybil(parsers=[])
        self.last_page: Path | None = None
        self._resources = ExitStack()

    @cached_property
    def server(self) -> Postgres:
        """The run's server; from its start on this process has the environment of the run."""
        try:
            return self._resources.enter_context(serve())
        except (DatabaseError, SystemExit) as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)

    @cached_property
    def renderer(self) -> Renderer:
        return Renderer(self.project / CONFIGURATION)

    @property
    def updating(self) -> bool:
        return bool(self.config.getoption("update_docs"))

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

    @property
    def pages(self) -> dict[str, Path]:
        """The files of every page, by their paths below docs."""
        return pages_of(self.project)

    def owns(self, path: Path) -> bool:
        beside = path in (self.project / name for name in BESIDE)
        return (is_page(path, self.docs) or beside) and (self.project / CONFIGURATION).is_file()

    def read(self, path: Path) -> PageDocument:
        """A page that this session tests."""
        document = self.documents[path] = PageDocument(path, self.renderer)
        return document

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
        run = document.namespace.get("run")
        if run is None:
            run = PageRun(document, document.page.database, lambda: self.workshop, updating=self.updating)
            run.more = Path(document.path) != self.last_page
        assert isinstance(run, PageRun)
        return run

    def end_run(self, path: Path) -> str | None:
        """End the run of a page, if it has one.

        Returns:
            What became of the page's expected output, if it was to be brought up to date.
        """
        document = self.documents[path]
        run: PageRun | None = document.namespace.get("run")
        if run is None:
            return None
        run.close()
        return update(document, run, self.renderer, self.workshop) if self.updating else None

    def page(self, path: Path) -> Page:
        """A page as it is read, whether this session tests it or not."""
        return (self.documents.get(path) or PageDocument(path, self.renderer)).page

    def close(self) -> None:
        for document in self.documents.values():
            if "run" in document.namespace:
                document.namespace["run"].close()
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

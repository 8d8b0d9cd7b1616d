"""The pytest plugin: pages become test files, blocks become test items, and the run becomes the proof."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from _pytest._code import Traceback
from sybil import Document, Example, Region, Sybil
from sybil.integration.pytest import SybilFile, SybilItem
from sybil.typing import Parser

from handbook.block import Block, Kind
from handbook.database import Server, serve
from handbook.failure import BlockError
from handbook.lint import Finding, findings_of, lintable
from handbook.page import Page, Problem, read, text_of
from handbook.record import Record, entries_of, problem_entry
from handbook.rendering import Renderer
from handbook.run import PageRun, Status
from handbook.update import apply_edits
from handbook.workspace import Workspace

DOCS = "docs"
CONFIGURATION = "mkdocs.yml"
EXAMPLES = "examples"
PROOF_PROPERTY = "handbook-proof"
UPDATE_PROPERTY = "handbook-update"


class PageDocument(Document):
    """A page as Sybil sees it."""

    page: Page
    run: PageRun | None = None

    @classmethod
    def parse(cls, path: str, *parsers: Parser, **_: Any) -> PageDocument:
        """Read a page as Sybil does, but for bytes that are no text: they are a problem of the page."""
        document = cls(text_of(Path(path)), path)
        for parser in parsers:
            for region in parser(document):
                document.add(region)
        return document

    @cached_property
    def by_id(self) -> dict[str, Example]:
        """The blocks as Sybil's examples."""
        return {example.parsed.id: example for example in self.examples()}

    def evaluate_block(self, example: Example) -> None:
        """The evaluator of every region: Sybil hands over the example, the page's run does the work."""
        assert self.run is not None
        self.run.evaluate(example.parsed)


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
        self.record = Record(self.project)
        self.documents: dict[Path, PageDocument] = {}
        self.left: Counter[Path] = Counter()
        self.sybil = HandbookSybil(
            parsers=[self.parse],
            pattern="*.md",
            path=str(self.docs),
            document_types={".md": PageDocument},
        )
        self.updates: dict[str, str] = {}
        self._resources = ExitStack()
        self._server: Server | None = None
        self._renderer: Renderer | None = None

    @property
    def server(self) -> Server:
        if self._server is None:
            self._server = self._resources.enter_context(serve())
        return self._server

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
        return self._server.version if self._server is not None else None

    @cached_property
    def findings(self) -> dict[Path, list[Finding]]:
        """What the linters say of every page that this session has collected: they are quicker in one go."""
        return findings_of({path: document.page for path, document in self.documents.items()})

    def owns(self, path: Path) -> bool:
        return path.suffix == ".md" and self.docs in path.parents and (self.project / CONFIGURATION).is_file()

    def parse(self, document: Document) -> Iterable[Region]:
        """Sybil's parser: a region for each block of the page that is tested."""
        assert isinstance(document, PageDocument)
        path = Path(document.path)
        document.page = read(document.text, self.renderer)
        self.documents[path] = document
        starts = _line_starts(document.text)
        for block in document.page:
            if block.kind is not Kind.SHOWN:
                end = starts[min(block.fence.end_line, len(starts) - 1)]
                yield Region(starts[block.line - 1], end, parsed=block, evaluator=document.evaluate_block)

    def run_of(self, document: PageDocument) -> PageRun:
        if document.run is None:
            path = Path(document.path)
            name = "-".join(path.relative_to(self.docs).with_suffix("").parts)
            workspace = Workspace(self.project, lambda: self.server, document.page.database, name)
            document.run = PageRun(path, document.page.blocks, workspace, self.updating)
        return document.run

    def expect(self, items: Iterable[pytest.Item]) -> None:
        """Note how many of each page's blocks will have their turn."""
        self.left = Counter(item.path for item in items if isinstance(item, BlockItem))

    def had_turn(self, path: Path) -> str | None:
        """Note that one of a page's blocks has had its turn; after the last one the page ends.

        Returns:
            What became of the page's expected output, once the page has ended and was to be brought up to date.
        """
        self.left[path] -= 1
        run = self._finish(path) if self.left[path] == 0 else None
        return self._update(path, run) if run is not None and self.updating else None

    def _finish(self, path: Path) -> PageRun | None:
        run = self.documents[path].run
        if run is not None:
            self.documents[path].run = None
            run.close()
        return run

    def _update(self, path: Path, run: PageRun) -> str:
        if any(outcome.status is Status.FAILED for outcome in run.outcomes.values()):
            return "left as it is: another of its blocks fails"
        if not run.edits:
            return "up to date"
        apply_edits(path, run.edits)
        return "1 output rewritten" if len(run.edits) == 1 else f"{len(run.edits)} outputs rewritten"

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


class PageFile(SybilFile):
    """One page."""

    def collect(self) -> Iterator[pytest.Item]:
        handbook = self.config.stash[HANDBOOK]
        document = handbook.sybil.parse(self.path)
        self.documents.append(document)
        assert isinstance(document, PageDocument)
        for problem in document.page.problems:
            yield ProblemItem.from_parent(self, name=f"line {problem.line}", problem=problem)
        if not document.page.problems:
            for example in document.examples():
                yield BlockItem.from_parent(self, sybil=handbook.sybil, example=example)
            if any(lintable(block) for block in document.page):
                yield ExamplesItem.from_parent(self, name=EXAMPLES)


class ProblemItem(pytest.Item):
    """Something that keeps a page from being tested; it fails."""

    def __init__(self, *, problem: Problem, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.problem = problem

    def runtest(self) -> None:
        self.user_properties.append((PROOF_PROPERTY, [problem_entry(self.problem)]))
        if self.config.stash[HANDBOOK].updating:
            self.user_properties.append((UPDATE_PROPERTY, f"left as it is: line {self.problem.line}"))
        raise BlockError(self.problem.line, self.problem.message)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.problem.line - 1, self.nodeid

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        return f"{_place(self, self.problem.line)}: {self.problem.message}"


class ExamplesItem(pytest.Item):
    """What the linters say of a page's code."""

    def runtest(self) -> None:
        found = self.config.stash[HANDBOOK].findings.get(self.path, [])
        if found:
            raise BlockError(found[0].line, f"{len(found)} findings", [f"{f.line}: {f}" for f in found])

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.nodeid

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if not isinstance(excinfo.value, BlockError):
            return super().repr_failure(excinfo, style)
        place = self.path.relative_to(self.config.rootpath)
        return "\n".join(f"{place}:{detail}" for detail in excinfo.value.details)


class BlockItem(SybilItem):
    """One block of a page."""

    @property
    def block(self) -> Block:
        block: Block = self.example.parsed
        return block

    def request_fixtures(self, names: Iterable[str]) -> None:
        """Blocks ask for no fixtures; what they share is the page workspace."""

    def setup(self) -> None:
        """Nothing to fill in: see `request_fixtures`."""

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.block.line - 1, self.nodeid

    def runtest(self) -> None:
        handbook = self.config.stash[HANDBOOK]
        document = self.example.document
        assert isinstance(document, PageDocument)
        run = handbook.run_of(document)
        outcome = run.reach(self.block, lambda block: document.by_id[block.id].evaluate())
        self.user_properties.append((PROOF_PROPERTY, entries_of(self.block, outcome)))
        if outcome.status is Status.NOT_RUN:
            raise pytest.skip.Exception(f"not run: {self.block.reason}", _use_item_location=True)
        if outcome.blocked_by is not None:
            self._not_reached(run, outcome.blocked_by)
        if outcome.failure is not None:
            raise outcome.failure

    def _not_reached(self, run: PageRun, blocker: Block) -> None:
        """A block that is not reached fails in the place of the one that failed, where that one has no report."""
        selected = {item.name for item in self.session.items if item.path == self.path}
        failure = run.outcomes[blocker.id].failure
        if blocker.id not in selected and failure is not None:
            raise failure
        reason = f"not reached: {_place(self, failure.line if failure else blocker.line)} failed"
        raise pytest.skip.Exception(reason, _use_item_location=True)

    def _traceback_filter(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Traceback:
        """Every frame: what is no `BlockError` comes from outside the block, where Sybil's filter finds no frame."""
        return excinfo.traceback

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, BlockError):
            return "\n".join(report(self, excinfo.value))
        return pytest.Item.repr_failure(self, excinfo, style)


def report(item: BlockItem, failure: BlockError) -> Iterator[str]:
    """What a person reads of a failure: where, what, the block, what differs, and what to do."""
    document = item.example.document
    assert isinstance(document, PageDocument)
    # Not always the item's own: a block above it may have failed in its place.
    block = [block for block in document.page if block.line <= failure.line][-1]
    yield f"{_place(item, failure.line)}: {failure.summary}"
    yield ""
    for number, line in enumerate(block.text.split("\n"), block.first_line):
        yield f"{'>' if number == failure.line else ' '} {number:4} | {line}".rstrip()
    if failure.details:
        yield ""
        yield from (f"    {line}".rstrip() for line in failure.details)
    yield ""
    yield f"Run it again:  .venv/bin/pytest '{item.path.relative_to(item.config.rootpath)}::{block.id}'"
    if failure.outdated:
        yield f"If what was printed is right:  make update-docs PAGE={item.path.relative_to(item.config.rootpath)}"


def pages_of(project: Path) -> dict[str, Path]:
    """The files of a checkout's pages, by their paths below docs."""
    docs = project / DOCS
    return {path.relative_to(docs).as_posix(): path for path in sorted(docs.rglob("*.md"))}


def _place(item: pytest.Item, line: int) -> str:
    return f"{item.path.relative_to(item.config.rootpath)}:{line}"


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.split("\n"):
        starts.append(min(starts[-1] + len(line) + 1, len(text)))
    return starts


HANDBOOK: pytest.StashKey[Handbook] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("handbook")
    group.addoption(
        "--update-docs", action="store_true", help="write what the handbook's blocks print into its expected output"
    )


def pytest_configure(config: pytest.Config) -> None:
    handbook = config.stash[HANDBOOK] = Handbook(config)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(handbook), "handbook-reporter")
        if config.getoption("numprocesses", None):
            # The workers inherit the server's address from this process's environment.
            _ = handbook.server
            if handbook.updating:
                # One process rewrites a page, once all of its blocks have run.
                config.option.dist = "loadfile"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> PageFile | None:
    handbook = parent.config.stash[HANDBOOK]
    if handbook.owns(file_path):
        page: PageFile = PageFile.from_parent(parent, path=file_path, sybils=[handbook.sybil])
        return page
    return None


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[HANDBOOK].expect(session.items)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    if isinstance(item, BlockItem):
        summary = item.config.stash[HANDBOOK].had_turn(item.path)
        if summary is not None:
            item.user_properties.append((UPDATE_PROPERTY, summary))


class Reporter:
    """Gathers what became of the blocks, in the process that reports: with xdist, not the one that ran them."""

    def __init__(self, handbook: Handbook) -> None:
        self.handbook = handbook

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        page = report.nodeid.split("::")[0]
        for name, value in report.user_properties:
            if report.when == "call" and name == PROOF_PROPERTY:
                self.handbook.record.add(page.removeprefix(f"{DOCS}/"), value)  # type: ignore[arg-type]
            elif report.when == "teardown" and name == UPDATE_PROPERTY:
                self.handbook.updates[page] = str(value)

    def pytest_sessionfinish(self) -> None:
        self.proof = self.handbook.write_proof()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for path, summary in sorted(self.handbook.updates.items()):
            terminalreporter.write_line(f"{path}: {summary}")
        if self.proof is not None:
            counts = Counter(
                entry["status"] for entry in self.handbook.record.blocks if entry["kind"] != Kind.OUTPUT.value
            )
            total = ", ".join(f"{counts[status.value]} {status.value}" for status in Status if counts[status.value])
            version = f" on PostgreSQL {self.handbook.version}" if self.handbook.version else ""
            name = self.proof.relative_to(self.handbook.project)
            terminalreporter.write_line(f"handbook: {total}{version}; proof in {name}")


def pytest_unconfigure(config: pytest.Config) -> None:
    if HANDBOOK in config.stash:
        config.stash[HANDBOOK].close()


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Server:
    """The run's PostgreSQL server."""
    return pytestconfig.stash[HANDBOOK].server


@pytest.fixture
def database_url(postgres: Server) -> Iterator[str]:
    """The address of a fresh, empty database."""
    name = postgres.create("empty")
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def migrated_url(postgres: Server) -> Iterator[str]:
    """The address of a fresh database with the checkout's migrations applied."""
    name = postgres.create("migrated")
    yield postgres.url(name)
    postgres.drop(name)

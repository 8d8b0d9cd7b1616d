"""Test items: a file for each page, an item for each block, and what a person reads of one that fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest._code import Traceback
from sybil.integration.pytest import SybilFile, SybilItem

from handbook.block import Block, BlockError, Kind
from handbook.document import PageDocument
from handbook.lint import lintable
from handbook.output import bounded, visible
from handbook.page import Problem
from handbook.program import LENIENT
from handbook.proof import entries_of, problem_entry
from handbook.run import PageRun
from handbook.session import HANDBOOK

EXAMPLES = "examples"
# What an item tells the process that reports: with xdist, another one than it runs in.
PROOF_PROPERTY = "handbook-proof"
UPDATE_PROPERTY = "handbook-update"
LENIENT_PROPERTY = "handbook-lenient"


class PageFile(SybilFile):
    """One page."""

    def collect(self) -> Iterator[pytest.Item]:
        handbook = self.config.stash[HANDBOOK]
        document = handbook.read(self.path)
        for problem in document.page.problems:
            yield ProblemItem.from_parent(self, name=f"line {problem.line}", problem=problem)
        if not document.page.problems:
            for example in document.examples():
                yield BlockItem.from_parent(self, sybil=handbook.sybil, example=example)
            if any(lintable(block) for block in document.page):
                yield ExamplesItem.from_parent(self, name=EXAMPLES)


class PageItem(pytest.Item):
    """Something that is untrue of a page as it stands, before any of it runs."""

    line = 1

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.line - 1, self.nodeid

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if not isinstance(excinfo.value, BlockError):
            return super().repr_failure(excinfo, style)
        return "\n".join(_place(self, detail) for detail in excinfo.value.details)


class ProblemItem(PageItem):
    """Something that keeps a page from being tested; it fails."""

    def __init__(self, *, problem: Problem, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.problem = problem
        self.line = problem.line

    def runtest(self) -> None:
        self.user_properties.append((PROOF_PROPERTY, [problem_entry(self.problem)]))
        if self.config.stash[HANDBOOK].updating:
            self.user_properties.append((UPDATE_PROPERTY, f"left as it is: line {self.line}"))
        raise BlockError(self.line, self.problem.message, [f"{self.line}: {self.problem.message}"])


class ExamplesItem(PageItem):
    """What the linters say of a page's code."""

    def runtest(self) -> None:
        if found := self.config.stash[HANDBOOK].findings.get(self.path, []):
            raise BlockError(found[0].line, f"{len(found)} findings", [f"{f.line}: {f}" for f in found])


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
        document = self.example.document
        assert isinstance(document, PageDocument)
        run = self.config.stash[HANDBOOK].run_of(document)
        if self.block.kind in (Kind.SQL, Kind.BASH, Kind.CONSOLE) and LENIENT.search(self.block.text):
            self.user_properties.append((LENIENT_PROPERTY, _place(self, self.block.line)))
        try:
            self.example.evaluate()
        except pytest.skip.Exception:
            if run.outcomes[self.block.id].blocked_by is not None:
                self._not_reached(run)
            raise
        finally:
            if outcome := run.outcomes.get(self.block.id):  # there is none where the run is interrupted
                self.user_properties.append((PROOF_PROPERTY, entries_of(self.block, outcome)))

    def _not_reached(self, run: PageRun) -> None:
        """A block that is not reached fails in the place of the one that failed, where that one has no report."""
        blocker = run.outcomes[self.block.id].blocked_by
        assert blocker is not None
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
            return "\n".join(self._explained(excinfo.value))
        return pytest.Item.repr_failure(self, excinfo, style)

    def _explained(self, failure: BlockError) -> Iterator[str]:
        """What a person reads of a failure: where, what, the block, what differs, and what to do."""
        document = self.example.document
        assert isinstance(document, PageDocument)
        # Not always the item's own: a block above it may have failed in its place.
        block = [block for block in document.page if block.line <= failure.line][-1]
        yield f"{_place(self, failure.line)}: {visible(failure.summary)}"
        yield ""
        for number, line in enumerate(block.text.split("\n"), block.first_line):
            yield f"{'>' if number == failure.line else ' '} {number:4} | {line}".rstrip()
        if failure.details:
            yield ""
            yield from (f"    {line}".rstrip() for line in bounded(failure.details))
        page = self.path.relative_to(self.config.rootpath)
        yield ""
        yield f"Run it again:  .venv/bin/pytest '{page}::{block.id}'"
        if failure.outdated:
            yield f"If what was printed is right:  make update-docs PAGE={page}"


def _place(item: pytest.Item, line: int | str) -> str:
    return f"{item.path.relative_to(item.config.rootpath)}:{line}"

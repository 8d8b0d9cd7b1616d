"""A worker: one process with a server of its own, which judges the lies about one page after the other."""

from __future__ import annotations

import time
import traceback
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from handbook.page import read, text_of
from handbook.postgres import serve_alone
from handbook.rendering import Renderer
from handbook.workshop import Workshop
from lies.kinds import is_told, lies_of
from lies.linted import linted
from lies.trial import Subject, judge, observe
from lies.verdict import Verdict, compared, dots, is_about_output

DOCS = "docs"
CONFIGURATION = "mkdocs.yml"


@dataclass
class PageReport:
    """What became of the lies about one page.

    `dots` are how many `...` stand within lines and how many for whole lines. `untold` are how many of its blocks do
    not run or are only shown. `failure` says why the page itself fails; then nothing was judged.
    """

    name: str
    verdicts: list[Verdict] = field(default_factory=list)
    dots: tuple[int, int] = (0, 0)
    untold: int = 0
    seconds: float = 0.0
    failure: str | None = None


@dataclass(frozen=True)
class Choice:
    """Which lies are told, and how.

    Args:
        kinds: the kinds that are wanted; None for all.
        run_output: run the lies about output too, instead of comparing.
    """

    kinds: frozenset[str] | None = None
    run_output: bool = False


class Worker:
    """Judges lies about pages of a checkout.

    Args:
        project: the checkout.
        choice: the lies that it tells.
    """

    def __init__(self, project: Path, choice: Choice) -> None:
        self.project, self.choice = project, choice
        self.renderer = Renderer(project / CONFIGURATION)
        self._resources = ExitStack()
        server = self._resources.enter_context(serve_alone())
        self.workshop = Workshop(project, server)
        self._resources.callback(self.workshop.close)

    def close(self) -> None:
        """End the worker's server."""
        self._resources.close()

    def subject(self, name: str) -> Subject:
        """A page, read."""
        path = self.project / DOCS / name
        return Subject(path, read(text_of(path), self.renderer))

    def judge(self, name: str) -> PageReport:
        """What becomes of the lies about a page; one that cannot be judged keeps no other from it.

        Args:
            name: the page's path below docs.
        """
        try:
            return self._judged(name)
        except Exception as error:
            return PageReport(name, failure="".join(traceback.format_exception_only(error)).strip())

    def _judged(self, name: str) -> PageReport:
        choice = self.choice
        start = time.perf_counter()
        subject = self.subject(name)
        told = [block for block in subject.blocks if is_told(block)]
        report = PageReport(name, dots=dots(told), untold=len([b for b in subject.page if not b.setup]) - len(told))
        if subject.page.problems:
            problem = subject.page.problems[0]
            report.failure = f"line {problem.line}: {problem.message}"
            return report
        course = observe(subject, self.workshop)
        report.failure = course.failure
        if report.failure is None:
            wanted = choice.kinds
            lies = [lie for lie in lies_of(name, subject.page) if wanted is None or lie.edit.kind in wanted]
            quick = [] if choice.run_output else [lie for lie in lies if is_about_output(lie)]
            report.verdicts = [compared(lie, course.printed.get(lie.block.id, [])) for lie in quick]
            slow = [lie for lie in lies if choice.run_output or not is_about_output(lie)]
            report.verdicts += linted([judge(subject, lie, course, self.workshop) for lie in slow])
            report.verdicts.sort(key=lambda verdict: verdict.lie.line)
        report.seconds = time.perf_counter() - start
        return report

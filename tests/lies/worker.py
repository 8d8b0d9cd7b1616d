"""A worker: one process with a server of its own, which judges the lies about one page after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from handbook.database import serve_alone
from handbook.page import read, text_of
from handbook.rendering import Renderer
from lies.kinds import is_told, lies_of
from lies.lie import Lie
from lies.linted import linted
from lies.trial import Course, Subject, judge, observe
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


EVERY = Choice()


class _Servers:
    """The worker's server, replaced where a lie has changed what cannot be put back."""

    def __init__(self) -> None:
        self._entered = serve_alone()
        self.server = self._entered.__enter__()

    def replace(self) -> None:
        self.close()
        self._entered = serve_alone()
        self.server = self._entered.__enter__()

    def close(self) -> None:
        self._entered.__exit__(None, None, None)


class Worker:
    """Judges lies about pages of a checkout.

    Args:
        project: the checkout.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self.renderer = Renderer(project / CONFIGURATION)
        self.servers = _Servers()

    def close(self) -> None:
        """End the worker's server."""
        self.servers.close()

    def subject(self, name: str) -> Subject:
        """A page, read."""
        path = self.project / DOCS / name
        return Subject(name, path, read(text_of(path), self.renderer), self.project)

    def judge(self, name: str, choice: Choice = EVERY) -> PageReport:
        """What becomes of the lies about a page.

        Args:
            name: the page's path below docs.
        """
        start = time.perf_counter()
        subject = self.subject(name)
        told = [block for block in subject.blocks if is_told(block)]
        report = PageReport(name, dots=dots(told), untold=len([b for b in subject.page if not b.setup]) - len(told))
        if subject.page.problems:
            problem = subject.page.problems[0]
            report.failure = f"line {problem.line}: {problem.message}"
            return report
        course = observe(subject, self.servers.server)
        report.failure = course.failure
        if report.failure is None:
            wanted = choice.kinds
            lies = [lie for lie in lies_of(name, subject.page) if wanted is None or lie.edit.kind in wanted]
            quick = [] if choice.run_output else [lie for lie in lies if is_about_output(lie)]
            report.verdicts = [compared(lie, course.printed.get(lie.block.id, [])) for lie in quick]
            slow = [lie for lie in lies if choice.run_output or not is_about_output(lie)]
            report.verdicts += linted(self._run(subject, slow, course, report))
            report.verdicts.sort(key=lambda verdict: verdict.lie.line)
        report.seconds = time.perf_counter() - start
        return report

    def _run(self, subject: Subject, lies: list[Lie], course: Course, report: PageReport) -> list[Verdict]:
        verdicts: list[Verdict] = []
        avoid: set[int] = set()
        while lies and report.failure is None:
            judgement = judge(subject, lies, course, avoid, self.servers.server)
            verdicts += judgement.verdicts
            if judgement.spoilt:
                self.servers.replace()
            if len(judgement.left) == len(lies) and judgement.unfaithful <= avoid:
                report.failure = judgement.failure or "a lie changes the server in a way that cannot be undone"
            avoid |= judgement.unfaithful
            lies = judgement.left
        return verdicts

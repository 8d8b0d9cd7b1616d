"""A worker: one process with a server of its own, which judges the lies about one page after the other."""

from __future__ import annotations

import time
import traceback
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from handbook.document import CONFIGURATION, PageDocument
from handbook.postgres import serve_alone
from handbook.rendering import Renderer
from handbook.workshop import DOCS, Workshop
from lies.kinds import is_told, lies_of
from lies.linted import linted
from lies.trial import judged, observe
from lies.verdict import Verdict, compared, dots, is_about_output


@dataclass
class PageReport:
    """What became of the lies about one page.

    Arguments:
        name: the page's path below docs.
        postgresql: the version of the server.
        verdicts: one for each lie.
        dots: how many `...` stand within lines, and how many for whole lines.
        seconds: how long it took.
        failure: why the page itself fails; then no lie was told.
    """

    name: str
    postgresql: str
    verdicts: list[Verdict] = field(default_factory=list)
    dots: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    failure: str | None = None


class Worker:
    """Judges lies about pages of a checkout.

    Arguments:
        project: the checkout.
        run_output: run the lies about output too, instead of comparing.
    """

    def __init__(self, project: Path, run_output: bool) -> None:
        self.project, self.run_output = project, run_output
        self.renderer = Renderer(project / CONFIGURATION)
        self._resources = ExitStack()
        self.postgres = self._resources.enter_context(serve_alone())
        self.workshop = Workshop(project, self.postgres)
        self._resources.callback(self.workshop.close)

    def close(self) -> None:
        """End the worker's server."""
        self._resources.close()

    def judge(self, name: str) -> PageReport:
        """What becomes of the lies about a page; one that cannot be judged keeps no other from it.

        Arguments:
            name: the page's path below docs.
        """
        report = PageReport(name, self.postgres.version)
        start = time.perf_counter()
        try:
            self._judge(report)
        except Exception as error:
            report.failure = "".join(traceback.format_exception_only(error)).strip()
        report.seconds = time.perf_counter() - start
        return report

    def _judge(self, report: PageReport) -> None:
        document = PageDocument(self.project / DOCS / report.name, self.renderer)
        page = document.page
        report.dots = dots([block for block in page if is_told(block)])
        if page.problems:
            report.failure = f"line {page.problems[0].line}: {page.problems[0].message}"
            return
        course = observe(document, self.workshop)
        report.failure = course.failure
        if report.failure is None:
            lies = lies_of(report.name, page)
            run = [lie for lie in lies if self.run_output or not is_about_output(lie)]
            verdicts = linted(list(judged(run, document, self.workshop, course)))
            if not self.run_output:
                verdicts += [compared(lie, course.printed[lie.block.id]) for lie in lies if is_about_output(lie)]
            report.verdicts = sorted(verdicts, key=lambda verdict: verdict.lie.line)

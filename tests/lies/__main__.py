"""`make lies`: tell every lie about the handbook's pages, and name those that no page notices."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from handbook.session import pages_of
from handbook.workshop import DOCS
from lies import report as reports
from lies.worker import PageReport, Worker
from trials.branch import BranchError, changed_lines
from trials.figures import say
from trials.pool import WorkerError, results


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell the lies; return the exit status: 0 each was caught, 1 one survived or a page failed."""
    parser = argparse.ArgumentParser(prog="make lies", description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, help="pages, or directories of pages; else all of docs")
    parser.add_argument("--changed", metavar="BASE", help="only pages that differ from where this branch left BASE")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 8), help="processes (%(default)s)")
    parser.add_argument("--run-output", action="store_true", help="run the lies about output too, not compare them")
    parser.add_argument("--record", action="store_true", help="write the figures that the handbook shows")
    options = parser.parse_args(arguments)
    project = Path.cwd()
    try:
        names = chosen(project, options.pages, options.changed)
    except BranchError as error:
        sys.exit(str(error))
    if not names:
        say("no page to tell lies about")
        return 0
    start = time.monotonic()
    done: dict[str, PageReport] = {}
    try:
        for name, report in results(partial(Worker, project, options.run_output), names, options.workers):
            done[name] = report
            outcome = report.failure or "{lies} lies, {survived} survived".format_map(reports.count(report))
            say(f"{DOCS}/{name}: {outcome} ({report.seconds:.0f} s)", *reports.survivors(report))
            reports.write_report(project / reports.REPORT, done, round(time.monotonic() - start, 1))
    except WorkerError as error:
        sys.exit(str(error))
    say("", *reports.summary(done), f"{time.monotonic() - start:.0f} s; the report is {reports.REPORT}")
    if options.record:
        reports.record(project, done, len(pages_of(project)))
    return int(any(report.failure or reports.count(report)["survived"] for report in done.values()))


def chosen(project: Path, paths: Sequence[Path], base: str | None) -> list[str]:
    """The pages to tell lies about, by their paths below docs, the longest first."""
    pages = pages_of(project)
    if paths:
        wanted = [(project / path).resolve() for path in paths]
        pages = {n: p for n, p in pages.items() if any(p.resolve().is_relative_to(path) for path in wanted)}
    if base is not None:
        changed = changed_lines(project, base, DOCS)
        pages = {name: path for name, path in pages.items() if f"{DOCS}/{name}" in changed}
    return sorted(pages, key=lambda name: -pages[name].stat().st_size)


if __name__ == "__main__":
    sys.exit(main())

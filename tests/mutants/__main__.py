"""`python -m mutants`: which changes of the backend the handbook notices."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import src.db.migration_runner  # noqa: F401 - the server's template is made by it, in processes forked from this one
from handbook.database import serve, serve_alone
from handbook.suite import default_workers
from mutants.book import SOURCE, Book
from mutants.change import ChangeError, changed_lines, touches
from mutants.examination import Examination, Finding, Verdict
from mutants.keep import Keep
from mutants.mutant import Mutant
from mutants.order import Order
from mutants.pool import Plan, Pool
from mutants.reach import Measurement, Reach
from mutants.report import REPORT, Report
from mutants.reviewed import outdated, read_reviews
from mutants.suite import SuiteError, tests_for
from mutants.trial import LEAST_LIMIT, Bench

KEEP_EVERY = 20.0  # seconds
PASSED, FAILED, WRONG_USAGE = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """Run one examination and return the exit status: 0 passed, 1 not, 2 wrong usage."""
    try:
        return _examine(_parsed(arguments))
    except SuiteError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED


def _examine(parsed: argparse.Namespace) -> int:
    # Leave in order, with what was found so far.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    project = Path.cwd()
    book = Book(project)
    keep = Keep(book)
    try:
        files, changed = _files(book, parsed.files), None
        if parsed.changed:
            changed = changed_lines(project, parsed.changed)
            files = [file for file in files if file in changed]
        reviews = read_reviews(project)
    except (ChangeError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return WRONG_USAGE
    mutants = keep.mutants(files)
    chosen = [mutant for mutant in mutants if changed is None or touches(changed, mutant)]
    if not chosen:
        sys.stdout.write("No mutants: nothing there to change.\n")
        return PASSED
    with ExitStack() as stack:
        # Each of several workers has a server of its own: a page can change more of it than its database.
        workers = min(parsed.workers, len(book.pages))
        start = serve_alone if workers > 1 else serve
        durations: dict[str, list[float]] = {}
        benches = [stack.enter_context(Bench(book, start, parsed.limit, durations)) for _ in range(workers)]
        postgresql = benches[0].server.version
        benches[0].server.close()
        pool = Pool(benches)
        reaches = _measured(book, pool, keep)
        failing = [reach.failure for reach in reaches.values() if reach.failure is not None]
        if failing:
            sys.stderr.write("These pages fail with the code as it is:\n" + "".join(f"  {text}\n" for text in failing))
            return FAILED
        durations.update({name: reach.durations for name, reach in reaches.items()})
        findings = {} if parsed.again else keep.findings()
        progress = _Progress(keep, findings, len(chosen))
        examination = Examination(_order(book, reaches, keep, mutants), pool, findings, progress.tell)
        try:
            examination.run(chosen, reviews)
        finally:
            progress.end()
        report = Report(book, chosen, findings, reviews, outdated(reviews.values(), mutants, files))
        if parsed.suite:
            report = replace(report, tests=tests_for(book, report.survivors, parsed.workers))
    whole = changed is None and len(files) == len(book.sources)
    report.write(project / parsed.report)
    if parsed.record:
        report.record(postgresql)
    sys.stdout.writelines(f"{line}\n" for line in [*report.survivors_shown(), "", *report.table()])
    complaints = list(report.complaints(whole=whole))
    sys.stdout.writelines(f"{line}\n" for line in ["", *complaints] if complaints)
    return FAILED if complaints else PASSED


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m mutants",
        description="Change the backend in one place after another, and see whether the handbook notices.",
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="files below backend/src (all of them)")
    parser.add_argument("--changed", metavar="BRANCH", help="only the lines that differ from where BRANCH was left")
    parser.add_argument("--suite", action="store_true", help="run the tests on what no page notices")
    parser.add_argument("--record", action="store_true", help="write the figures that the handbook shows")
    parser.add_argument("--again", action="store_true", help="try what earlier runs have tried as well")
    # More than run the pages as they are: a changed program often hangs until its time is over.
    parser.add_argument(
        "--workers",
        type=int,
        default=default_workers() * 3 // 2,
        metavar="N",
        help="processes at a time (%(default)s)",
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=LEAST_LIMIT,
        metavar="SECONDS",
        help="how long a block may take, besides four times what it takes with the code as it is (%(default)g)",
    )
    parser.add_argument(
        "--report", type=Path, default=REPORT, metavar="PATH", help="where the report goes (%(default)s)"
    )
    parsed = parser.parse_args(arguments)
    if parsed.record and (parsed.files or parsed.changed):
        parser.error(f"--record is for a run of every mutant, not for {' '.join(parsed.files) or '--changed'}")
    return parsed


def _files(book: Book, asked: Sequence[str]) -> list[str]:
    """The files that are asked for, each by its name or that of a directory above it; all of them unless any are.

    Raises:
        ValueError: there is no such file.
    """
    places = {file: (book.project / SOURCE / file).resolve() for file in book.sources}
    files: set[str] = set()
    for name in asked:
        path = Path(name).resolve()
        found = {file for file, place in places.items() if path in (place, *place.parents)}
        if not found:
            raise ValueError(f"{name} is no file of {SOURCE}, or one that is left as it is")
        files |= found
    return [file for file in book.sources if not asked or file in files]


def _measured(book: Book, pool: Pool, keep: Keep) -> dict[str, Reach]:
    """What each page reaches, measured anew where it or the code has changed."""
    reaches = keep.reaches()

    def plan(page: str) -> Plan:
        reaches[page] = yield Measurement(page)
        if reaches[page].failure is not None:
            # Other programs may have kept the machine busy; what is wrong with the page is so the second time too.
            reaches[page] = yield Measurement(page)
        _say(f"measuring what the pages execute: {len(reaches)} of {len(book.pages)}")

    try:
        pool.carry_out([plan(page) for page in book.pages if page not in reaches])
    finally:
        keep.keep_reaches(reaches)
        _say("")
    return reaches


def _order(book: Book, reaches: Mapping[str, Reach], keep: Keep, mutants: Sequence[Mutant]) -> Order:
    """The order of trials, with what earlier runs have taught."""
    order = Order(book, reaches, keep.places(mutants), keep.left(mutants))
    for mutant in filter(order.is_known, mutants):
        order.learn(mutant, order.places[mutant.id][0])
    return order


class _Progress:
    """The line that says how far an examination is, and the findings that are kept should it be broken off."""

    def __init__(self, keep: Keep, findings: dict[str, Finding], count: int) -> None:
        self._keep, self._findings, self._count = keep, findings, count
        self._killed = self._done = 0
        self._kept = time.monotonic()

    def tell(self, mutant: Mutant, finding: Finding) -> None:
        self._done += 1
        self._killed += finding.verdict is Verdict.KILLED
        _say(f"{self._done} of {self._count}, {self._killed} killed: {mutant.file}")
        if time.monotonic() - self._kept > KEEP_EVERY:
            self._keep.keep_findings(self._findings)
            self._kept = time.monotonic()

    def end(self) -> None:
        self._keep.keep_findings(self._findings)
        _say("")


def _say(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

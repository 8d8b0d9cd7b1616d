"""`make lies`: tell every lie about the handbook's pages, and name those that no page notices."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from handbook.proof import PROOF, read_proof
from handbook.session import pages_of
from handbook.workshop import DOCS
from lies import report as reports
from lies.worker import Choice, PageReport, Worker
from trials.branch import BranchError, changed_lines
from trials.pool import WorkerError, results

FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make lies", description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, help="pages, or directories of pages; else all of docs")
    parser.add_argument("--changed", metavar="BASE", help="only pages that differ from where this branch left BASE")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 8), help="processes (%(default)s)")
    parser.add_argument("--report", type=Path, default=reports.REPORT, help="the report (%(default)s)")
    parser.add_argument("--run-output", action="store_true", help="run the lies about output too, not compare them")
    parser.add_argument("--kinds", metavar="KIND,...", help="only these kinds of lies, as the report names them")
    parser.add_argument("--record", action="store_true", help="write the figures that the handbook shows, of all pages")
    options = parser.parse_args(arguments)
    if options.record and (options.pages != [Path(DOCS)] or options.changed or options.kinds):
        parser.error("--record is for a run of every lie about all pages")
    project = Path.cwd()
    try:
        names = chosen(project, options.pages, options.changed)
    except BranchError as error:
        sys.exit(str(error))
    if not names:
        say("no page to tell lies about")
        return 0
    start = time.monotonic()
    choice = Choice(frozenset(options.kinds.split(",")) if options.kinds else None, options.run_output)
    done: dict[str, reports.Entry] = {}
    try:
        for name, report in results(partial(Worker, project, choice), names, options.workers):
            done[name] = reports.entry_of(report)
            tell(report, done[name])
            reports.write_report(project / options.report, done, round(time.monotonic() - start, 1))
    except WorkerError as error:
        sys.exit(str(error))
    say("", *reports.summary(done))
    say(f"{time.monotonic() - start:.0f} s; the report is {options.report}")
    if options.record:
        reports.record(project, done, read_proof(project / PROOF).get("postgresql", ""))
    bad = any(entry["failure"] or reports.count(entry)["survived"] for entry in done.values())
    return FAILED if bad else 0


def chosen(project: Path, paths: Sequence[Path], base: str | None) -> list[str]:
    """The pages to tell lies about, by their paths below docs, the ones that take longest first."""
    pages = pages_of(project)
    if paths:
        wanted = [(project / path).resolve() for path in paths]
        pages = {n: p for n, p in pages.items() if any(p.resolve().is_relative_to(path) for path in wanted)}
    if base is not None:
        changed = changed_lines(project, base, DOCS)
        pages = {name: path for name, path in pages.items() if f"{DOCS}/{name}" in changed}
    proof = read_proof(project / PROOF).get("pages", {})
    # A page's trial takes its lies times a part of its length.
    cost = {
        name: sum(entry.get("duration", 0.0) for entry in proof.get(name, [])) * path.stat().st_size
        for name, path in pages.items()
    }
    return sorted(pages, key=lambda name: -cost[name])


def tell(report: PageReport, entry: reports.Entry) -> None:
    """Print what became of the lies about a page, as soon as that is known."""
    counts = reports.count(entry)
    outcome = report.failure or f"{counts['lies']} lies, {counts['survived']} survived"
    say(f"{DOCS}/{report.name}: {outcome} ({report.seconds:.0f} s)")
    say(*(f"  {line}" for line in reports.survivors(report, Path(DOCS))))


def say(*lines: str) -> None:
    """Print lines at once, also where nobody sits at a terminal."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""`make lies`: tell every lie about the handbook's pages, and name those that no page notices."""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from handbook.proof import PROOF, read_proof
from handbook.session import pages_of
from handbook.workshop import DOCS
from lies import report as reports
from lies.pool import judged
from lies.worker import EVERY, Choice, PageReport

FAILED = 1
# Not the backend: a page that passes with another one prints what it printed before.
RUN_WITH = ("tests/handbook", "tests/lies")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make lies", description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, help="pages, or directories of pages; else all of docs")
    parser.add_argument("--changed", metavar="BASE", help="only pages that differ from where this branch left BASE")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 8), help="processes (%(default)s)")
    parser.add_argument("--report", type=Path, default=reports.REPORT, help="the report (%(default)s)")
    parser.add_argument("--run-output", action="store_true", help="run the lies about output too, not compare them")
    parser.add_argument("--kinds", metavar="KIND,...", help="only these kinds of lies, as the report names them")
    parser.add_argument("--again", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--record", action="store_true", help="write the figures that the handbook shows, of all pages")
    options = parser.parse_args(arguments)
    if options.record and (options.pages != [Path(DOCS)] or options.changed or options.kinds):
        parser.error("--record is for a run of every lie about all pages")
    project = Path.cwd()
    names = chosen(project, options.pages, options.changed)
    if not names:
        say("no page to tell lies about")
        return 0
    start = time.monotonic()
    choice = Choice(frozenset(options.kinds.split(",")) if options.kinds else None, options.run_output)
    states = states_of(project, names)
    done = {} if options.again or choice != EVERY else reports.kept(project / options.report, states)
    if done:
        say(f"{len(done)} pages are as they were when each of their lies was caught")
    for report in judged(project, [name for name in names if name not in done], options.workers, choice):
        done[report.name] = reports.entry_of(report, states[report.name])
        tell(report, done[report.name])
        reports.write(project / options.report, done, {"seconds": round(time.monotonic() - start, 1)})
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
        changed = set(_changed(project, base))
        pages = {name: path for name, path in pages.items() if f"{DOCS}/{name}" in changed}
    proof = read_proof(project / PROOF).get("pages", {})
    # A page's trial takes its lies times a part of its length.
    cost = {
        name: sum(entry.get("duration", 0.0) for entry in proof.get(name, [])) * path.stat().st_size
        for name, path in pages.items()
    }
    return sorted(pages, key=lambda name: -cost[name])


def _changed(project: Path, base: str) -> list[str]:
    command = ["git", "diff", "--name-only", "--merge-base", base, "--", DOCS]
    found = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(f"git cannot compare with {base}: {found.stderr.strip()}")
    return found.stdout.splitlines()


def states_of(project: Path, names: Sequence[str]) -> dict[str, str]:
    """A number for the text of each page, and for what its lies are told with: the harness and this program."""
    total = hashlib.sha256()
    for directory in RUN_WITH:
        for file in sorted((project / directory).rglob("*.py")):
            total.update(f"{file.relative_to(project).as_posix()}\n".encode() + file.read_bytes())
    pages = pages_of(project)
    return {name: hashlib.sha256(total.digest() + pages[name].read_bytes()).hexdigest()[:16] for name in names}


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

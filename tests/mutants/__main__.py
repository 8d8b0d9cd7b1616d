"""`make mutants`: change the backend place by place, and name the changes that no test notices."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from handbook.postgres import serve_alone
from handbook.proof import write_json
from mutants.bench import Bench, Finding, Trial, copy_checkout
from mutants.mutant import Mutant, mutants_of, statement_lines
from mutants.reach import Reach, ReachError, record
from mutants.report import REPORT, Report, survivor
from mutants.reviewed import ReviewError, read_reviews
from trials.branch import BranchError, changed_lines
from trials.figures import say
from trials.pool import WorkerError, results

SOURCE = Path("backend") / "src"
# They are sealed: each is tested by its own change of the schema.
LEFT_OUT = SOURCE / "db" / "migrations"
TESTS = "backend/tests"
FIGURES = Path("docs") / "mutants.json"
PASSED, FAILED, WRONG_USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants; return the exit status: 0 nothing is left, 1 something is, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("files", nargs="*", help=f"files or directories below {SOURCE} (all of it)")
    parser.add_argument("--changed", metavar="BASE", help="only lines that differ from where this branch left BASE")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    parser.add_argument("--record", action="store_true", help="write the figures that the handbook shows")
    parser.add_argument("--tests", nargs="+", default=[TESTS], metavar="FILE", help="ask only these (%(default)s)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    project = Path.cwd()
    try:
        reviews = read_reviews(project)
        mutants = chosen(project, options.files, options.changed)
        outdated = [] if options.changed else outdated_reviews(project, reviews, mutants)
    except (BranchError, ReviewError, FileNotFoundError) as error:
        say(str(error))
        return WRONG_USAGE
    if not mutants:
        say("No mutants: nothing there to change.")
        return PASSED
    start = time.monotonic()
    try:
        reach, postgresql = recorded(project, options.tests, options.workers)
        say(f"{len(mutants)} mutants, {len(reach.durations)} tests ({time.monotonic() - start:.0f} s)")
        if reach.others:
            say("", "Left out, since they fail or are skipped with the code as it is:", *reach.others, "")
        findings = tried(project, mutants, reach, reviews, options.workers)
    except (ReachError, WorkerError) as error:
        say(str(error))
        return FAILED
    report = Report(findings, reviews, postgresql, len(sources(project)), options.tests)
    report.write(project / REPORT)
    if options.record:
        write_json(project / FIGURES, report.figures())
    say("", *report.lines(), "", f"{time.monotonic() - start:.0f} s; the report is {REPORT}")
    say(*(f"on the list of reviewed mutants, and no longer made: {' | '.join(name)}" for name in outdated))
    return FAILED if report.left or report.noticed_reviews() or outdated else PASSED


def chosen(project: Path, names: Sequence[str], base: str | None) -> list[Mutant]:
    """The mutants that are to be tried.

    Arguments:
        project: the checkout.
        names: files and directories; none for all.
        base: a branch; only what differs from where this one left it is tried. None for everything.

    Raises:
        FileNotFoundError: a name is none.
        BranchError: `base` is none.
    """
    for name in names:
        if not (project / name).resolve().is_relative_to(project / SOURCE) or not (project / name).exists():
            raise FileNotFoundError(f"{name} is no file or directory below {SOURCE}")
    wanted = [(project / name).resolve() for name in names] or [project / SOURCE]
    changed = changed_lines(project, base, str(SOURCE)) if base is not None else None
    found = []
    for path in sources(project):
        file = path.relative_to(project)
        if any(path.is_relative_to(one) for one in wanted) and (changed is None or str(file) in changed):
            source = path.read_text(encoding="utf-8")
            mutants = mutants_of(str(file), source)
            if changed is not None:
                lines = changed[str(file)]
                mutants = [mutant for mutant in mutants if lines & {*statement_lines(source, mutant.line)}]
            found += mutants
    return found


def sources(project: Path) -> list[Path]:
    """The files that mutants are made of."""
    found = sorted((project / SOURCE).rglob("*.py"))
    return [path for path in found if path.name != "__init__.py" and not path.is_relative_to(project / LEFT_OUT)]


def outdated_reviews(
    project: Path, reviews: dict[tuple[str, str, str], str], mutants: Sequence[Mutant]
) -> list[tuple[str, str, str]]:
    """The names on the list whose files were looked at, or are gone, and whose mutants are not made."""
    names, files = {mutant.name for mutant in mutants}, {mutant.file for mutant in mutants}
    return [name for name in reviews if name not in names and (name[0] in files or not (project / name[0]).exists())]


def recorded(project: Path, tests: Sequence[str], workers: int) -> tuple[Reach, str]:
    """Which tests reach what, and the version of the PostgreSQL that they ran on."""
    with serve_alone() as postgres:
        os.environ.update(postgres.shared)
        copy = Path(tempfile.mkdtemp(prefix="mutants-", dir=postgres.scratch))
        copy_checkout(project, copy)
        return record(copy, tests, workers), postgres.version


def tried(
    project: Path,
    mutants: Sequence[Mutant],
    reach: Reach,
    reviews: dict[tuple[str, str, str], str],
    workers: int,
) -> dict[Mutant, Finding]:
    """What became of each mutant; what nobody notices is told at once."""
    texts = {file: (project / file).read_text(encoding="utf-8") for file in {one.file for one in mutants}}
    trials = []
    for mutant in mutants:
        tests = reach.tests_of(mutant, texts[mutant.file])
        trials.append(Trial(mutant, {test: reach.durations[test] for test in tests}))
    findings: dict[Mutant, Finding] = {}
    for done, (trial, finding) in enumerate(results(partial(Bench, project), trials, workers), 1):
        findings[trial.mutant] = finding
        if not finding.is_noticed and trial.mutant.name not in reviews:
            say(*survivor(trial.mutant, finding))
        if done % 100 == 0:
            say(f"{done} of {len(mutants)}")
    return findings


if __name__ == "__main__":
    sys.exit(main())

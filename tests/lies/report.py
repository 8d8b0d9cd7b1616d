"""The report: a file for programs, a table for people, and the figures that the handbook shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from handbook.proof import write_json
from handbook.workshop import DOCS
from lies.verdict import Fate, Verdict
from lies.worker import PageReport
from trials.figures import percent, row
from website.marks.figures import LIES

REPORT = Path("build") / "lies.json"
CAUGHT = (Fate.COMPARED, Fate.RUN, Fate.LINTED)
COLUMNS = ("lies", "caught", "samples", "survived")
WIDTHS = (48, 7, 8, 9, 10)


def count(report: PageReport) -> Counter[str]:
    """How many lies about a page there are, and what became of them."""
    fates = Counter(verdict.fate for verdict in report.verdicts)
    counts = (fates.total(), sum(fates[fate] for fate in CAUGHT), fates[Fate.FREE], fates[Fate.SURVIVED])
    return Counter(dict(zip(COLUMNS, counts, strict=True)))


def summary(reports: Mapping[str, PageReport]) -> Iterator[str]:
    """The table: for each page how many lies there are, and what became of them."""
    total = _total(reports)
    yield row(WIDTHS, "page", *COLUMNS)
    for name, counts in [*((name, count(report)) for name, report in sorted(reports.items())), ("all", total)]:
        yield row(WIDTHS, name, *(counts[column] for column in COLUMNS))
    within, whole = (sum(report.dots[place] for report in reports.values()) for place in (0, 1))
    told = total["caught"] + total["survived"]
    yield ""
    dots = f"... stands {within} times within a line and {whole} times for lines"
    yield f"{percent(total['caught'], told)} of {told} lies caught; {dots}"


def _total(reports: Mapping[str, PageReport]) -> Counter[str]:
    return sum(map(count, reports.values()), Counter())


def survivors(report: PageReport) -> Iterator[str]:
    """The lies that no one noticed: the place of each, and what was altered."""
    for verdict in report.verdicts:
        if verdict.fate is Fate.SURVIVED:
            yield f"  {DOCS}/{report.name}:{verdict.lie.line}: {verdict.lie.edit.kind}"
            yield from (f"      {line}" for line in verdict.lie.difference)


def write_report(path: Path, reports: Mapping[str, PageReport], seconds: float) -> None:
    """Write what became of each lie, page by page, and how long that took so far."""
    pages = {
        name: {
            "dots": {"within lines": report.dots[0], "for lines": report.dots[1]},
            "seconds": round(report.seconds, 1),
            "failure": report.failure,
            "verdicts": [_told(verdict) for verdict in report.verdicts],
        }
        for name, report in sorted(reports.items())
    }
    write_json(path, {"seconds": seconds, "pages": pages})


def _told(verdict: Verdict) -> dict[str, Any]:
    told = {"key": verdict.lie.key, "line": verdict.lie.line, "fate": verdict.fate.value}
    return told | ({"failed": verdict.line, "reason": verdict.reason} if verdict.fate in CAUGHT else {})


def record(project: Path, reports: Mapping[str, PageReport], of: int) -> None:
    """Write the figures that the handbook shows.

    Arguments:
        project: the checkout.
        reports: those of the pages that lies were told about.
        of: how many pages there are.
    """
    total = _total(reports)
    figures = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "postgresql": next(iter(reports.values())).postgresql,
        "files": sorted(reports),
        "of": of,
        "lies": total["lies"],
        "caught": total["caught"],
        "free": total["samples"],
    }
    write_json(project / LIES, figures)

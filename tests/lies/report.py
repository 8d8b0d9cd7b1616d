"""The report: a file for programs, and a table for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from lies.verdict import Fate, Verdict
from lies.worker import PageReport
from trials.figures import percent, row, write
from website.marks.figures import LIES

REPORT = Path("build") / "lies.json"
CAUGHT = (Fate.COMPARED, Fate.RUN, Fate.LINTED)
DOTS = ("within lines", "for lines")
COLUMNS = ("lies", "caught", "...", "samples", "survived")
WIDTHS = (48, 7, 8, 6, 9, 10)


Entry: TypeAlias = Mapping[str, Any]
"""What the report says of a page."""


def summary(entries: Mapping[str, Entry]) -> list[str]:
    """The table: for each page how many lies there are, and what became of them."""
    lines = [row(WIDTHS, "page", *COLUMNS)]
    for name, entry in sorted(entries.items()):
        counts = count(entry)
        lines.append(row(WIDTHS, name, *(counts[column] for column in COLUMNS)))
    total = _total(entries)
    lines.append(row(WIDTHS, "all", *(total[name] for name in COLUMNS)))
    within, whole = (sum(entry["dots"][place] for entry in entries.values()) for place in DOTS)
    told = total["caught"] + total["survived"]
    dots = f"... stands {within} times within a line and {whole} times for lines"
    lines += [
        "",
        f"{percent(total['caught'], told)} of {told} lies caught; {dots}",
    ]
    return lines


def count(entry: Entry) -> Counter[str]:
    """How many lies about a page there are, and what became of them."""
    fates = entry["fates"]
    counts = (
        entry["lies"],
        sum(fates[fate.value] for fate in CAUGHT),
        fates[Fate.COVERED.value],
        fates[Fate.FREE.value],
        fates[Fate.SURVIVED.value],
    )
    return Counter(dict(zip(COLUMNS, counts, strict=True)))


def _total(entries: Mapping[str, Entry]) -> Counter[str]:
    return sum(map(count, entries.values()), Counter())


def survivors(report: PageReport, docs: Path) -> Iterator[str]:
    """The lies that no one noticed: the place of each, and what was altered."""
    for verdict in report.verdicts:
        if verdict.fate is Fate.SURVIVED:
            yield f"{docs / report.name}:{verdict.lie.line}: {verdict.lie.edit.kind}"
            yield from (f"    {line}" for line in verdict.lie.difference)


def write_report(path: Path, entries: Mapping[str, Entry], seconds: float) -> None:
    """Write what became of the lies, page by page, and how long that took so far."""
    write(path, {"seconds": seconds, "pages": dict(sorted(entries.items()))})


def record(project: Path, entries: Mapping[str, Entry], postgresql: str) -> None:
    """Write the figures that the handbook shows.

    Args:
        entries: those of all pages.
        postgresql: the version of the server that the pages ran on.
    """
    total = _total(entries)
    figures = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "postgresql": postgresql,
        "pages": len(entries),
        "lies": total["lies"],
        "caught": total["caught"],
        "covered": total["..."],
        "free": total["samples"],
    }
    write(project / LIES, figures)


def entry_of(report: PageReport) -> Entry:
    """What the report says of a page."""
    fates = Counter(verdict.fate.value for verdict in report.verdicts)
    return {
        "lies": len(report.verdicts),
        "fates": {fate.value: fates[fate.value] for fate in Fate},
        "dots": dict(zip(DOTS, report.dots, strict=True)),
        "blocks not told": report.untold,
        "seconds": round(report.seconds, 1),
        "failure": report.failure,
        "verdicts": [_verdict(verdict) for verdict in report.verdicts],
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    lie = verdict.lie
    found: dict[str, Any] = {"key": lie.key, "line": lie.line, "fate": verdict.fate.value}
    if verdict.line:
        found["failed"] = verdict.line
    if verdict.fate in (Fate.RUN, Fate.LINTED):
        found["reason"] = verdict.reason
    return found

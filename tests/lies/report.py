"""The report: a file for programs, and a table for people."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from figures import LIES
from lies.verdict import Fate, Verdict
from lies.worker import PageReport

REPORT = Path("build") / "lies.json"
CAUGHT = (Fate.COMPARED, Fate.RUN, Fate.LINTED)
COLUMNS = ("lies", "caught", "...", "samples", "survived")
WIDTHS = (48, 7, 8, 6, 9, 10)


def summary(reports: Sequence[PageReport]) -> list[str]:
    """The table: for each page how many lies there are, and what became of them."""
    lines = [_row("page", *COLUMNS)]
    total: Counter[str] = Counter()
    for report in sorted(reports, key=lambda report: report.name):
        counts = count(report)
        total += counts
        lines.append(_row(report.name, *(counts[name] for name in COLUMNS)))
    lines.append(_row("all", *(total[name] for name in COLUMNS)))
    within, whole = (sum(report.dots[place] for report in reports) for place in (0, 1))
    judged = total["caught"] + total["survived"]
    share = f"{100 * total['caught'] / judged:.2f} %" if judged else "none"
    lines += [
        "",
        f"{share} of {judged} lies caught; ... stands {within} times within a line and {whole} times for lines",
    ]
    return lines


def count(report: PageReport) -> Counter[str]:
    """How many lies about a page there are, and what became of them."""
    fates = Counter(verdict.fate for verdict in report.verdicts)
    counts = (
        len(report.verdicts),
        sum(fates[fate] for fate in CAUGHT),
        fates[Fate.COVERED],
        fates[Fate.FREE],
        fates[Fate.SURVIVED],
    )
    return Counter(dict(zip(COLUMNS, counts, strict=True)))


def survivors(report: PageReport, docs: Path) -> Iterator[str]:
    """The lies that no one noticed: the place of each, and what was altered."""
    for verdict in report.verdicts:
        if verdict.fate is Fate.SURVIVED:
            yield f"{docs / report.name}:{verdict.lie.line}: {verdict.lie.edit.kind}"
            yield from (f"    {line}" for line in verdict.lie.difference)


def write(path: Path, reports: Sequence[PageReport], extra: dict[str, Any]) -> None:
    """Write what became of the lies, page by page.

    Args:
        path: the file.
        extra: what the file says beside the pages.
    """
    pages = {report.name: _entry(report) for report in sorted(reports, key=lambda report: report.name)}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({**extra, "pages": pages}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(path)


def record(project: Path, reports: Sequence[PageReport], postgresql: str) -> None:
    """Write the figures that the handbook shows.

    Args:
        reports: those of all pages.
        postgresql: the version of the server that the pages ran on.
    """
    total = sum(map(count, reports), Counter())
    figures = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "postgresql": postgresql,
        "pages": len(reports),
        "lies": total["lies"],
        "caught": total["caught"],
        "covered": total["..."],
        "free": total["samples"],
    }
    (project / LIES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _entry(report: PageReport) -> dict[str, Any]:
    fates = Counter(verdict.fate.value for verdict in report.verdicts)
    return {
        "lies": len(report.verdicts),
        "fates": {fate.value: fates[fate.value] for fate in Fate},
        "dots": {"within lines": report.dots[0], "for lines": report.dots[1]},
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


def _row(name: str, *values: object) -> str:
    return f"{name:<{WIDTHS[0]}}" + "".join(
        f"{value!s:>{width}}" for value, width in zip(values, WIDTHS[1:], strict=True)
    )

"""The report: a file for programs, and a table for people."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from lies.verdict import Fate, Verdict
from lies.worker import PageReport
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
    lines = [_row("page", *COLUMNS)]
    for name, entry in sorted(entries.items()):
        counts = count(entry)
        lines.append(_row(name, *(counts[column] for column in COLUMNS)))
    total = _total(entries)
    lines.append(_row("all", *(total[name] for name in COLUMNS)))
    within, whole = (sum(entry["dots"][place] for entry in entries.values()) for place in DOTS)
    told = total["caught"] + total["survived"]
    share = f"{100 * total['caught'] / told:.2f} %" if told else "none"
    lines += [
        "",
        f"{share} of {told} lies caught; ... stands {within} times within a line and {whole} times for lines",
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


def write(path: Path, entries: Mapping[str, Entry], extra: dict[str, Any]) -> None:
    """Write what became of the lies, page by page.

    Args:
        path: the file.
        extra: what the file says beside the pages.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    pages = dict(sorted(entries.items()))
    draft.write_text(json.dumps({**extra, "pages": pages}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(path)


def kept(path: Path, states: Mapping[str, str]) -> dict[str, Entry]:
    """What an earlier run has found of pages that are as they were, and that noticed every lie.

    Args:
        path: the report of that run.
        states: the number of each page's text and of what it is run with, as they are now.
    """
    try:
        pages = json.loads(path.read_text(encoding="utf-8"))["pages"]
    except (OSError, ValueError, KeyError):
        return {}
    return {
        name: entry
        for name, entry in pages.items()
        if entry.get("state") == states.get(name, "") and not entry["failure"] and not count(entry)["survived"]
    }


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
    (project / LIES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def entry_of(report: PageReport, state: str) -> Entry:
    """What the report says of a page.

    Args:
        report: what became of the lies about it.
        state: the number of its text and of what it is run with.
    """
    fates = Counter(verdict.fate.value for verdict in report.verdicts)
    return {
        "state": state,
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


def _row(name: str, *values: object) -> str:
    return f"{name:<{WIDTHS[0]}}" + "".join(
        f"{value!s:>{width}}" for value, width in zip(values, WIDTHS[1:], strict=True)
    )

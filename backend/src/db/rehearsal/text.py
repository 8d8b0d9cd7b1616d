"""A rehearsal as text, 72 columns wide unless names or an error are longer."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from .lock import Lock
from .relation import RowsChanged, Scan
from .report import MigrationReport, Rehearsal
from .schema import CHANGED, Change
from .squawk import Finding

WIDTH = 72
_LABEL = 12
_NOTHING_REMAINS = "Everything was rolled back. Nothing remains in the database but the values that sequences gave out."


def lines_of(rehearsal: Rehearsal) -> Iterator[str]:
    """Yield the lines of the report, without line ends."""
    if not rehearsal.pending:
        yield "Nothing is pending."
        return
    for report in rehearsal.reports:
        yield from _migration(report)
        yield ""
    for note in rehearsal.notes:
        yield from _wrapped(f"Note: {note}", width=WIDTH)
    not_run = rehearsal.pending - len(rehearsal.reports)
    if not_run:
        yield f"Not rehearsed: {_count(not_run, 'pending migration')}."
    yield from _wrapped(_NOTHING_REMAINS, width=WIDTH)


def _migration(report: MigrationReport) -> Iterator[str]:
    where = "not run" if report.on_copy is None else "on a copy"
    time = where if report.seconds is None else duration(report.seconds)
    yield f"{report.path.name}  {time}"
    if report.on_copy is not None:
        yield from _section("note", _wrapped(f"{report.on_copy} It ran on a copy of the schema, which has no rows."))
    if report.error is not None:
        # In its own lines: it is what people paste into a search box.
        yield from _section("failed", str(report.error).split("\n"))
    else:
        # In one line: the guides read it with grep.
        yield from _section("holds", [report.holds])
        yield from _section("locks", _locks(report))
        yield from _section("rewrites", _table((r.name, r.kind, r.how) for r in report.rewrites) or ["none"])
        yield from _section("scans", _table(map(_scan, report.scans)) or ["none"])
        yield from _section("schema", _changes(report.changes) or ["no difference"])
        yield from _section("rows", _table(map(_rows, report.rows)) or ["none changed"])
        yield from _section("squawk", _findings(report.findings))
    if report.exceeded:
        yield from _section("fails on", report.exceeded)


def _section(label: str, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"  {label:<{_LABEL - 2}}{line}".rstrip()
        label = ""


def _locks(report: MigrationReport) -> list[str]:
    lines = _table(map(_lock, report.locks)) or ["none"]
    return lines if report.gap is None else [*lines, *_wrapped(f"and perhaps others: {report.gap}")]


def _lock(lock: Lock) -> Sequence[str]:
    blocks = f"blocks {lock.blocks}"
    since = f"held since {lock.since}" if lock.since is not None else ""
    return lock.described, lock.mode, blocks, since


def _scan(scan: Scan) -> Sequence[str]:
    return scan.name, _count(scan.rows_read, "row"), f"in {_count(scan.scans, 'scan')}"


def _rows(rows: RowsChanged) -> Sequence[str]:
    counts = {"inserted": rows.inserted, "updated": rows.updated, "deleted": rows.deleted}
    return rows.name, ", ".join(f"{number:,} {how}" for how, number in counts.items() if number)


def _changes(changes: Sequence[Change]) -> list[str]:
    lines: list[str] = []
    for change in changes:
        text = f"{change.sign} {change.kind} {change.name}  {change.definition}".rstrip()
        if change.sign == CHANGED:
            text += f"  (was: {change.before or 'none'})"
        lines += _wrapped(text, indent="    ")
    return lines


def _findings(findings: Sequence[Finding] | None) -> list[str]:
    if findings is None:
        return ["not checked"]
    lines: list[str] = []
    for finding in findings:
        lines += _wrapped(f"{finding.rule}: {finding.message}", indent="  ")
        lines += _wrapped(f"  {finding.sql}", indent="    ")
    return lines or ["no findings"]


def _table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Align rows in columns."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)) for row in table]


def _wrapped(text: str, indent: str = "", width: int = WIDTH - _LABEL) -> list[str]:
    lines: list[str] = []
    for line in text.split("\n"):
        shift = line[: len(line) - len(line.lstrip())]
        lines += textwrap.wrap(
            line,
            width,
            subsequent_indent=shift + indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """Return a duration with two digits or more, in the unit that reads best."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    milliseconds = 1000 * seconds
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"  # noqa: PLR2004 - two digits

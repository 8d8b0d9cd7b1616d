"""What a rehearsal has found, as data and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import MigrationError
from ..runner.redaction import public_sql
from .lock import Lock
from .relation import REBUILT, REWRITTEN, Rewrite, RowsChanged, Scan
from .schema import Change
from .squawk import Finding

SCHEMA_VERSION = 1
"""The version of the JSON object; it changes when a member goes or means something else, not when one is added."""


@dataclass
class MigrationReport:
    """What one migration did.

    Attributes:
        version: its version.
        path: its file.
        transactional: whether it runs in a transaction.
        on_copy: why it ran on a copy of the schema instead of the database; None where it did not.
        seconds: how long its ``up`` took; None on a copy, whose tables are empty.
        locks: the locks that it took on what was there before it, the strongest first.
        gap: why some of its locks may be missing; None where none is.
        rewrites: the tables and indexes that have a new file.
        scans: the tables that it read from the beginning.
        changes: how the schema differs afterwards.
        rows: the rows that it changed.
        statements: the SQL that it executed.
        findings: what squawk says of that SQL; None where squawk is not installed.
        exceeded: the conditions of ``--fail-on`` that it meets, with what meets them.
        error: why it failed, if it did.
    """

    version: str
    path: Path
    transactional: bool = True
    on_copy: str | None = None
    seconds: float | None = None
    locks: list[Lock] = field(default_factory=list)
    gap: str | None = None
    rewrites: list[Rewrite] = field(default_factory=list)
    scans: list[Scan] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    rows: list[RowsChanged] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    findings: list[Finding] | None = None
    exceeded: list[str] = field(default_factory=list)
    error: MigrationError | None = None

    @property
    def holds(self) -> str:
        """Its strongest lock and how long that lasts, such as ``ACCESS EXCLUSIVE on plants, for a moment``."""
        own = [lock for lock in self.locks if lock.since is None]
        if not own:
            return "no lock"
        names = [lock.described for lock in own if lock.mode == own[0].mode]
        return f"{own[0].mode} on {_listed(names)}, {self._duration()}"

    def _duration(self) -> str:
        """Return the work that the locks outlast. It grows with the tables, and a measured time does not tell that."""
        for how, verb in ((REWRITTEN, "rewrites"), (REBUILT, "rebuilds")):
            written = [rewrite.name for rewrite in self.rewrites if rewrite.how == how]
            if written:
                return f"while it {verb} {_listed(written)}"
        if self.scans:
            return f"while it reads {_listed([scan.name for scan in self.scans])}"
        changed = sum(rows.inserted + rows.updated + rows.deleted for rows in self.rows)
        if changed:
            return f"while it changes {changed:,} row{'s' if changed > 1 else ''}"
        return "for a moment"


def _listed(names: Sequence[str]) -> str:
    if len(names) <= 2:  # noqa: PLR2004 - a pair is written out
        return " and ".join(names)
    return f"{names[0]} and {len(names) - 1} more"


@dataclass
class Rehearsal:
    """What all pending migrations did.

    Attributes:
        server_version: PostgreSQL's, such as ``18.6``.
        pending: how many migrations are pending; those after a failed one have no report.
        reports: one for each migration that was run.
        notes: what limits the report, as sentences.
        failed: whether a migration failed, or could not be rehearsed.
    """

    server_version: str
    pending: int
    reports: list[MigrationReport] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: bool = False

    @property
    def exceeded(self) -> bool:
        """Whether a condition of ``--fail-on`` is met."""
        return any(report.exceeded for report in self.reports)


def as_json(rehearsal: Rehearsal) -> dict[str, Any]:
    """Return a rehearsal as the JSON object that ``--json`` prints."""
    return {
        "schema_version": SCHEMA_VERSION,
        "postgresql": rehearsal.server_version,
        "pending": rehearsal.pending,
        "failed": rehearsal.failed,
        "exceeded": rehearsal.exceeded,
        "notes": rehearsal.notes,
        "remains": "sequence values",
        "migrations": [_migration(report) for report in rehearsal.reports],
    }


def _migration(report: MigrationReport) -> dict[str, Any]:
    return {
        "version": report.version,
        "file": report.path.name,
        "transactional": report.transactional,
        "on_copy": report.on_copy,
        "seconds": None if report.seconds is None else round(report.seconds, 6),
        "holds": report.holds,
        "locks": [
            {
                "name": lock.name,
                "kind": lock.kind,
                "mode": lock.mode,
                "other_modes": list(lock.others),
                "blocks": lock.blocks,
                "held_since": lock.since,
            }
            for lock in report.locks
        ],
        "locks_gap": report.gap,
        "rewrites": [rewrite._asdict() for rewrite in report.rewrites],
        "scans": [scan._asdict() for scan in report.scans],
        "schema": [change._asdict() for change in report.changes],
        "rows": [rows._asdict() for rows in report.rows],
        "statements": list(map(public_sql, report.statements)),
        "squawk": None if report.findings is None else [finding._asdict() for finding in report.findings],
        "exceeded": report.exceeded,
        "error": _error(report.error),
    }


def _error(error: MigrationError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {"code": error.code, "text": str(error), "line": error.line, "page": error.page}

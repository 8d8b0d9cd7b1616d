"""The report: what became of every mutant, as a file for programs and as a table for people."""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mutants.book import Book
from mutants.examination import Finding, Verdict
from mutants.mutant import Mutant
from mutants.reviewed import Review
from src.config import SettingsError
from src.db import errors
from website.marks.figures import MUTANTS

REPORT = Path("build") / "mutants.json"
# Of the mutants of a file that nobody has reviewed, so many per cent are killed at least.
STRICT = frozenset({"db/migration_runner.py"})
STRICT_BOUND, BOUND = 100.0, 95.0
# Of all mutants, so many per cent may be on the reviewed list.
REVIEWED_BOUND = 5.0
KINDS = ("functions", "errors", "settings")
ERRORS = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)]
ERROR = re.compile(rf"\b(?:{'|'.join([*ERRORS, SettingsError.__name__])})\b")
SETTING = re.compile(r"\b(?:DATABASE_URL|PLANTOPS_[A-Z_]+)\b")


@dataclass(frozen=True)
class Report:
    """What became of some mutants.

    Args:
        book: the handbook.
        mutants: the mutants that were examined.
        findings: what became of each, by its id.
        reviews: the reviewed list, by the mutants' ids.
        outdated: entries of that list that name no mutant any more.
        tests: the test that kills a mutant which no page kills, by its id; None where the tests were not run.
    """

    book: Book
    mutants: Sequence[Mutant]
    findings: Mapping[str, Finding]
    reviews: Mapping[str, Review]
    outdated: Sequence[str]
    tests: Mapping[str, str] | None = None

    def verdict(self, mutant: Mutant) -> str:
        """What the report says of a mutant."""
        finding = self.findings[mutant.id]
        if finding.verdict is Verdict.KILLED:
            return "killable" if mutant.id in self.reviews else Verdict.KILLED.value
        return "reviewed" if mutant.id in self.reviews else finding.verdict.value

    @property
    def survivors(self) -> list[Mutant]:
        """The mutants that no page notices, and that nobody has reviewed."""
        return [m for m in self.mutants if self.verdict(m) in (Verdict.SURVIVED.value, Verdict.UNREACHED.value)]

    def shares(self) -> dict[str, tuple[int, int, int]]:
        """For each file its mutants, those that are killed and those that are reviewed."""
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for mutant in self.mutants:
            verdict = self.verdict(mutant)
            count = counts[mutant.file]
            count[0] += 1
            count[1] += verdict in (Verdict.KILLED.value, "killable")
            count[2] += verdict == "reviewed"
        return {file: (total, killed, reviewed) for file, (total, killed, reviewed) in sorted(counts.items())}

    def complaints(self, *, whole: bool) -> Iterator[str]:
        """What keeps the examination from passing.

        Args:
            whole: whether all mutants of the backend were examined, so that the bound of the reviewed list holds.
        """
        for mutant in self.mutants:
            if self.verdict(mutant) == "killable":
                finding = self.findings[mutant.id]
                yield f"on the reviewed list, but {self._place(finding)} notices it: {mutant.id}"
        yield from (f"on the reviewed list, but there is no such mutant: {id_}" for id_ in self.outdated)
        rest_killed = rest_total = 0
        for file, (total, killed, reviewed) in self.shares().items():
            if file in STRICT:
                yield from _too_few(f"of {file}", killed, total - reviewed, STRICT_BOUND)
            else:
                rest_killed += killed
                rest_total += total - reviewed
        rest = "of the rest of backend/src" if whole else "that were tried"
        yield from _too_few(rest, rest_killed, rest_total, BOUND)
        count = sum(reviewed for _, _, reviewed in self.shares().values())
        if whole and count > REVIEWED_BOUND / 100 * len(self.mutants):
            yield f"{count} of {len(self.mutants)} mutants are reviewed; at most {REVIEWED_BOUND:g} % may be"
        if self.tests is not None:
            left = [mutant for mutant in self.survivors if mutant.id not in self.tests]
            yield from (f"no test notices either: {mutant.id}" for mutant in left)

    def _place(self, finding: Finding) -> str:
        return f"docs/{finding.page}:{finding.line}"

    def table(self) -> Iterator[str]:
        """The lines of a table: for each file how many mutants there are and how many are killed."""
        yield f"{'file':<32}{'mutants':>8}{'killed':>8}{'reviewed':>10}{'left':>6}{'killed':>10}"
        shares = self.shares()
        total = tuple(map(sum, zip(*shares.values(), strict=True))) or (0, 0, 0)
        for file, (count, killed, reviewed) in [*shares.items(), ("all", total)]:
            left = count - killed - reviewed
            yield f"{file:<32}{count:>8}{killed:>8}{reviewed:>10}{left:>6}{_percent(killed, count - reviewed):>9.1f}%"

    def survivors_shown(self) -> Iterator[str]:
        """The lines that show each survivor: where it is, what changed and which pages run it."""
        for mutant in self.survivors:
            finding = self.findings[mutant.id]
            if self.tests is not None and mutant.id in self.tests:
                told = f"no page notices; {self.tests[mutant.id]} does"
            elif finding.verdict is Verdict.UNREACHED:
                told = "no page executes it"
            else:
                count = len(finding.tried)
                told = "1 page executes it" if count == 1 else f"{count} pages execute it"
                told += ", and no block notices"
            yield ""
            yield f"backend/src/{mutant.file}:{mutant.line}: {told}"
            yield from (
                line for line in mutant.diff(self.book.sources[mutant.file]).splitlines()[2:] if line[:1] in "+-"
            )

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        total, killed, reviewed = (tuple(map(sum, zip(*self.shares().values(), strict=True)))) or (0, 0, 0)
        report = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "commit": _commit(self.book.project),
            "backend": self.book.backend,
            "reproduce": "make mutants",
            "mutants": total,
            "killed": killed,
            "reviewed": reviewed,
            "files": {
                file: {"mutants": count, "killed": killed, "reviewed": reviewed}
                for file, (count, killed, reviewed) in self.shares().items()
            },
            "shown_in": self._shown_in(),
            "all": [self._entry(mutant) for mutant in self.mutants],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, report)

    def record(self, postgresql: str) -> None:
        """Write the figures that the handbook shows.

        Args:
            postgresql: the version of the server that the pages ran on.
        """
        total, killed, reviewed = (sum(column) for column in zip(*self.shares().values(), strict=True))
        write_json(
            self.book.project / MUTANTS,
            {
                "date": datetime.now(UTC).strftime("%Y-%m-%d"),
                "postgresql": postgresql,
                "code": self.book.backend,
                "mutants": total,
                "killed": killed,
                "reviewed": reviewed,
                "shown_in": self._shown_in(),
                "noticed": self._noticed(),
                "left": " ".join(sorted(mutant.key for mutant in self.survivors)),
            },
        )

    def _shown_in(self) -> dict[str, dict[str, dict[str, list[str]]]]:
        """For each function, error and setting the blocks that failed when it was changed, by their pages."""
        places: dict[str, dict[str, set[tuple[str, int]]]] = {kind: defaultdict(set) for kind in KINDS}
        for mutant in self.mutants:
            finding = self.findings[mutant.id]
            if finding.verdict is Verdict.KILLED:
                for kind, name in subjects(mutant):
                    places[kind][name].add((finding.page, finding.block))
        return {kind: {name: self._by_page(found) for name, found in sorted(places[kind].items())} for kind in KINDS}

    def _noticed(self) -> dict[str, dict[str, str]]:
        """For each page and block the mutants that it has noticed, by their keys."""
        found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for mutant in self.mutants:
            finding = self.findings[mutant.id]
            if finding.verdict is Verdict.KILLED:
                found[finding.page][self.book.pages[finding.page].blocks[finding.block].id].append(mutant.key)
        return {
            page: {block: " ".join(sorted(keys)) for block, keys in sorted(blocks.items())}
            for page, blocks in sorted(found.items())
        }

    def _by_page(self, places: set[tuple[str, int]]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for page, block in sorted(places):
            found[page].append(self.book.pages[page].blocks[block].id)
        return dict(found)

    def _entry(self, mutant: Mutant) -> dict[str, Any]:
        finding = self.findings[mutant.id]
        entry = {
            "file": mutant.file,
            "function": mutant.function,
            "line": mutant.line,
            "before": mutant.before,
            "after": mutant.after,
            "number": mutant.number,
            "verdict": self.verdict(mutant),
        }
        if finding.verdict is Verdict.KILLED:
            block = self.book.pages[finding.page].blocks[finding.block]
            entry |= {"page": finding.page, "block": block.id, "page_line": finding.line, "summary": finding.summary}
        if mutant.id in self.reviews:
            entry["reason"] = self.reviews[mutant.id].reason
        if self.tests is not None and mutant.id in self.tests:
            entry["test"] = self.tests[mutant.id]
        return entry


def write_json(path: Path, value: Any) -> None:
    """Write a file, whole or not at all."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(path)


def subjects(mutant: Mutant) -> Iterator[tuple[str, str]]:
    """What a mutant changes: the kind and the name of its function, and of each error and setting that it touches."""
    if mutant.function:
        # A nested function is a part of the one that holds it.
        parts = mutant.function.split(".")
        name = ".".join(parts[: 2 if parts[0].lstrip("_")[:1].isupper() else 1])
        yield "functions", f"src.{mutant.file.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}.{name}"
    for name in sorted({*ERROR.findall(mutant.before), *ERROR.findall(mutant.function)}):
        yield "errors", name
    for name in sorted(set(SETTING.findall(mutant.before))):
        yield "settings", name


def _too_few(what: str, killed: int, total: int, bound: float) -> Iterator[str]:
    share = _percent(killed, total)
    if share < bound:
        yield f"{killed} of {total} mutants {what} are killed, {share:.1f} %; at least {bound:g} % must be"


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 100.0


def _commit(project: Path) -> str | None:
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() or None

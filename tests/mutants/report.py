"""The report: a file for programs, a table for people, and the figures that the handbook shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from handbook.proof import write_json
from mutants.bench import Finding, Verdict
from mutants.mutant import Mutant
from trials.figures import percent, row

REPORT = Path("build") / "mutants.json"
COLUMNS = ("mutants", "noticed", "reviewed", "left")
WIDTHS = (44, 9, 9, 10, 7, 10)


@dataclass(frozen=True)
class Report:
    """What became of mutants.

    Arguments:
        findings: what was found of each.
        reviews: the reasons of the reviewed list, by the names of their mutants.
        postgresql: the version of the server.
        of: how many files there are that have mutants.
        tests: the files and directories of tests that were asked.
    """

    findings: Mapping[Mutant, Finding]
    reviews: Mapping[tuple[str, str, str], str]
    postgresql: str
    of: int
    tests: list[str]

    @property
    def left(self) -> dict[Mutant, Finding]:
        """The mutants that nobody noticed, and that are not on the list."""
        return {
            mutant: finding
            for mutant, finding in sorted(self.findings.items(), key=lambda item: (item[0].file, item[0].start))
            if not finding.is_noticed and mutant.name not in self.reviews
        }

    def counts(self) -> dict[str, Counter[str]]:
        """By file, how many mutants there are and what became of them."""
        counts: dict[str, Counter[str]] = {}
        for mutant, finding in self.findings.items():
            count = counts.setdefault(mutant.file, Counter())
            count["mutants"] += 1
            fate = "noticed" if finding.is_noticed else "reviewed" if mutant.name in self.reviews else "left"
            count[fate] += 1
        return dict(sorted(counts.items()))

    def lines(self) -> Iterator[str]:
        """What is told: what is left, entries of the list that are wrong, and the table."""
        for mutant, finding in self.left.items():
            yield from survivor(mutant, finding)
        for name in self.noticed_reviews():
            yield f"on the list of reviewed mutants, and noticed: {name[0]}: {name[1]} -> {name[2]}"
        yield ""
        yield row(WIDTHS, "file", *COLUMNS, "noticed")
        counts = self.counts()
        for file, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
            share = percent(count["noticed"], count["mutants"] - count["reviewed"])
            yield row(WIDTHS, file.removeprefix("backend/src/"), *(count[name] for name in COLUMNS), share)

    def noticed_reviews(self) -> list[tuple[str, str, str]]:
        """The names on the list whose mutants were all tried and noticed."""
        tried = {mutant.name for mutant in self.findings}
        unnoticed = {mutant.name for mutant, finding in self.findings.items() if not finding.is_noticed}
        return [name for name in self.reviews if name in tried - unnoticed]

    def write(self, path: Path) -> None:
        """Write what became of each mutant."""
        mutants = [
            {**_place(mutant), "verdict": finding.verdict.value, "test": finding.test}
            | {"tests": finding.count, "seconds": finding.seconds}
            for mutant, finding in self.findings.items()
        ]
        write_json(path, {"postgresql": self.postgresql, "mutants": mutants})

    def figures(self) -> dict[str, Any]:
        """The figures that the handbook shows, the files that they are about, and what is left."""
        counts = self.counts()
        total = sum(counts.values(), Counter())
        return {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "postgresql": self.postgresql,
            "files": list(counts),
            "of": self.of,
            "tests": self.tests,
            **{name: total[name] for name in COLUMNS[:3]},
            "survivors": [_place(mutant) for mutant in self.left],
        }


def survivor(mutant: Mutant, finding: Finding) -> Iterator[str]:
    """A mutant that nobody noticed, as a person reads it."""
    tests = "1 test reaches it" if finding.count == 1 else f"{finding.count} tests reach it"
    why = tests if finding.verdict is Verdict.SURVIVED else "no test reaches it, and no page notices"
    yield f"{mutant.file}:{mutant.line}: {why}"
    yield f"  - {mutant.before}"
    yield f"  + {mutant.after}"


def _place(mutant: Mutant) -> dict[str, Any]:
    return {"file": mutant.file, "line": mutant.line, "before": mutant.before, "after": mutant.after}

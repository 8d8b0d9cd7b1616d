"""What is kept between runs: the mutants that were made, what the pages reach, and what was found.

A run that is broken off goes on where it stopped, and a run after a page was mended tries that page alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mutants import mutation, reach
from mutants.book import Book, digest
from mutants.examination import Finding, Verdict
from mutants.mutant import Mutant
from mutants.mutation import mutants_of
from mutants.reach import Reach
from website.marks.figures import MUTANTS

DIRECTORY = Path("build") / "mutants"


class Keep:
    """The files of a checkout's earlier runs.

    Args:
        book: the handbook.
    """

    def __init__(self, book: Book) -> None:
        self.book = book
        self._directory = book.project / DIRECTORY

    def mutants(self, files: Iterable[str]) -> list[Mutant]:
        """The mutants of some files of the backend, made anew for those that have changed."""
        maker = digest([Path(mutation.__file__).read_bytes()])
        before = self._read("mutants")
        if before.get("maker") != maker:
            before = {}
        after: dict[str, Any] = {**before, "maker": maker}
        found: list[Mutant] = []
        for file in files:
            source = self.book.sources[file]
            text = digest([source])
            known = before.get(file, {})
            if known.get("text") == text:
                mutants = [Mutant(**{**entry, "statement": tuple(entry["statement"])}) for entry in known["mutants"]]
            else:
                mutants = mutants_of(file, source)
            after[file] = {"text": text, "mutants": [vars(mutant) for mutant in mutants]}
            found += mutants
        self._write("mutants", after)
        return found

    def reaches(self) -> dict[str, Reach]:
        """What the pages reach that have not changed since it was measured."""
        return reach.load(self._directory / "reach.json", self.book)

    def keep_reaches(self, reaches: dict[str, Reach]) -> None:
        """Keep what the pages reach."""
        reach.save(self._directory / "reach.json", self.book.backend, reaches)

    def findings(self) -> dict[str, Finding]:
        """What was found on pages that have not changed since.

        A page that notices a change of a file still does when other files have changed. A page that did not notice may
        do so now.
        """
        kept = self._read("findings")
        texts: Mapping[str, str] = kept.get("texts", {})
        same = {name for name in self.book.pages if texts.get(name) == self.book.text(name)}
        files = {file for file, number in self._files().items() if kept.get("files", {}).get(file) == number}
        tried = same if kept.get("backend") == self.book.backend else set()
        found = {}
        for name, entry in kept.get("findings", {}).items():
            finding = Finding(**{**entry, "verdict": Verdict(entry["verdict"]), "tried": set(entry["tried"]) & tried})
            if finding.verdict is Verdict.KILLED and finding.page in same and name.partition("::")[0] in files:
                found[name] = finding
            if finding.verdict is Verdict.SURVIVED and finding.tried:
                found[name] = finding
        return found

    def places(self, mutants: Iterable[Mutant]) -> dict[str, tuple[str, int]]:
        """Where mutants were noticed last, by their ids: the page and its block, from 0.

        The committed figures say so too, so that the first run of a checkout has to search for little.
        """
        recorded = {
            key: (page, index)
            for page, blocks in self._recorded.get("noticed", {}).items()
            if page in self.book.pages
            for index, block in enumerate(self.book.pages[page].blocks)
            for key in blocks.get(block.id, "").split()
        }
        found = {mutant.id: recorded[mutant.key] for mutant in mutants if mutant.key in recorded}
        for name, entry in self._read("findings").get("findings", {}).items():
            if entry["verdict"] == Verdict.KILLED.value:
                found[name] = (entry["page"], entry["block"])
        return found

    def left(self, mutants: Iterable[Mutant]) -> set[str]:
        """The mutants that no page had noticed when the figures were recorded, by their ids."""
        recorded = set(self._recorded.get("left", "").split())
        return {mutant.id for mutant in mutants if mutant.key in recorded}

    def keep_findings(self, findings: Mapping[str, Finding]) -> None:
        """Keep what was found."""
        entries = {
            name: {**vars(finding), "verdict": finding.verdict.value, "tried": sorted(finding.tried)}
            for name, finding in findings.items()
            if finding.verdict is not Verdict.UNREACHED
        }
        texts = {name: self.book.text(name) for name in self.book.pages}
        kept = {"backend": self.book.backend, "files": self._files(), "texts": texts, "findings": entries}
        self._write("findings", kept)

    @cached_property
    def _recorded(self) -> Mapping[str, Any]:
        path = self.book.project / MUTANTS
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def _files(self) -> dict[str, str]:
        return {file: digest([source]) for file, source in self.book.sources.items()}

    def _read(self, name: str) -> dict[str, Any]:
        try:
            kept = json.loads((self._directory / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def _write(self, name: str, value: Any) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        draft = self._directory / f"{name}.new"
        draft.write_text(json.dumps(value), encoding="utf-8")
        draft.replace(self._directory / f"{name}.json")

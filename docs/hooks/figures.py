"""What `make mutants` and `make lies` have found: figures that are committed, and shown with their date."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

Blocks: TypeAlias = Sequence[tuple[str, str]]
"""The blocks that fail: for each its page, by its path below docs, and its id there."""

MUTANTS = Path("docs") / "mutants.json"
LIES = Path("docs") / "lies.json"
SOURCE = Path("backend") / "src"


@dataclass(frozen=True)
class Figures:
    """The figures of one checkout.

    Args:
        mutants: what `make mutants` has recorded; empty where it has not.
        lies: what `make lies` has recorded.
        code: the number of the backend's code as it is.
    """

    mutants: Mapping[str, Any] = field(default_factory=dict)
    lies: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""

    @classmethod
    def read(cls, project: Path) -> Figures:
        """The figures that a checkout holds."""
        mutants, lies = (
            json.loads((project / file).read_text(encoding="utf-8")) if (project / file).exists() else {}
            for file in (MUTANTS, LIES)
        )
        return cls(mutants, lies, code_number(project) if mutants else "")

    def subjects(self, kind: str) -> list[str]:
        """What of a kind (`functions`, `errors` or `settings`) has been changed, and noticed."""
        return list(self.mutants.get("shown_in", {}).get(kind, {}))

    def blocks(self, kind: str, subject: str) -> Blocks:
        """The blocks that failed when a function, an error or a setting was changed."""
        found = self.mutants.get("shown_in", {}).get(kind, {}).get(subject, {})
        return [(page, block) for page, blocks in found.items() for block in blocks]


NONE = Figures()


def code_number(project: Path) -> str:
    """A number for the backend's code: another one when a file of it changes."""
    total = hashlib.sha256()
    for file in sorted(file for file in (project / SOURCE).rglob("*") if file.is_file() and file.suffix != ".pyc"):
        total.update(f"{file.relative_to(project).as_posix()}\n".encode() + file.read_bytes() + b"\n")
    return total.hexdigest()[:16]


def text(figures: Figures) -> Iterator[str]:
    """The figures as lines of Markdown."""
    mutants, lies = figures.mutants, figures.lies
    if not (mutants or lies):
        return
    yield from ("## What the pages notice", "")
    yield (
        "A block that passes says what the code does today. Whether the pages would notice if it did something else, "
        "or if they said something else, is measured:"
    )
    yield from ("", "| what was changed | so often | noticed | measured on |", "| --- | ---: | ---: | --- |")
    left_out = []
    if mutants:
        count = mutants["mutants"] - mutants["reviewed"]
        yield (
            f"| a place of the backend's code ([make mutants](contributing/mutants.md)) | {count:,} "
            f"| {_percent(mutants['killed'], count)} | {_measured(mutants)} |"
        )
        left_out.append(
            f"{mutants['reviewed']:,} changes of the code that nobody could tell from it, each listed with its reason "
            "in `tests/mutants/reviewed.toml`"
        )
    if lies:
        count = lies["lies"] - lies["covered"] - lies["free"]
        yield (
            f"| a place of a page ([make lies](contributing/lies.md)) | {count:,} "
            f"| {_percent(lies['caught'], count)} | {_measured(lies)} |"
        )
        left_out += [
            f"{lies['covered']:,} of output that a `...` stands for",
            f"{lies['free']:,} of sample values that their page does not depend on",
        ]
    yield from ("", f"Not counted: {'; '.join(left_out)}.", "")
    if mutants and mutants["code"] != figures.code:
        yield from ("The backend has changed since. The commands measure it again.", "")


def links(blocks: Blocks, urls: Mapping[str, str], known: Mapping[str, set[str]]) -> str:
    """Links to the headings that blocks stand under, page by page, as HTML; blocks that are gone are left out.

    Args:
        blocks: the blocks.
        urls: the address of each page, seen from the one that the links are for.
        known: the ids of each page's blocks.
    """
    headings: dict[str, dict[str, None]] = defaultdict(dict)
    for page, block in blocks:
        if page in urls and block in known.get(page, ()):
            headings[page][anchor(block)] = None
    return "; ".join(
        f"{escape(page.removesuffix('.md'))}: "
        + ", ".join(f'<a href="{escape(urls[page] + name)}">{escape(name or "top")}</a>' for name in names)
        for page, names in headings.items()
    )


def anchor(block: str) -> str:
    """The fragment of the heading that a block stands under."""
    heading = block.partition("[")[0] if "[" in block else ""
    return f"#{heading}" if heading not in ("", "top") else ""


def _percent(part: int, whole: int) -> str:
    """A share that says 100 only where it is that."""
    share = 1000 * part // whole / 10 if whole else 100.0
    return f"{share:g} %"


def _measured(found: Mapping[str, Any]) -> str:
    day = date.fromisoformat(found["date"])
    return f"{day.day} {day:%B %Y}, PostgreSQL {found['postgresql']}"

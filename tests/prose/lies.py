"""`make lies-prose`: tell lies about what pages say beside their blocks, and count those that a check notices.

A lie turns one word of a closed vocabulary round, or alters one number, release, target, anchor, cell or diagram. It is
judged by the checks alone, without a database; what the server itself is asked (the tables of locks) is not altered.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from handbook.proof import write_json
from prose import checks, figures, pictures, references, tables
from prose.sections import LINK, ROOT, Finding, Section, handbook
from prose.table import TABLE
from trials.figures import percent, row, say
from website.marks.figures import PROSE

PAIRS = (
    *(("never", "always"), ("before", "after"), ("reads", "writes"), ("readers", "writers"), ("reader", "writer")),
    *(("first", "last"), ("kept", "undone"), ("everybody", "nobody"), ("nothing", "everything"), ("once", "twice")),
)
OTHER = {one: other for pair in PAIRS for one, other in (pair, pair[::-1])}
WORD = re.compile(rf"(?i)(?<![\w`-])(?:{'|'.join(OTHER)})(?![\w`-])")
STEP = re.compile(r"(?m)^(\w+ ->.*)\n(\w+ ->.*)$")


class Lie(NamedTuple):
    """Another text in a place of a section's source."""

    kind: str
    start: int
    end: int
    text: str


def words(section: Section) -> Iterator[Lie]:
    asked = [one.span("rows") for one in TABLE.finditer(section.source) if "::" in one["name"]]
    for found in WORD.finditer(figures.blanked(section)):
        if any(start <= found.start() < end for start, end in asked):
            continue
        other = OTHER[found[0].lower()]
        yield Lie("vocabulary", *found.span(), other.capitalize() if found[0][0].isupper() else other)


def numbers(section: Section) -> Iterator[Lie]:
    text = figures.blanked(section)
    for found in figures.RELEASE.finditer(text):
        yield Lie("release", *found.span("first"), more(found["first"]))
    text = figures.RELEASE.sub(lambda found: " " * len(found[0]), text)
    for found in figures.FIGURE.finditer(text):
        yield Lie("number", *found.span(), more(found[0]))
    for found in figures.AMOUNT.finditer(text):
        if found["number"].lower() not in ("a", "an") or figures.LASTS.search(text[: found.start()]):
            yield Lie("unit", *found.span("unit"), "second" if "min" in found["unit"].lower() else "minute")


def names(section: Section) -> Iterator[Lie]:
    for found in references.TARGET.finditer(section.prose):
        yield Lie("target", *found.span("target"), found["target"] + "s")
    for found in LINK.finditer(section.prose):
        if references.CODE.fullmatch(found["text"]):
            yield Lie("anchor", *found.span("anchor"), "pm14" if found["anchor"] == "pm15" else "pm15")


def cells(section: Section) -> Iterator[Lie]:
    for table in TABLE.finditer(section.source):
        by_hand = [f" {name} " for name in (table["by_hand"] or "").split(", ")]
        head, _, *rows = re.finditer(r"\|(.*)\|", table["rows"])
        for row_ in rows if table["name"] in tables.SOURCES else ():
            place = table.start("rows") + row_.start(1)
            for column, cell in zip(head[1].split("|"), row_[1].split("|"), strict=False):
                if column not in by_hand:
                    yield Lie("cell", place + 1, place + len(cell) - 1, more(cell[1:-1]))
                place += len(cell) + 1


def diagrams(section: Section) -> Iterator[Lie]:
    other = {"waits for": "has", "SHARE": "EXCLUSIVE", "EXCLUSIVE": "SHARE"}
    for diagram in pictures.DIAGRAM.finditer(section.source):
        start = diagram.start("lines")
        for found in STEP.finditer(diagram["lines"]):
            if all(pictures.STATEMENT.search(line) for line in found.groups()):
                yield Lie("picture", start + found.start(), start + found.end(), f"{found[2]}\n{found[1]}")
        for found in re.finditer(r"\d+(?=-)|waits for|SHARE|EXCLUSIVE", diagram["lines"]):
            yield Lie("picture", start + found.start(), start + found.end(), other.get(found[0]) or more(found[0]))


def lies_of(section: Section) -> Iterator[Lie]:
    """Every lie about a section."""
    for kind in (words, numbers, names, cells, diagrams):
        yield from kind(section)


def more(text: str) -> str:
    """A text whose last number is one more, or its last letter another one."""
    if text.lower() in figures.WORDS:
        return figures.WORDS[(figures.WORDS.index(text.lower()) + 1) % len(figures.WORDS)]
    if found := re.search(r"\d+(?=\D*$)", text):
        return text[: found.start()] + str(int(found[0]) + 1).zfill(len(found[0])) + text[found.end() :]
    return re.sub(r"\w(?=\W*$)", lambda found: "s" if found[0] != "s" else "t", text)


def noticed(page: Sequence[Section], section: Section, lie: Lie) -> Finding | None:
    """What a check finds of a page with a lie in it."""
    altered = section.altered(lie.start, lie.end, lie.text)
    return next(checks.findings([altered if one is section else one for one in page], [altered]), None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make lies-prose", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pages", nargs="*", help="pages or directories; else all")
    parser.add_argument("--record", action="store_true", help="write the figures that Verification shows")
    options = parser.parse_args()
    wanted = [path.strip("/") for path in options.pages if path != "docs" or len(options.pages) > 1]
    told: Counter[str] = Counter()
    caught: Counter[str] = Counter()
    for name, page in handbook().items():
        if wanted and not any(name == path or name.startswith(f"{path}/") for path in wanted):
            continue
        for section in page:
            for lie in lies_of(section):
                told[lie.kind] += 1
                if noticed(page, section, lie):
                    caught[lie.kind] += 1
                else:
                    place, before = f"{name}:{section.line_of(lie.start)}", section.source[lie.start : lie.end]
                    say(f"{place}: {lie.kind}: {before} -> {lie.text}")
    widths = (12, 8, 8, 10)
    say("", row(widths, "lies about", "told", "noticed", ""))
    for kind, count in told.items():
        say(row(widths, kind, count, caught[kind], percent(caught[kind], count)))
    total = {"lies": told.total(), "caught": caught.total()}
    say(row(widths, "all", *total.values(), percent(total["caught"], total["lies"])))
    if options.record and not wanted:
        write_json(ROOT / Path(PROSE), {"date": datetime.now(UTC).strftime("%Y-%m-%d"), **total})


if __name__ == "__main__":
    main()

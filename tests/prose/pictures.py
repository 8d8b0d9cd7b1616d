"""Diagrams that are drawn from lines of text: a sequence is that of its section's statements, a timeline that of locks.

`<!-- diagram: sequence ANCHOR` names the section of the page whose block shows the statements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from prose.sections import Finding, Section, handbook
from prose.table import tables
from website.diagrams import timeline

DIAGRAM = re.compile(r"<!-- diagram: (?P<kind>sequence|timeline) *(?P<anchor>[\w-]*)\n(?P<lines>.*?)\n-->", re.DOTALL)
# What a sequence says of a statement in other words.
IN_WORDS = {
    "which versions are applied now?": "SELECT version FROM schema_migrations",
    "the statements of up(conn)": "ALTER TABLE",
    "give the lock back": "SELECT pg_advisory_unlock",
}
STATEMENT = re.compile(rf": ((?:[A-Z]{{4,}}|{'|'.join(map(re.escape, IN_WORDS))}).*)")
# What a session that bears one of these names takes: a plain read, a write, an ALTER TABLE.
TAKES = {
    **dict.fromkeys(("report", "reader", "page view"), "ACCESS SHARE"),
    "writer": "ROW EXCLUSIVE",
    "migration": "ACCESS EXCLUSIVE",
}
MATRIX = "test_modes_that_exclude_each_other"


def check(page: Sequence[Section]) -> Iterator[Finding]:
    """The diagrams of a page are drawn as what they show is."""
    for section in page:
        for found in DIAGRAM.finditer(section.source):
            line = section.line + section.source.count("\n", 0, found.start("lines"))
            lines = found["lines"].split("\n")
            wrong = (
                _out_of_order(page, found["anchor"], lines) if found["kind"] == "sequence" else _out_of_line(lines[1:])
            )
            if wrong:
                yield Finding(page[0].page, line + lines.index(wrong[0]), wrong[1])


def _out_of_order(page: Sequence[Section], anchor: str, lines: Sequence[str]) -> tuple[str, str] | None:
    """The first statement that the block does not show after the one before it, and what is wrong."""
    shown = next((section.shown for section in page if section.anchor == anchor), "")
    place = shown.find("SELECT version")
    drawn = [line for line in lines if STATEMENT.search(line)]
    if not drawn or place < 0:
        return lines[0], f"name the section whose block shows the statements: diagram: sequence ANCHOR, not {anchor!r}"
    for line in drawn:
        said = STATEMENT.search(line)
        statement = IN_WORDS.get(said[1], said[1]) if said else ""
        at = shown.find(statement, place)
        if at < 0:
            return line, f"{statement!r} does not come there in the block of #{anchor}"
        place = at + len(statement)
    return None


def conflicts() -> Mapping[str, set[str]]:
    """The modes that exclude each mode, from the table that a test tries on the server."""
    (matrix,) = (
        one
        for section in handbook()["docs/reference/lock-modes.md"]
        for one in tables(section.source, 1)
        if MATRIX in one.name
    )
    wanted = [column.upper() for column in matrix.columns[1:]]
    return {
        row[0].strip("`"): {mode for mode, cell in zip(wanted, row[1:], strict=True) if "✗" in cell}
        for row in matrix.rows
    }


def _out_of_line(lines: Sequence[str]) -> tuple[str, str] | None:
    """The first session that waits otherwise than those before it make it, and what is wrong."""
    before: list[tuple[str, int]] = []
    for line, (name, spans) in zip(lines, timeline.read(lines).items(), strict=True):
        mode = re.sub("has |waits for ", "", spans[0].text)
        if mode not in conflicts() or any(
            span.text not in (f"has {mode}", f"waits for {mode}", "has it") for span in spans
        ):
            return line, f"{name}: write 'has MODE' or 'waits for MODE', and then 'has it'"
        if mode != TAKES.get(name, mode):
            return line, f"a {name} takes {TAKES[name]}"
        # Each comes a second after the one before, and neither waits nor holds anything in between.
        moments = [len(before), *(span.end for span in spans)]
        if [span.start for span in spans] != moments[:-1]:
            return line, f"{name} begins at {len(before)} s, and each of its spans where the one before ends"
        start = max([spans[0].start, *(end for held, end in before if mode in conflicts()[held])])
        waited = spans[0].end if spans[0].text.startswith("waits") else spans[0].start
        if waited != start:
            return line, f"{name} gets {mode} at {start} s, and not at {waited} s, by the locks of those before it"
        before.append((mode, spans[-1].end))
    return None

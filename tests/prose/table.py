"""A table of a page that is compared with what a comment above it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

TABLE = re.compile(
    r"<!-- table: (?P<name>[^;\s][^;]*?)(?:; by hand: (?P<by_hand>.*?))? -->\n\n?(?P<rows>(?: *\|.*\n?)+)"
)
CELL = re.compile(r"(?<!\\)\|")


class Table(NamedTuple):
    """A table of a page: the columns that are compared, its rows by the first of them, and the line of each."""

    name: str
    columns: list[str]
    rows: list[list[str]]
    lines: list[int]


def tables(text: str, first: int) -> Iterator[Table]:
    """The tables that are compared in a part of a page that starts on line `first`."""
    for found in TABLE.finditer(text):
        line = first + text.count("\n", 0, found.start("rows"))
        head, _, *rows = (
            [cell.strip() for cell in CELL.split(row.strip())[1:-1]] for row in found["rows"].splitlines()
        )
        by_hand = (found["by_hand"] or "").split(", ")
        kept = [place for place, column in enumerate(head) if column not in by_hand]
        compared = [[row[place] for place in kept if place < len(row)] for row in rows]
        yield Table(found["name"], [head[place] for place in kept], compared, [line + 2 + n for n in range(len(rows))])

"""Tables that are compared with the code, cell by cell: a comment above a table names what it is compared with.

`<!-- table: settings; by hand: Value -->` compares all columns but one with the rows that a function here returns. A
test may be named instead (`backend/tests/test_x.py::test_y`), which then has to read the table from the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from prose import errors
from prose.code import commands, makes, options, statuses, targets
from prose.literals import LEFT_OPEN, is_of_the_project
from prose.sections import Finding, Section
from prose.table import Table, tables
from src.config import TOP, Settings


def link(name: str, address: str = "") -> str:
    return f"[`{name}`](#{address or name.lower()})"


def settings() -> list[list[str]]:
    own = Settings.from_environment({})
    values = (own.host, own.port, own.log_level, own.data.relative_to(TOP))
    names = ("PLANTOPS_HOST", "PLANTOPS_PORT", "PLANTOPS_LOG_LEVEL", "PLANTOPS_DATA")
    return [
        [link("DATABASE_URL"), "the development server"],
        *([link(name), f"`{value}`"] for name, value in zip(names, values, strict=True)),
        [link("TEST_DATABASE_URL"), "a throw-away server"],
    ]


def options_of_commands() -> list[list[str]]:
    every = set(commands())
    return [
        [f"`{option}`", "all" if set(names) == every else ", ".join(f"`{name}`" for name in names)]
        for option, names in options().items()
    ]


# By the name in the comment: what a table's rows are, without the columns by hand. "…" stands for any words.
SOURCES: Mapping[str, Callable[[], list[list[str]]]] = {
    "settings": settings,
    "commands": lambda: [[link(name), f"`make {makes(name)}…`"] for name in commands()],
    "options": options_of_commands,
    "exit statuses": lambda: [list(status) for status in statuses().items()],
    "make targets": lambda: [[f"`{name}`"] for name in targets()],
    "error codes": errors.codes,
    "error states": errors.states,
    "error texts": errors.index,
    "error overview": errors.overview,
}


def check(page: Sequence[Section]) -> Iterator[Finding]:
    """The tables of a page hold the rows of what they are compared with; several of one name hold them together."""
    found: dict[str, list[tuple[int, Table]]] = {}
    for section in page:
        for table in tables(section.source, section.line):
            found.setdefault(table.name, []).append((section.line, table))
    for name, parts in found.items():
        first = parts[0][1].lines[0] - 2
        if name not in SOURCES:
            if "::" not in name or not is_of_the_project(name):
                known = ", ".join(SOURCES)
                yield Finding(page[0].page, first, f"no table is {name!r}: it is a test, or one of {known}")
            continue
        shown = [(line, row, table) for _, table in parts for line, row in zip(table.lines, table.rows, strict=True)]
        yield from differences(page[0].page, first, shown, SOURCES[name]())


def differences(
    page: str, first: int, shown: list[tuple[int, list[str], Table]], expected: list[list[str]]
) -> Iterator[Finding]:
    """What the rows of a table say otherwise than they should."""
    left = list(expected)
    for line, row, table in shown:
        wanted = next((one for one in left if matches(row[0], one[0])), None)
        if wanted is None:
            yield Finding(page, line, f"{table.columns[0]} {row[0]}: the code has no such row")
            continue
        left.remove(wanted)
        for column, cell, right in zip(table.columns, row, wanted, strict=True):
            if not matches(cell, right):
                yield Finding(page, line, f"{column} of {row[0]}: {cell}, and the code says {right}")
    for missing in left:
        yield Finding(page, first, f"the table has no row {' | '.join(missing)}")


def matches(cell: str, expected: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in LEFT_OPEN.split(expected)), cell) is not None

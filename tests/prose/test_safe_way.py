"""The table of *Choose a safe way* says what the measurement on that page prints, change by change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from handbook.page import read, text_of
from handbook.rendering import Renderer

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "choose-a-safe-way.md"
# From the weakest to the strongest.
MODES = (
    *("ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE"),
    *("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"),
)
ROW = re.compile(
    r"(?m)^\| (?P<change>[^|`]+) \| `(?P<mode>[A-Z ]+)`(?P<where>[^|]*) \| (?P<waits>[^|]+) \| .*\]\(.*\) \|$"
)
# The table that names locks; what takes several deploys stands in another one.
TABLE = re.compile(r"(?m)^\| You want to \| Strongest lock .*\n(?:\|.*\n)+")
CHANGE = re.compile(r"(?P<change>\S[^:]*): [A-Z]+ .*")
MEASURED = re.compile(
    rf" +(?P<table>[a-z_]+) +(?P<mode>{'|'.join(sorted(MODES, key=len, reverse=True))})"
    r" +(?P<waits>everybody|writers|nobody)(?: +(?P<work>.*))?"
)
DURATIONS = {"0 rows read": "for a moment", "rewritten": "while rows are rewritten"}


class Lock(NamedTuple):
    """A lock of one table, as it was measured."""

    mode: str
    waits: str
    work: str | None


def measured(text: str) -> dict[str, list[Lock]]:
    """The locks of each change, from what the page prints: a line with the change, and below it one for each table."""
    found: dict[str, list[Lock]] = {}
    change = ""
    for block in read(text, Renderer(ROOT / "mkdocs.yml")):
        for line in block.output.text.split("\n") if block.output else ():
            if match := CHANGE.fullmatch(line):
                change = match["change"]
            elif match := MEASURED.fullmatch(line):
                found.setdefault(change, []).append(Lock(match["mode"], match["waits"], match["work"]))
    return found


def differences(text: str) -> list[str]:
    """What the table of a page says otherwise than its measurement."""
    locks = measured(text)
    (table,) = TABLE.findall(text)
    rows = {row["change"]: row for row in ROW.finditer(table)}
    assert len(locks) > 1
    assert len(rows) == len(table.splitlines()) - 2, "a row of another form"
    found = [f"{change}: in the table, not measured" for change in rows.keys() - locks.keys()]
    found += [f"{change}: measured, not in the table" for change in locks.keys() - rows.keys()]
    for change in rows.keys() & locks.keys():
        row, strongest = rows[change], max(locks[change], key=lambda lock: MODES.index(lock.mode))
        if row["mode"] != strongest.mode:
            found.append(f"{change}: takes {strongest.mode}, and not {row['mode']}")
        if (row["where"] == " on both") != (sum(lock.mode == strongest.mode for lock in locks[change]) > 1):
            found.append(f"{change}: locks {len(locks[change])} tables")
        if not re.fullmatch(rf"{waiting(strongest)}(; then old code fails)?", row["waits"]):
            found.append(f"{change}: makes {waiting(strongest)} wait, and not {row['waits']}")
    return sorted(found)


def waiting(lock: Lock) -> str:
    """Who waits, as the table says it."""
    if lock.waits == "nobody":
        # Locks of rows are not in the measurement of tables' locks, as the page says.
        return "writers of the same rows" if lock.mode == "ROW EXCLUSIVE" else "nobody"
    return f"{lock.waits}, {DURATIONS.get(lock.work or '', 'while rows are read')}"


def test_the_table_says_what_was_measured() -> None:
    assert differences(text_of(PAGE)) == []


@pytest.mark.parametrize(
    ("row", "instead", "difference"),
    [
        (
            "| add an index | `SHARE` |",
            "| add an index | `EXCLUSIVE` |",
            "add an index: takes SHARE, and not EXCLUSIVE",
        ),
        ("| writers, while rows are read | [Add an index]", "| nobody | [Add an index]", "add an index: makes writers"),
        ("`SHARE ROW EXCLUSIVE` on both", "`SHARE ROW EXCLUSIVE`", "add a foreign key: locks 2 tables"),
        ("| change a default |", "| change something else |", "change a default: measured, not in the table"),
        ("| change a default |", "| change something else |", "change something else: in the table, not measured"),
    ],
)
def test_a_row_that_says_otherwise_is_found(row: str, instead: str, difference: str) -> None:
    text = text_of(PAGE)
    assert row in text
    assert any(found.startswith(difference) for found in differences(text.replace(row, instead, 1)))

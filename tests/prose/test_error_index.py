"""The index of errors holds what the code raises and what the pages explain, and leads to where that is shown."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from handbook.page import read, text_of
from handbook.rendering import Renderer
from prose.shown import shown
from src.db.errors import MigrationError

DOCS = Path(__file__).resolve().parents[2] / "docs"
INDEX = DOCS / "reference" / "error-index.md"
TROUBLESHOOTING = DOCS / "troubleshooting"
OVERVIEW = TROUBLESHOOTING / "index.md"
ROW = re.compile(r"(?m)^\| (.*) \|$")
LINK = re.compile(r"\[[^\]]+\]\(([^)#]*)(?:#([^)]*))?\)")
SQLSTATE = re.compile(r"`([0-9A-Z]{5})`")
# The paragraph, or the item of a list, in which a page says what it is about.
EXPLAINED = re.compile(r"(?ms)^(?:- )?SQLSTATE `([0-9A-Z]{5})`(.*?)(?=\n- |\n\n|\Z)")
CODE = re.compile(r"PM\d\d")


class Entry(NamedTuple):
    """A row of a table, by its cells, and the page that its last cell leads to."""

    cells: list[str]
    page: Path


def section(file: Path, heading: str = "") -> str:
    """A page's text below a heading, up to the next; without one, above the first."""
    parts = re.split(r"(?m)^## (.*)$", text_of(file))
    return dict(zip(["", *parts[1::2]], parts[::2], strict=True))[heading]


def entries(file: Path, heading: str = "") -> list[Entry]:
    """The rows of the table below a heading, without its head."""
    rows = [re.split(r" \| ", row) for row in ROW.findall(section(file, heading))][2:]
    return [
        Entry(cells, (file.parent / LINK.findall(cells[-1])[0][0]).resolve())
        for cells in rows
        if LINK.search(cells[-1])
    ]


# A crashed server repairs its files for a moment only, which no block can count on meeting: its page has it in prose.
PASSING = "the database system is in recovery mode"


def codes() -> dict[str, str]:
    return {kind.code: kind.__name__ for kind in MigrationError.__subclasses__()}


def explained() -> dict[str, tuple[Path, set[str]]]:
    """The SQLSTATEs that the pages about errors are about: each with its page, and the codes of the runner for it."""
    found = {}
    for page in sorted(TROUBLESHOOTING.glob("*.md")):
        for state, rest in EXPLAINED.findall(text_of(page)) if page != OVERVIEW else ():
            found[state] = (page, set(CODE.findall(rest)))
    return found


@cache
def printed(page: Path, renderer: Renderer) -> str:
    """What the blocks of a page that run print, and its title, on one line."""
    title = re.search(r"(?m)^# (.*)$", text_of(page))
    assert title is not None
    return " ".join(f"{title[1]} {shown([read(text_of(page), renderer)]).printed}".split())


def pattern(text: str) -> re.Pattern[str]:
    """A pattern for an error's text, in which an ellipsis stands for what differs."""
    return re.compile(".+?".join(re.escape(part) for part in text.split("…")))


def test_each_code_stands_in_the_index_with_its_class() -> None:
    rows = ROW.findall(section(INDEX, "By code"))[2:]
    assert [re.match(r"\[(\w+)\]\(\.\./errors\.md#(\w+)\) \| `(\w+)`", row).groups() for row in rows] == [  # type: ignore[union-attr] # a row of another form fails
        (code, code.lower(), name) for code, name in sorted(codes().items())
    ]


def test_each_code_and_its_text_are_those_of_the_page_of_errors(renderer: Renderer) -> None:
    texts = printed(DOCS / "errors.md", renderer)
    for row in ROW.findall(section(INDEX, "By code"))[2:]:
        for text in re.findall(r"`([^`]+)`", row.split(" | ")[2]):
            assert pattern(text).search(texts), text


def test_each_sqlstate_with_a_page_stands_in_the_index() -> None:
    rows = {SQLSTATE.match(entry.cells[0])[1]: entry for entry in entries(INDEX, "By SQLSTATE")}  # type: ignore[index] # likewise
    pages = explained()
    assert len(pages) > 1
    assert sorted(pages.keys() - rows.keys()) == [], "these have a page, and no row"
    for state, (page, runner) in pages.items():
        assert rows[state].page == page, state
        assert runner <= set(CODE.findall(rows[state].cells[3])), state


async def test_the_conditions_and_classes_of_the_sqlstates_are_postgresqls_and_asyncpgs(migrated_url: str) -> None:
    rows = [re.findall(r"`(\w+)`", " ".join(entry.cells[:3])) for entry in entries(INDEX, "By SQLSTATE")]
    assert [state for state, *_ in rows] == sorted(state for state, *_ in rows)
    conn = await asyncpg.connect(migrated_url)
    for state, condition, kind in rows:
        with pytest.raises(asyncpg.PostgresError) as caught:
            await conn.execute(f"DO $$ BEGIN RAISE {condition}; END $$")
        assert (caught.value.sqlstate, type(caught.value).__name__) == (state, kind)
    await conn.close()


def test_each_page_about_an_error_stands_in_both_tables() -> None:
    pages = {page for page in TROUBLESHOOTING.glob("*.md") if page != OVERVIEW}
    assert pages
    for table in (entries(OVERVIEW), entries(INDEX, "By text")):
        assert sorted(pages - {entry.page for entry in table}) == []


def test_the_overview_gives_each_sqlstate_the_class_of_asyncpg() -> None:
    for entry in entries(OVERVIEW):
        state, kind = (re.sub("`", "", cell) for cell in entry.cells[1:3])
        if state != "none":
            known = getattr(asyncpg, kind)
            # asyncpg ends a connection with an error of its own, whatever the server said.
            assert known.sqlstate == state or known is asyncpg.ConnectionDoesNotExistError, entry.cells[0]


def test_the_index_holds_every_text_of_the_overview() -> None:
    listed = {entry.cells[0]: entry for entry in entries(INDEX, "By text")}
    for entry in entries(OVERVIEW):
        assert listed[entry.cells[0]].cells[1] == entry.cells[1]
        assert listed[entry.cells[0]].page == entry.page


@pytest.mark.parametrize("entry", entries(INDEX, "By text"), ids=lambda entry: entry.cells[0].strip("`"))
def test_the_page_of_a_text_shows_it(entry: Entry, renderer: Renderer) -> None:
    (text, *_) = re.findall(r"`([^`]+)`", entry.cells[0])
    seen = " ".join(text_of(entry.page).split()) if text == PASSING else printed(entry.page, renderer)
    assert pattern(text).search(seen), f"{entry.page} shows no {text!r}"


def test_the_texts_are_in_alphabetical_order() -> None:
    texts = [re.sub(r"[^a-z0-9 ]", "", entry.cells[0].lower()).strip() for entry in entries(INDEX, "By text")]
    assert texts == sorted(texts)


def test_each_text_of_a_code_stands_among_the_texts() -> None:
    by_code = {
        (text, code)
        for code, _, texts, *_ in (row.split(" | ") for row in ROW.findall(section(INDEX, "By code"))[2:])
        for text in re.findall(r"`([^`]+)`", texts)
    }
    cells = [(entry.cells[0].strip("`"), entry.cells[1].strip("`")) for entry in entries(INDEX, "By text")]
    runners = [(text, f"[{code}](../errors.md#{code.lower()})") for text, code in cells if CODE.fullmatch(code)]
    assert sorted(runners) == sorted(by_code)

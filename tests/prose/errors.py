"""The tables of errors: what they hold by the classes of the code and of asyncpg, and by the pages about errors."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prose.literals import is_shown, postgresql_errors
from prose.sections import LINK, LITERAL, Section, handbook
from prose.table import CELL
from src.db.errors import MigrationError

INDEX, PAGES = "docs/reference/error-index.md", "docs/troubleshooting/"
# The paragraph, or the item of a list, in which a page says what it is about.
FACTS = re.compile(r"(?ms)^(?:- )?SQLSTATE `(?P<state>[0-9A-Z]{5})`(?P<rest>.*?)(?=\n- |\n\n|\Z)")
# What the page of errors alone explains.
WITHOUT_A_PAGE = ["`3D000`", "`invalid_catalog_name`", "`InvalidCatalogNameError`", *["[PM13](../errors.md#pm13)"] * 2]


def texts() -> list[list[str]]:
    """The rows of the index by text, as they are: text, SQLSTATE or code, and link."""
    lines = [line for line in _by_text().source.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in CELL.split(line)[1:-1]] for line in lines[2:]]


def _by_text() -> Section:
    return next(one for one in handbook()[INDEX] if one.anchor == "by-text")


def index() -> list[list[str]]:
    """The rows of the index by text, each with its link if that page shows the text and the SQLSTATE."""
    found = []
    for text, state, link in texts():
        said, to = LITERAL.search(text), LINK.search(link)
        top, *sections = _by_text().page_of(to) if to else []
        about = [rest for page, _, rest in facts() if top.page.endswith(f"/{page}")]
        seen = " ".join((top.scope, *(one.title for one in sections), *about))
        source = "\n".join((link, *(one.source for one in (top, *sections))))
        shown = said and is_shown(said[2], seen) and ("`" not in state or state.strip("`") in source)
        found.append([text, state, link if shown else "a page that shows the text and the SQLSTATE"])
    return found


def facts() -> Iterator[tuple[str, str, str]]:
    """The page, the SQLSTATE, and what the page says of it."""
    for page, sections in handbook().items():
        if page.startswith(PAGES):
            text = "\n".join(section.source for section in sections)
            yield from ((page.removeprefix(PAGES), found["state"], found["rest"]) for found in FACTS.finditer(text))


def codes() -> list[list[str]]:
    found = []
    for kind in MigrationError.__subclasses__():
        mine = "; ".join(text for text, code, _ in texts() if code == f"`{kind.code}`")
        found.append([f"[{kind.code}](../errors.md#{kind.code.lower()})", f"`{kind.__name__}`", mine or "…"])
    return found


def states() -> list[list[str]]:
    found = [WITHOUT_A_PAGE]
    for page, state, rest in facts():
        kind, condition = postgresql_errors().get(state, ("?", "?"))
        runner = ", ".join(link[0] for link in LINK.finditer(rest) if link["text"].startswith("PM"))
        found.append([f"`{state}`", f"`{condition}`", f"`{kind}`", runner or "…", f"[…](../troubleshooting/{page}…)"])
    return found


def overview() -> list[list[str]]:
    """The rows of the index by text that lead to a page about errors, and one for each page that none leads to."""
    raised = {(page, state): re.findall(r"asyncpg (`\w+`)", rest) for page, state, rest in facts()}
    found = []
    for text, state, link in texts():
        if page := re.search(r"\(\.\./troubleshooting/([\w-]+\.md)", link):
            kind = raised.get((page[1], state.strip("`")), ["…"])
            found.append([text, state, *(kind or ["…"]), link.replace("../troubleshooting/", "")])
    named = {page.removeprefix(PAGES) for page in handbook() if page.startswith(PAGES)} - {"index.md"}
    return found + [["…", "…", "…", f"[…]({page})"] for page in named if not any(f"({page}" in row[3] for row in found)]

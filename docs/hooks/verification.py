"""The page that lists what became of every block of the handbook."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias

import figures
from versions import counts_of

if TYPE_CHECKING:
    from figures import Figures

Entry: TypeAlias = Mapping[str, Any]
Pages: TypeAlias = Mapping[str, Sequence[Entry]]

# The tables are long: they are put into the finished page as HTML, where Markdown would take its time over each row.
TABLE = '<div data-proof-table="{}"></div>'
TABLE_PATTERN = re.compile(TABLE.format("(.*?)"))
# Where a page wants the totals.
TOTALS = "<!-- verification totals -->"
NOT_RUN = "not run"
# What the data for programs holds of a block: nothing that differs from run to run.
PUBLISHED = ("id", "line", "kind", "status", "reason", "versions")
# What is changed, and the heading of its table.
SUBJECTS = {
    "functions": "What fails when a function changes",
    "errors": "What fails when an error changes",
    "settings": "What fails when a setting changes",
}
SUBJECTS_TEXT = "The blocks that were the first to fail when it was changed, a place at a time:"
STATUSES = {
    "passed": "did what the page says",
    "failed": "failed",
    "not reached": "not reached, because one above failed",
    NOT_RUN: "not run, each for a reason that stands on the page",
    "shown": "shown only: text, not code",
}


def text(pages: Pages, postgresql: str, found: Figures = figures.NONE) -> str:
    """The page as Markdown, with a place for each table.

    Args:
        pages: what the proof holds of each page.
        postgresql: the version of the server.
        found: what the pages notice.
    """
    lines = ["---", "title: Verification", "search:", "  exclude: true", "---", "", "# Verification", ""]
    lines += [totals(pages, postgresql), ""]
    listed = _listed(pages)
    if listed:
        not_run = any(entry["status"] == NOT_RUN for entries in listed.values() for entry in entries)
        lines += [
            "`make docs-test` runs them again, in a clone of the project.",
            "",
            "## Not run",
            "",
            TABLE.format(NOT_RUN) if not_run else "Every block that is code has run.",
            "",
            *figures.text(found),
        ]
    for kind, title in SUBJECTS.items():
        if found.subjects(kind):
            lines += [f"## {title}", "", SUBJECTS_TEXT, "", TABLE.format(kind), ""]
    for page in listed:
        lines += [f"## {page}", "", TABLE.format(page), ""]
    return "\n".join(lines)


def totals(pages: Pages, postgresql: str) -> str:
    """How many blocks there are, what became of them and on which versions, as Markdown.

    Args:
        pages: what the proof holds of each page.
        postgresql: the version of the server.
    """
    listed = _listed(pages)
    if not listed:
        return "No block has run yet. `make docs-test` runs them all."
    entries = [entry for page in listed.values() for entry in page]
    counts = Counter(entry["status"] for entry in entries)
    lines = [
        f"The handbook has {_number(len(entries), 'block')} on {_number(len(listed), 'page')}."
        + (f" They ran on PostgreSQL {postgresql}." if postgresql else ""),
        "",
        "| what became of them | blocks |",
        "| --- | ---: |",
        *(f"| {meaning} | {counts[status]} |" for status, meaning in STATUSES.items() if counts[status]),
    ]
    versions = counts_of(entries)
    if len(versions) > 1:
        lines += ["", "| PostgreSQL | blocks that did what the page says |", "| --- | ---: |"]
        lines += [f"| {version} | {count} |" for version, count in versions.items()]
    return "\n".join(lines)


def with_tables(html: str, pages: Pages, urls: Mapping[str, str], found: Figures) -> str:
    """The rendered page with its tables.

    Args:
        html: what Markdown made of `text`.
        pages: what the proof holds of each page.
        urls: the address of each page, seen from this one.
        found: what the pages notice.
    """

    def table(match: re.Match[str]) -> str:
        if match[1] == NOT_RUN:
            return _not_run(pages, urls)
        if match[1] in SUBJECTS:
            return _subjects(match[1], pages, urls, found)
        return _blocks(pages[match[1]], urls.get(match[1], ""))

    return TABLE_PATTERN.sub(table, html)


def data(pages: Pages, postgresql: str, urls: Mapping[str, str]) -> dict[str, Any]:
    """What became of every block, for programs: nothing in it differs between two runs that found the same.

    Args:
        pages: what the proof holds of each page.
        postgresql: the version of the server.
        urls: the address of each page, seen from the site's first one.
    """
    listed = {page: entries for page, entries in _listed(pages).items() if page in urls}
    counts = Counter(entry["status"] for entries in listed.values() for entry in entries)
    return {
        "postgresql": postgresql,
        "blocks": {status: counts[status] for status in STATUSES if counts[status]},
        "pages": [
            {
                "source": page,
                "url": urls[page],
                "blocks": [{name: entry[name] for name in PUBLISHED} | {"sha256": entry["key"]} for entry in entries],
            }
            for page, entries in listed.items()
        ],
    }


def _listed(pages: Pages) -> dict[str, list[Entry]]:
    """The pages that have blocks which a reader sees, with these."""
    visible = {page: _visible(entries) for page, entries in pages.items()}
    return {page: entries for page, entries in visible.items() if entries}


def _visible(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if not entry["hidden"]]


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _not_run(pages: Pages, urls: Mapping[str, str]) -> str:
    rows = [
        (f"{escape(page)}, {_link(entry, urls.get(page, ''))}", entry["line"], escape(entry["reason"]))
        for page, entries in pages.items()
        for entry in _visible(entries)
        if entry["status"] == NOT_RUN and entry["kind"] != "output"
    ]
    return _table(("block", "line", "reason"), rows)


def _subjects(kind: str, pages: Pages, urls: Mapping[str, str], found: Figures) -> str:
    known = ids_of(pages)
    rows = [
        (f"<code>{escape(name)}</code>", figures.links(found.blocks(kind, name), urls, known))
        for name in found.subjects(kind)
    ]
    return _table(("changed", "blocks that failed"), [row for row in rows if row[1]])


def ids_of(pages: Pages) -> dict[str, set[str]]:
    """The ids of each page's blocks that a reader sees."""
    return {page: {entry["id"] for entry in entries} for page, entries in _listed(pages).items()}


def _blocks(entries: Sequence[Entry], url: str) -> str:
    # The page is to stay light: the rest, such as the kinds and the hashes, stands in verification.json. An output that
    # was right goes with the block that printed it.
    rows = [
        (_link(entry, url), entry["line"], entry["status"])
        for entry in _visible(entries)
        if entry["kind"] != "output" or entry["status"] != "passed"
    ]
    return _table(("block", "line", "status"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _link(entry: Entry, url: str) -> str:
    """A link to the heading that a block stands under."""
    return f'<a href="{escape(url + figures.anchor(entry["id"]))}">{escape(entry["id"])}</a>'

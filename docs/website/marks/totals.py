"""What a page can say of all blocks of the handbook, in the place of a comment: `<!-- verification: totals -->`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from html import escape

from website.marks import figures
from website.pages import address, refusal
from website.proof import Entry, Proof, visible
from website.versions import shared
from website.words import in_words

ASKED = re.compile(r"<!-- verification: ([\w-]+) -->")
NOT_RUN = "not run"
BECAME = {
    "passed": "ran and did what their page says",
    "failed": "failed",
    "not reached": "not reached, because one above failed",
    NOT_RUN: "not run, for a reason",
    "shown": "text",
}
NOTHING = "No block has run yet: <code>make docs-test</code> runs them all."


def replace(text: str, proof: Proof, page: str) -> str:
    """Return a page's HTML or Markdown with what its comments ask for, as HTML.

    Arguments:
        text: the page.
        proof: what is proven.
        page: its path below docs.
    """

    def part(asked: re.Match[str]) -> str:
        if asked[1] not in PARTS:
            return refusal(f"docs/{page}: the comment asks for {asked[1]!r}, which is none of {', '.join(PARTS)}")
        return PARTS[asked[1]](proof, page)

    return ASKED.sub(part, text)


def listed(proof: Proof) -> dict[str, list[Entry]]:
    """Return the pages that have blocks which a reader sees, with these."""
    seen = {page: visible(entries) for page, entries in proof.pages.items()}
    return {page: entries for page, entries in seen.items() if entries}


def counts(proof: Proof) -> dict[str, int]:
    """Return how many blocks a reader sees, by what became of them."""
    return dict(Counter(entry["status"] for entries in listed(proof).values() for entry in entries))


def _totals(proof: Proof, page: str) -> str:
    """The totals in one line."""
    pages, found = listed(proof), counts(proof)
    if not pages:
        return f'<p class="totals">{NOTHING}</p>'
    facts = [f"<strong>{sum(found.values()):,}</strong> blocks on <strong>{len(pages)}</strong> pages"]
    facts += [
        f"<strong>{found[status]:,}</strong> {meaning}" for status, meaning in BECAME.items() if found.get(status)
    ]
    facts += [f"PostgreSQL <strong>{escape(proof.postgresql)}</strong>"] if proof.postgresql else []
    return f'<p class="totals">{"".join(f"<span>{fact}</span> " for fact in facts)}</p>'


def _not_run(proof: Proof, page: str) -> str:
    """The blocks that did not run, with their reasons."""
    rows = [
        (_link(name, page, entry), escape(entry["reason"]))
        for name, entries in listed(proof).items()
        for entry in entries
        if entry["status"] == NOT_RUN and entry["kind"] != "output"
    ]
    return _table(("Block", "Why it does not run"), rows) if rows else "<p>Every block that is code has run.</p>"


def _pages(proof: Proof, page: str) -> str:
    """The pages, with the numbers of their blocks and the versions on which all of them ran."""
    rows = []
    for name, entries in listed(proof).items():
        number = Counter(entry["status"] for entry in entries)
        rows.append(
            (
                f'<a href="{escape(address(name, page))}">{escape(name.removesuffix(".md"))}</a>',
                number["passed"],
                number[NOT_RUN] or "",
                in_words(shared(entries)) if shared(entries) else "",
            )
        )
    return f'<div data-filter="pages">{_table(("Page", "Ran", "Not run", "PostgreSQL"), rows)}</div>'


PARTS: dict[str, Callable[[Proof, str], str]] = {
    "totals": _totals,
    "not-run": _not_run,
    "pages": _pages,
    "figures": lambda *_: figures.render(),
}


def _link(name: str, page: str, entry: Entry) -> str:
    """A link to the heading that a block stands under."""
    heading = entry["id"].rpartition(".")[0]
    fragment = f"#{heading}" if heading not in ("", "top") else ""
    text = f"{name.removesuffix('.md')}, line {entry['line']}"
    return f'<a href="{escape(address(name, page) + fragment)}">{escape(text)}</a>'


def _table(heads: Iterable[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

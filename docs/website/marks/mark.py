"""The mark of a block: a quiet sign if it ran, a sentence that stands out if it did not."""

from __future__ import annotations

from collections import defaultdict
from html import escape

from website.proof import Entry, Proof
from website.words import in_words

PASSED = {"file": "Written as shown, for the blocks below", "data": "Parsed"}
# Nothing says that what is only shown is only shown, and an output has the mark of the block that printed it.
SILENT = {"shown", "output"}


def mark(entry: Entry | None, *, stale: bool = False) -> str:
    """Return the mark of a block as HTML. It holds no line that Markdown could read: SuperFences takes it as it is.

    Arguments:
        entry: what the proof holds of the block; nothing if it holds nothing.
        stale: whether the proof is of an earlier page or of earlier code.
    """
    if entry is None:
        return _note("unverified", "Not verified yet")
    status, kind = entry["status"], entry["kind"]
    if status == "failed":
        failure = entry["failure"]
        text = f"Failed at line {failure['line']}: {escape(failure['summary'])}"
        return _note("failed", text) + _details("what differs", failure["details"], opened=True)
    if status == "not reached":
        return _note("unverified", "Not reached: a block above it failed")
    if status == "not run":
        return _note("not-run", f"Not run: {escape(entry['reason'])}") if kind not in SILENT else ""
    if kind in SILENT:
        return ""
    ran = f"Ran on PostgreSQL {in_words(entry['versions'])}" if entry["versions"] else "Ran"
    text = PASSED.get(kind, ran)
    sign = _sign("stale", "Changed since it ran") if stale else _sign("passed", text)
    return sign + _details("Output", entry.get("output", "").splitlines())


def marks_of(proof: Proof, page: str) -> dict[str, list[str]]:
    """Return the marks of a page's blocks as HTML, by the blocks' keys, each key's in the order of the page."""
    marks: dict[str, list[str]] = defaultdict(list)
    for entry in proof.entries(page):
        marks[entry["key"]].append(mark(entry))
    return marks


def _sign(name: str, text: str) -> str:
    """A sign at the corner of the cell, which tells its text to a pointer, a keyboard and a screen reader."""
    return f'<span class="mark mark--{name}" tabindex="0" role="img" aria-label="{escape(text)}"></span>'


def _note(name: str, text: str) -> str:
    return f'<p class="note note--{name}">{text}</p>'


def _details(title: str, lines: list[str], *, opened: bool = False) -> str:
    body = escape("\n".join(lines).rstrip("\n"))
    if not body.strip():
        return ""
    return f'<details class="printed"{" open" if opened else ""}><summary>{title}</summary><pre>{body}</pre></details>'

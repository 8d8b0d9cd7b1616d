"""Bringing expected output up to date: lines of a page replaced, every other byte left as it was."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from handbook.run import Edit

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")


def apply_edits(path: Path, edits: Iterable[Edit]) -> None:
    """Replace lines of a page.

    Args:
        path: the page.
        edits: what to replace; they do not overlap. Their lines are counted in the page as it is before the first.
    """
    # Only what is a line end to the reader splits the page: not the form feeds and the like that str.splitlines knows.
    lines = [match[0] for match in LINE.finditer(path.read_bytes().decode("utf-8"))]
    for edit in sorted(edits, key=lambda edit: edit.line, reverse=True):
        above = lines[edit.line - 2]
        end = above[len(above.rstrip("\r\n")) :]
        # A quote's mark is kept on a blank line, without the space that would follow it.
        fresh = [(edit.prefix + line).rstrip() + end for line in edit.lines]
        lines[edit.line - 1 : edit.line - 1 + edit.count] = fresh
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes("".join(lines).encode("utf-8"))
    draft.replace(path)

"""Lies about text that is neither Python nor SQL: a missing line, another word."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lies.lie import Edit, altered


def edits(text: str) -> Iterator[Edit]:
    """Every lie about a file's text: each line dropped, and the last word of each line altered."""
    start = 0
    for line in text.split("\n"):
        if re.search(r"\w", line) and not line.lstrip().startswith(("#", "//")):
            whole = start + len(line) + 1
            yield Edit("line", start if whole <= len(text) else max(start - 1, 0), min(whole, len(text)), "")
            word = list(re.finditer(r"\w+", line))[-1]
            yield Edit("word", start + word.start(), start + word.end(), altered(word[0]))
        start += len(line) + 1

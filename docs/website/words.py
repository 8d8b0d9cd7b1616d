"""How words are put together for a reader."""

from __future__ import annotations

from collections.abc import Iterable


def in_words(items: Iterable[str]) -> str:
    """Return items as a sentence lists them: `14.23, 15.19 and 18.6`."""
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last

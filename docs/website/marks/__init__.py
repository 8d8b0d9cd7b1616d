"""The Python-Markdown extension that shows the proof on a page: what became of each block when it ran."""

from __future__ import annotations

from typing import Any

from website.marks.extension import Marks


def makeExtension(**options: Any) -> Marks:  # noqa: N802 - Python-Markdown calls it by this name
    """Return the extension, for Python-Markdown."""
    return Marks(**options)

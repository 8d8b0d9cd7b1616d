"""The Python-Markdown extension that draws: a comment on a page is the place of a diagram, and says what to draw."""

from __future__ import annotations

from typing import Any

from website.diagrams.comment import Diagrams


def makeExtension(**options: Any) -> Diagrams:  # noqa: N802 - Python-Markdown calls it by this name
    """Return the extension, for Python-Markdown."""
    return Diagrams(**options)

"""Drawings as SVG, for the pages: lines, boxes and words, in the colors of the page around them.

The style sheet has the colors, by the classes of the elements, so that a drawing follows the reader's scheme.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

# Of the type that the style sheet gives to drawings: the width of a character, in units of the drawing.
CHARACTER = 6.7
LINE = 18.0
# The width below which a drawing does not shrink, in pixels.
SMALLEST = 660.0


class Drawing:
    """A drawing that grows to hold what is put into it; its units are pixels at its full size."""

    def __init__(self) -> None:
        self.width = 0.0
        self.height = 0.0
        self._parts: list[str] = []

    def _reach(self, x: float, y: float) -> None:
        self.width, self.height = max(self.width, x), max(self.height, y)

    def box(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """Draw a box. `kind` is its class, as in the methods below."""
        self._reach(x + width, y + height)
        self._parts.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3"/>')

    def words(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
        """Write a line of text, on the base line `y`."""
        start = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
        self._reach(x + (1 - start) * width_of(text), y)
        attributes = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
        self._parts.append(f'<text{attributes} x="{x:g}" y="{y:g}">{escape(text)}</text>')

    def line(self, points: Iterable[tuple[float, float]], kind: str, *, arrow: bool = False) -> None:
        """Draw a line through points, with an arrow's tip at the last one."""
        points = list(points)
        for point in points:
            self._reach(*point)
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        self._parts.append(f'<path class="{kind}" d="{path}"/>')
        if arrow:
            (before, _), (x, y) = points[-2:]
            back = x + (7 if before > x else -7)
            self._parts.append(f'<path class="tip" d="M{x:g} {y:g}L{back:g} {y - 4:g}V{y + 4:g}Z"/>')

    def svg(self, name: str, title: str, description: str) -> str:
        """The drawing as an element of a page.

        Arguments:
            name: what its ids start with; no other drawing of the page has it.
            title: what it shows, in a line.
            description: all that it says, for those who do not see it.
        """
        width, height = self.width + 2, self.height + 2
        parts = "".join(self._parts)
        # In a narrow window it keeps its size, and is scrolled: a keyboard has to reach it for that.
        return (
            f'<figure class="diagram" tabindex="0" role="group" aria-labelledby="{name}-title">'
            f'<svg viewBox="-1 -1 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
            f' style="min-width:{min(width, SMALLEST):g}px" role="img"'
            f' aria-labelledby="{name}-title {name}-description">'
            f'<title id="{name}-title">{escape(title)}</title>'
            f'<desc id="{name}-description">{escape(description)}</desc>{parts}</svg></figure>'
        )


def width_of(text: str) -> float:
    """How wide a line of text is drawn."""
    return len(text) * CHARACTER

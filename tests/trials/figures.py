"""What is told to people: lines and tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def say(*lines: str) -> None:
    """Print lines at once, also where nobody sits at a terminal."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def row(widths: Sequence[int], name: str, *values: object) -> str:
    """A line of a table: a name, and values at the right of their columns."""
    cells = (f"{value!s:>{width}}" for value, width in zip(values, widths[1:], strict=True))
    return f"{name:<{widths[0]}}" + "".join(cells)


def percent(part: int, whole: int) -> str:
    """A share that says 100 only if it is that."""
    return f"{10000 * part // whole / 100:.2f} %" if whole else "none"

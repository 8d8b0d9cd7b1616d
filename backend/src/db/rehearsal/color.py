"""The colors of a report on a terminal: what stands in others' way is red or yellow."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TextIO

_BOLD, _DIM, _RED, _YELLOW, _GREEN = 1, 2, 31, 33, 32

# What is colored, by the words of the report. The first pattern that fits a part of a line wins.
_COLORS = (
    (r"^\S+\.py(?=  )", _BOLD),
    (r"^  (?:failed|fails on)\b.*", _RED),
    (r"^  [a-z]+(?= |$)", _DIM),
    (r"\bACCESS EXCLUSIVE\b|\bblocks reads and writes\b|\b(?:while it )?rewrit\w+\b", _RED),
    (r"(?<!UPDATE )\b(?:SHARE ROW )?EXCLUSIVE\b(?= on |  )|\bblocks writes\b", _YELLOW),
    (r"\bblocks other DDL only\b|\bfor a moment\b", _GREEN),
)
_ANY = re.compile("|".join(f"({pattern})" for pattern, _ in _COLORS))


def is_wanted(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a stream is to be written in color.

    Arguments:
        stream: where the report goes.
        environment: ``NO_COLOR`` keeps color away, ``FORCE_COLOR`` asks for it without a terminal.
    """
    if environment.get("NO_COLOR"):
        return False
    return bool(environment.get("FORCE_COLOR")) or (stream.isatty() and environment.get("TERM") != "dumb")


def colored(line: str) -> str:
    """Return a line of the report with the escape sequences of its colors."""

    def color(match: re.Match[str]) -> str:
        number = match.lastindex or 0
        return f"\x1b[{_COLORS[number - 1][1]}m{match[0]}\x1b[0m"

    return _ANY.sub(color, line)

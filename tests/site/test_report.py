"""The report of a rehearsal has on a page the colors that it has on a terminal."""

from __future__ import annotations

import re
from html import escape

from src.db.rehearsal.color import colored
from website.marks.report import color

LINES = (
    "  holds     ACCESS EXCLUSIVE on plants, for a moment",
    "  locks     plants  ACCESS EXCLUSIVE  blocks reads and writes",
    "  locks     plants  SHARE ROW EXCLUSIVE  blocks writes",
    "  locks     plants  SHARE UPDATE EXCLUSIVE  blocks other DDL only",
    "  rewrites  none",
    "  holds     ACCESS EXCLUSIVE on plants, while it rewrites plants",
)
CLASSES = {"31": "hot", "33": "warm", "32": "cool"}


def test_the_words_that_are_colored_on_a_terminal_are_colored_on_the_page() -> None:
    for line in LINES:
        terminal = re.findall(r"\x1b\[(3\d)m(.*?)\x1b\[0m", colored(line))
        page = re.findall(r'<b class="(\w+)">(.*?)</b>', color(f'<span class="go">{escape(line)}</span>'))
        assert page == [(CLASSES[number], word) for number, word in terminal], line
    assert any("hot" in color(f'<span class="go">{line}</span>') for line in LINES)

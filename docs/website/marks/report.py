"""The report of a rehearsal in the colors that it has on a terminal: red and yellow for what stands in others' way."""

from __future__ import annotations

import re

COMMAND = "rehearse"
# The words of the report, as src.db.rehearsal.color colors them. The first that fits wins.
WORDS = re.compile(
    r"(?P<plain>^  [a-z]+(?= |$))"
    r"|(?P<hot>\bACCESS EXCLUSIVE\b|\bblocks reads and writes\b|\b(?:while it )?rewrit\w+\b)"
    r"|(?P<warm>(?<!UPDATE )\b(?:SHARE ROW )?EXCLUSIVE\b(?= on |  )|\bblocks writes\b)"
    r"|(?P<cool>\bblocks other DDL only\b|\bfor a moment\b)",
    re.MULTILINE,
)
# What a session prints, as Pygments marks it.
PRINTED = re.compile(r'(<span class="go">)(.*?)(</span>)', re.DOTALL)


def color(html: str) -> str:
    """Return a highlighted session with the words of a rehearsal's report in their colors."""
    return PRINTED.sub(lambda line: line[1] + WORDS.sub(_colored, line[2]) + line[3], html)


def _colored(word: re.Match[str]) -> str:
    return word[0] if word["plain"] else f'<b class="{word.lastgroup}">{word[0]}</b>'

"""A lie: one alteration of one block, small enough that a reader would be misled by it."""

from __future__ import annotations

import difflib
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

from handbook.block import Block

WORD = re.compile(r"\\.|(?P<word>[^\s\\]+)", re.DOTALL)
LETTERS = ("x", "y")
TIME = re.compile(r"(\d+)\s*(ms|s|min|h|d|(second|minute|hour|day)s?)$")


class Part(Enum):
    """What of a block an edit alters; the value is its name in the report."""

    TEXT = "text"
    TITLE = "title"
    OUTPUT = "output"


@dataclass(frozen=True)
class Edit:
    """Characters of a text to be replaced.

    Args:
        kind: what is altered, as a noun.
        start: the place of the first character that goes.
        end: the place after the last one.
        new: what takes their place.
        part: the text that is meant.
    """

    kind: str
    start: int
    end: int
    new: str
    part: Part = Part.TEXT


@dataclass(frozen=True)
class Source:
    """Code inside the text of a block: the code, and where in the block each of its lines starts.

    A prompt and the indentation of a string stand between the lines of the one and not of the other.
    """

    text: str
    starts: list[int]

    @classmethod
    def whole(cls, text: str) -> Source:
        """A block's text that is code from beginning to end."""
        return cls(text, _line_starts(text))

    def place(self, offset: int) -> int:
        """The place in the block for a place in the code."""
        own = _line_starts(self.text)
        line = bisect_right(own, offset) - 1
        return self.starts[line] + offset - own[line]

    def moved(self, edits: Iterable[Edit]) -> Iterator[Edit]:
        """Edits of the code as edits of the block."""
        for edit in edits:
            yield replace(edit, start=self.place(edit.start), end=self.place(edit.end))


@dataclass(frozen=True)
class Lie:
    """A block of a page, altered.

    Args:
        page: the page's path below docs.
        block: the block as it is.
        edit: what is altered.
        number: which of the block's lies that read alike this is, from 1.
    """

    page: str
    block: Block
    edit: Edit
    number: int = field(default=1, compare=False)

    @property
    def before(self) -> str:
        """The whole text that is altered, as it is."""
        if self.edit.part is Part.TITLE:
            return str(self.block.fence.title)
        if self.edit.part is Part.OUTPUT:
            assert self.block.output is not None
            return self.block.output.text
        return self.block.text

    @property
    def after(self) -> str:
        """The whole text that is altered, as it then is."""
        return self.before[: self.edit.start] + self.edit.new + self.before[self.edit.end :]

    @property
    def told(self) -> Block:
        """The altered block."""
        block = self.block
        if self.edit.part is Part.TITLE:
            return replace(block, fence=replace(block.fence, title=self.after))
        if self.edit.part is Part.OUTPUT:
            assert block.output is not None
            return replace(block, output=replace(block.output, text=self.after))
        return replace(block, fence=replace(block.fence, text=self.after))

    @property
    def line(self) -> int:
        """The line of the page on which the alteration starts."""
        if self.edit.part is Part.TITLE:
            return self.block.line
        fence = self.block.output if self.edit.part is Part.OUTPUT and self.block.output else self.block.fence
        return fence.line + 1 + self.before.count("\n", 0, self.edit.start)

    @property
    def difference(self) -> list[str]:
        """The lines of a diff: `-` is what the page shows, `+` the lie."""
        lines = difflib.ndiff(self.before.split("\n"), self.after.split("\n"))
        return [line.rstrip() for line in lines if line.startswith(("-", "+")) and line[1:].strip()]

    @property
    def key(self) -> str:
        """What names this lie from run to run: the page, the block, and what is altered."""
        change = " | ".join(self.difference)
        number = f" #{self.number}" if self.number > 1 else ""
        return f"{self.page}::{self.block.id} {self.edit.kind}: {change}{number}"


def numbered(lies: Iterable[Lie]) -> list[Lie]:
    """Lies that differ in their keys, each once: what alters a text in the same way is the same lie."""
    counts: Counter[str] = Counter()
    seen = set()
    found = []
    for lie in lies:
        told = (lie.block.id, lie.edit.part, lie.after)
        if lie.after == lie.before or told in seen:
            continue
        seen.add(told)
        counts[lie.key] += 1
        found.append(replace(lie, number=counts[lie.key]))
    return found


def words(text: str) -> Iterator[Edit]:
    """Each word of a string altered; what a backslash escapes stays what it is."""
    for match in WORD.finditer(text):
        if match["word"] and (other := altered(match["word"])) != match["word"]:
            yield Edit("word", match.start(), match.end(), other)


def altered(word: str) -> str:
    """A word that differs in as little as can be: its first number is one more, or else its last letter is another.

    A time is a thousand times as long: nobody notices a millisecond.
    """
    if time := TIME.match(word):
        return f"{time[1]}000{word[time.end(1) :]}"
    for end, character in enumerate(word):
        if not character.isdigit():
            if word[:end].isascii() and end:
                return f"{int(word[:end]) + 1:0{end}d}{word[end:]}"
            break
    else:
        return f"{int(word) + 1:0{len(word)}d}" if word.isascii() and word else word
    for place in range(len(word) - 1, -1, -1):
        if word[place].isalnum():
            if word[place].isdigit():
                other = "1" if word[place] != "1" else "2"
            else:
                other = next(letter for letter in LETTERS if letter != word[place].lower())
            return word[:place] + other + word[place + 1 :]
    return word


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts[:-1]

"""A lie: one alteration of one block, small enough that a reader would be misled by it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from handbook.block import Block

WORD = re.compile(r"\\.|(?P<word>[^\s\\]+)", re.DOTALL)
NUMBER = re.compile(r"[0-9]+")
TIME = re.compile(r"(\d+)\s*(ms|s|min|h|d|(second|minute|hour|day)s?)$")


class Part(Enum):
    """What of a block an edit alters; the value is its name in the report."""

    TEXT = "text"
    TITLE = "title"
    OUTPUT = "output"


@dataclass(frozen=True)
class Edit:
    """Characters of a text to be replaced.

    Arguments:
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

    def moved(self, offset: int) -> Edit:
        """The edit of a text that holds the edited one from some place on."""
        return replace(self, start=offset + self.start, end=offset + self.end)


@dataclass(frozen=True)
class Lie:
    """A block of a page, altered.

    Arguments:
        page: the page's path below docs.
        block: the block as it is.
        edit: what is altered.
    """

    page: str
    block: Block
    edit: Edit

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
        """What this lie is about: the page, the block, and what is altered."""
        change = " | ".join(self.difference)
        return f"{self.page}::{self.block.id} {self.edit.kind}: {change}"


def distinct(lies: Iterable[Lie]) -> Iterator[Lie]:
    """The lies that alter something, each once: what alters a text in the same way is the same lie."""
    seen = set()
    for lie in lies:
        told = (lie.block.id, lie.edit.part, lie.after)
        if lie.after != lie.before and told not in seen:
            seen.add(told)
            yield lie


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
    if number := NUMBER.match(word):
        return f"{int(number[0]) + 1:0{len(number[0])}d}{word[number.end() :]}"
    for place in range(len(word) - 1, -1, -1):
        if word[place].isalnum():
            first, second = ("1", "2") if word[place].isdigit() else ("x", "y")
            return word[:place] + (second if word[place].lower() == first else first) + word[place + 1 :]
    return word

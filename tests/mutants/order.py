"""The order of trials: which page, and which of its blocks, most likely and most cheaply notices a mutant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from mutants.book import Book
from mutants.memory import function_of
from mutants.mutant import MARK, Mutant
from mutants.reach import Reach

# How much sooner or later a page has its turn, for a reason to expect that it notices or not: its seconds times this.
NOTICED_IT = 0.0001
SHOWS_TEXT = 0.01
USES_NAME = 0.3
USES_NO_NAME = 10.0
HAS_NOTICED = 0.3
# The blocks after the first that executes a statement which often show what it did: a query after a command, say.
# Nine tenths of what a page notices it notices there.
AFTERMATH = 2
LITERAL = re.compile(r"""(['"])(?P<text>(?:(?!\1).){6,})\1|>(?P<plain>[^<]{6,})<""")
PIECES = re.compile(r"[{}\\%]|\\n")
ASSIGNED = re.compile(r"\s*(\w+)\s*(?::[^=]+)?=[^=]")
STARTING_SECONDS = 0.1


@dataclass(frozen=True)
class Turn:
    """A page to be tried: its name, the block to start at, the first block of interest and the last."""

    page: str
    start: int
    first: int
    last: int
    cost: float


@dataclass
class Order:
    """Puts the pages for a mutant in order, and learns from what has been noticed where.

    Args:
        book: the handbook.
        reaches: what each page reaches.
        places: where mutants were noticed in earlier runs, by their ids: the page and its block, from 0. What has
            changed since may make it untrue, so it says where to look first, and nothing more.
        left: the mutants that no page noticed in the last run, by their ids; true in the same way.
    """

    book: Book
    reaches: Mapping[str, Reach]
    places: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    left: Collection[str] = ()
    noticed: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def learn(self, mutant: Mutant, page: str) -> None:
        """Note that a page has noticed a mutant."""
        self.noticed[mutant.file, mutant.function, page] += 1

    def is_known(self, mutant: Mutant) -> bool:
        """Whether an earlier run has found a block that notices a mutant, on a page that still executes it."""
        page, block = self.places.get(mutant.id, ("", 0))
        reach = self.reaches.get(page)
        return reach is not None and bool(reach.blocks_for(mutant)) and block < len(reach.durations)

    def pages(self, mutant: Mutant) -> set[str]:
        """The pages that execute the statement of a mutant."""
        return {name for name, reach in self.reaches.items() if reach.blocks_for(mutant)}

    def turns(self, mutant: Mutant) -> list[Turn]:
        """The pages that execute the statement of a mutant, those first that are the best to try."""
        users, text = self._users(mutant), _text(mutant)
        return sorted(
            (self._turn(mutant, name, users, text) for name in self.pages(mutant)),
            key=lambda turn: (turn.cost, turn.page),
        )

    def is_hopeful(self, mutant: Mutant) -> bool:
        """Whether a page can be expected to notice a mutant: where it changes a text, one that shows the text.

        Of one that was left in the last run it is not.
        """
        if mutant.id in self.left:
            return False
        if MARK not in mutant.text or self.is_known(mutant):
            return True
        users, text = self._users(mutant), _text(mutant)
        return not text or any(
            self._showing(name, text, self._blocks(mutant, name, users)) is not None for name in self.pages(mutant)
        )

    def _turn(self, mutant: Mutant, name: str, users: set[int], text: str) -> Turn:
        reach = self.reaches[name]
        blocks = self._blocks(mutant, name, users)
        weight = 1.0
        if users:
            weight = USES_NAME if self._using(name, mutant.file, users) else USES_NO_NAME
        shown = self._showing(name, text, blocks) if text else None
        if shown is not None:
            blocks, weight = [shown], SHOWS_TEXT
        if self.noticed[mutant.file, mutant.function, name]:
            weight *= HAS_NOTICED
        aftermath = AFTERMATH
        if self.is_known(mutant) and self.places[mutant.id][0] == name:
            blocks, weight, aftermath = [self.places[mutant.id][1]], NOTICED_IT, 0
        # A function's body can be changed where the page's process has imported it already.
        in_body = function_of(mutant, self.book.sources[mutant.file]) is not None
        start = reach.start(blocks[0], None if in_body else mutant.file)
        seconds = STARTING_SECONDS + sum(reach.durations[start : blocks[0] + 1])
        return Turn(name, start, blocks[0], min(blocks[0] + aftermath, len(reach.durations) - 1), seconds * weight)

    def _users(self, mutant: Mutant) -> set[int]:
        """The lines that use what a statement at the top of a module, or of a class, assigns.

        Every page that imports the module executes the statement; those that use the name have more to show.
        """
        lines = _lines(self.book.sources[mutant.file])
        first, last = mutant.statement
        match = ASSIGNED.match(lines[first - 1])
        if match is None or _indented_in_function(lines, first):
            return set()
        word = re.compile(rf"\b{match[1]}\b")
        return {n for n, line in enumerate(lines, 1) if not first <= n <= last and word.search(line)}

    def _blocks(self, mutant: Mutant, name: str, users: set[int]) -> list[int]:
        """The blocks of a page that execute a mutant's statement, or rather those that use what it assigns."""
        return self._using(name, mutant.file, users) or self.reaches[name].blocks_for(mutant)

    def _using(self, name: str, file: str, users: set[int]) -> list[int]:
        return [i for i, lines in enumerate(self.reaches[name].lines) if users.intersection(lines.get(file, ()))]

    def _showing(self, name: str, text: str, executing: Iterable[int]) -> int | None:
        """The first block of a page that shows a text, of those that execute something and those after them."""
        blocks = self.book.pages[name].blocks
        near = {index for first in executing for index in range(first, min(first + AFTERMATH + 1, len(blocks)))}
        for index in sorted(near):
            block = blocks[index]
            if text in block.text or (block.output is not None and text in block.output.text):
                return index
        return None


@cache
def _lines(source: bytes) -> list[str]:
    return source.decode().split("\n")


def _indented_in_function(lines: list[str], number: int) -> bool:
    if not lines[number - 1].startswith(" "):
        return False
    above = (line for line in reversed(lines[: number - 1]) if line and not line.startswith((" ", ")", "#")))
    return not next(above, "").startswith("class ")


def _text(mutant: Mutant) -> str:
    """The longest piece of text in the line that a mutant changes, as it may stand on a page."""
    if mutant.text == "pass":
        return ""
    code = mutant.before
    pieces = [piece for match in LITERAL.finditer(code) for piece in PIECES.split(match["text"] or "")]
    longest = max((piece.strip() for piece in pieces), key=len, default="")
    return longest if len(longest) >= 6 else ""

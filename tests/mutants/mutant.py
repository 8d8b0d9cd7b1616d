"""Mutants: small changes of a source file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import unified_diff

MARK = "XX"
"""What a changed text has more than the text."""


@dataclass(frozen=True)
class Mutant:
    """One change of one source file.

    Args:
        file: the file's path below `backend/src`.
        function: the qualified name of the function or class that it is in; empty at the top of the module.
        start: where the text that is replaced starts, in bytes.
        end: where it ends.
        text: what takes its place.
        line: the line that it is on, counted from 1.
        statement: the first and the last line of the statement that it is in.
        before: the changed line, or lines, as they were.
        after: as they are.
        number: counts the mutants of a function that have the same lines, from 1.
    """

    file: str
    function: str
    start: int
    end: int
    text: str
    line: int
    statement: tuple[int, int]
    before: str
    after: str
    number: int = 1

    @property
    def id(self) -> str:
        """What names it, wherever its lines are."""
        number = f" ({self.number})" if self.number > 1 else ""
        return f"{self.file}::{self.function}: {self.before} -> {self.after}{number}"

    @property
    def key(self) -> str:
        """What stands for its id in a long list."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:8]

    def apply(self, source: bytes) -> bytes:
        """The file with this change."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def diff(self, source: bytes) -> str:
        """The change as a unified diff."""
        name = f"backend/src/{self.file}"
        before, after = (content.decode().splitlines(keepends=True) for content in (source, self.apply(source)))
        return "".join(unified_diff(before, after, name, name, n=1))


def apply_all(mutants: Iterable[Mutant], source: bytes) -> bytes:
    """A file with several changes, which do not overlap."""
    for mutant in sorted(mutants, key=lambda mutant: mutant.start, reverse=True):
        source = mutant.apply(source)
    return source

"""What a reader sees of the handbook's blocks that run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from handbook.block import Kind
from handbook.page import Page

PROMPTS = {Kind.CONSOLE: re.compile(r"[$>] (.*)"), Kind.PYCON: re.compile(r"(?:>>>|\.\.\.) (.*)")}


@dataclass(frozen=True, repr=False)
class Shown:
    """What the blocks that run show: the commands that are typed, the code that is written, and what is printed."""

    typed: str
    written: str
    printed: str

    @property
    def given(self) -> str:
        """What a reader gives to a program."""
        return f"{self.typed}\n{self.written}"


def shown(pages: Iterable[Page]) -> Shown:
    """What the blocks of some pages show, but for those that do not run."""
    typed: list[str] = []
    written: list[str] = []
    printed: list[str] = []
    for block in (block for page in pages for block in page if block.reason is None and block.kind is not Kind.SHOWN):
        lines = block.text.split("\n")
        prompt = PROMPTS.get(block.kind)
        inputs = [found[1] if (found := prompt.match(line)) else "" for line in lines] if prompt else lines
        (typed if block.kind in {Kind.CONSOLE, Kind.BASH} else written).append("\n".join(inputs))
        printed += [line for line, entered in zip(lines, inputs, strict=True) if not entered]
        printed += [block.output.text] if block.output else []
    return Shown("\n".join(typed).replace("\\\n", " "), "\n".join(written), "\n".join(printed))

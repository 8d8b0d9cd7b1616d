"""What becomes of a lie, and the lies that need no run: output that is altered is compared with what was printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from handbook.block import Block, BlockError, Kind
from handbook.exchange import exchanges_of
from handbook.output import ELLIPSIS, Expected, compare
from handbook.python import expected_of
from lies.lie import Lie

OUTPUT_KINDS = ("output word", "output line", "added line")


class Fate(Enum):
    """What became of a lie; the value is its name in the report."""

    COMPARED = "caught by comparison"
    LINTED = "caught by a linter"
    RUN = "caught by a block"
    FREE = "of no effect on a sample"
    SURVIVED = "survived"


@dataclass(frozen=True)
class Verdict:
    """What became of a lie, and of one that was caught: the line of the page that failed, and why."""

    lie: Lie
    fate: Fate
    line: int = 0
    reason: str = ""


def is_about_output(lie: Lie) -> bool:
    """Whether a lie alters what is compared, and nothing that is run."""
    return lie.edit.kind in OUTPUT_KINDS


def compared(lie: Lie, printed: Sequence[Sequence[str]]) -> Verdict:
    """What becomes of a lie about output.

    Arguments:
        printed: the lines that the block printed when it ran: one list for each comparison, in their order.
    """
    before, after = expectations(lie.block), expectations(lie.told)
    if len(before) != len(after) or len(before) != len(printed):
        # A line that reads as a prompt, or no longer does.
        return Verdict(lie, Fate.COMPARED, lie.line, "the session has other prompts")
    for expected, actual in zip(after, printed, strict=True):
        place = compare(expected.lines, list(actual)).first_difference
        if place is not None:
            return Verdict(lie, Fate.COMPARED, expected.number(place), "the output differs")
    return Verdict(lie, Fate.SURVIVED)


def expectations(block: Block) -> list[Expected]:
    """What is compared of a block's output, in the order in which that is done."""
    if block.kind in (Kind.CONSOLE, Kind.PYCON):
        try:
            expected = [exchange.expected for exchange in exchanges_of(block)]
        except BlockError:
            return []
        return expected if block.kind is Kind.CONSOLE else [expected_of(one) for one in expected]
    if block.output is None:
        return []
    return [Expected.at(block.output.line + 1, block.output.text)]


def dots(blocks: Sequence[Block]) -> tuple[int, int]:
    """How many `...` stand for something in what blocks show: those within a line, and lines of only `...`."""
    lines = [line for block in blocks for expected in expectations(block) for line in expected.lines]
    whole = sum(line == ELLIPSIS for line in lines)
    return sum(ELLIPSIS in line for line in lines) - whole, whole

"""Python blocks and sessions: sent to the page's process, and compared with what the page shows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sybil import Example

from handbook.block import Block
from handbook.failure import BlockError, printed_by
from handbook.output import ELLIPSIS, Expected, lines_of
from handbook.run import PageRun

PROMPT = ">>>"
CONTINUATION = "..."
# A traceback's first line, with the margin that it has in an exception group.
HEADER = re.compile(r"(?P<margin>[ |+]*)(?:Exception Group )?Traceback \(most recent call last\):")


@dataclass(frozen=True)
class Exchange:
    """One prompt of a session: its source and what the page shows below it, each with its line on the page."""

    line: int
    source: str
    expected: Expected


def evaluate_python(example: Example) -> None:
    """Run a Python block.

    Raises:
        BlockError: it does not parse, or it raised.
    """
    run, block = PageRun.of(example), example.parsed
    ran = run.workspace.execute(block.text, block.first_line)
    run.printed = ran.printed
    printed_by(ran, block.first_line)


def evaluate_pycon(example: Example) -> None:
    """Run a session, and compare what each statement prints.

    Raises:
        BlockError: a statement does not parse, or prints something else.
    """
    run, block = PageRun.of(example), example.parsed
    shown: list[str] = []
    for exchange in read_session(block):
        ran = run.workspace.execute(exchange.source, exchange.line, interactive=True)
        printed, expected = printed_by(ran, exchange.line), expected_of(exchange.expected)
        if ran.result is not None:
            # A page may show the last of several exceptions alone, as the one that matters.
            printed += ran.result["raised"]["last" if _tracebacks(expected.lines) <= 1 else "whole"]
        actual = without_frames(lines_of(printed))
        run.check(block, expected, actual)
        shown += [*_prompts(exchange.source), *actual]
        run.printed = "\n".join(shown)


def read_session(block: Block) -> Iterator[Exchange]:
    """The exchanges of a pycon block.

    Raises:
        BlockError: it does not start with a prompt.
    """
    lines = block.text.split("\n")
    starts = [number for number, line in enumerate(lines) if _is_prompt(line)]
    if not starts or any(line.strip() for line in lines[: starts[0]]):
        raise BlockError(block.first_line, "a pycon block starts with >>> and a statement")
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        source, number = [lines[start][4:]], start + 1
        while number < end and _continues(lines[number], source):
            source.append(lines[number][4:])
            number += 1
        expected = Expected.at(block.first_line + number, "\n".join(lines[number:end]))
        yield Exchange(block.first_line + start, "\n".join(source), expected)


def reads_as_prompt(line: str) -> bool:
    """Whether a session would read a line as a statement, or as more of one."""
    return _is_prompt(line) or line == CONTINUATION or line.startswith(CONTINUATION + " ")


def _is_prompt(line: str) -> bool:
    return line == PROMPT or line.startswith(PROMPT + " ")


def _continues(line: str, source: list[str]) -> bool:
    if line.startswith(CONTINUATION + " "):
        return True
    # A bare `...` after a whole simple statement is output that may be anything, not an empty continuation.
    return line == CONTINUATION and not _is_simple("\n".join(source))


def _is_simple(source: str) -> bool:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return not any(hasattr(statement, "body") for statement in tree.body)


def _prompts(source: str) -> list[str]:
    first, *rest = source.split("\n")
    return [f"{PROMPT} {first}", *(f"{CONTINUATION} {line}".rstrip() for line in rest)]


def expected_of(expected: Expected) -> Expected:
    """What a session is compared with: the frames of each traceback stand as one line."""
    kept = list(_without_frames(expected.lines))
    return replace(expected, lines=[text for _, text in kept], numbers=[expected.number(index) for index, _ in kept])


def without_frames(lines: Sequence[str]) -> list[str]:
    """Lines in which the frames of each traceback stand as one."""
    return [text for _, text in _without_frames(lines)]


def _without_frames(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    index = 0
    while index < len(lines):
        yield index, lines[index]
        index += 1
        if header := HEADER.fullmatch(lines[index - 1]):
            margin = header["margin"].replace("+", "|")
            start = index
            while index < len(lines) and _is_frame(lines[index], len(margin)):
                index += 1
            yield min(start, len(lines) - 1), f"{margin}  {ELLIPSIS}"


def _is_frame(line: str, margin: int) -> bool:
    # From Python 3.13 on a frame shows all lines of its statement, empty ones too.
    return line.strip() == ELLIPSIS or (not line[:margin].strip(" |") and line[margin:][:1] in ("", " "))


def _tracebacks(lines: Sequence[str]) -> int:
    return sum(HEADER.fullmatch(line) is not None for line in lines)

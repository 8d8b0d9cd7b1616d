"""Python blocks and sessions: sent to the page's process, and compared with what the page shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sybil import Example

from handbook.exchange import exchanges_of
from handbook.output import ELLIPSIS, Expected, lines_of
from handbook.run import PageRun

# A traceback's first line, with the margin that it has in an exception group.
HEADER = re.compile(r"(?P<margin>[ |+]*)(?:Exception Group )?Traceback \(most recent call last\):")


def evaluate_python(example: Example) -> None:
    """Run a Python block.

    Raises:
        BlockError: it does not parse, or it raised.
    """
    run, block = PageRun.of(example), example.parsed
    ran = run.workspace.execute(block.text, block.first_line)
    run.printed = ran.printed
    ran.finished(block.first_line)


def evaluate_pycon(example: Example) -> None:
    """Run a session, and compare what each statement prints.

    Raises:
        BlockError: a statement does not parse, or prints something else.
    """
    run, block = PageRun.of(example), example.parsed
    for exchange in exchanges_of(block):
        ran = run.workspace.execute(exchange.text, exchange.line, interactive=True)
        printed, expected = ran.finished(exchange.line), expected_of(exchange.expected)
        if raised := ran.result.get("raised"):
            # A page may show the last of several exceptions alone, as the one that matters.
            shown = sum(HEADER.fullmatch(line) is not None for line in expected.lines)
            printed += raised["last" if shown <= 1 else "whole"]
        run.check(block, expected, without_frames(lines_of(printed)))


def expected_of(expected: Expected) -> Expected:
    """What a session is compared with: the frames of each traceback stand as one line."""
    kept = list(_without_frames(expected.lines))
    return replace(expected, lines=[text for _, text in kept], numbers=[expected.number(index) for index, _ in kept])


def without_frames(lines: Sequence[str]) -> list[str]:
    """Lines in which the frames of each traceback stand as one."""
    return [text for _, text in _without_frames(lines)]


def _without_frames(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Lines in which the frames of each traceback stand as one, each with the place that it had."""
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

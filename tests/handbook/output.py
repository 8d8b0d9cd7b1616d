"""Expected output: compared with what was printed, shown as a difference, and brought up to date.

`...` stands for anything within a line, and a line of only `...`, not indented, for any lines. White space at the end
of a line and blank lines at the end do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

ELLIPSIS = "..."
# Python-Markdown's tab length.
TAB = 4
MOST_LINES, MOST_COLUMNS = 60, 500
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# What the differences cost. A line that is replaced costs no more than one that is missing: otherwise the `...` beside
# it would stand for what was printed in its place.
MISSING, REPLACED, ADDED = 3, 3, 1


@dataclass(frozen=True)
class Expected:
    """Output that a page shows: `count` lines of the page from `line` on.

    `lines` are those that are compared, each of which stands on the line of the page that `numbers` names.
    """

    line: int
    count: int
    lines: list[str]
    numbers: list[int]

    @classmethod
    def at(cls, line: int, text: str) -> Expected:
        """A text that a page shows from a line on."""
        lines = lines_of(text)
        return cls(line, len(lines), lines, list(range(line, line + len(lines))))

    @property
    def is_wild(self) -> bool:
        """Whether it would let anything pass."""
        return bool(self.lines) and all(line.strip() == ELLIPSIS for line in self.lines)

    def number(self, index: int) -> int:
        """The line of the page for a place in `lines`; past their end it is the last one, or the one above."""
        if index < len(self.numbers):
            return self.numbers[index]
        return self.numbers[-1] if self.numbers else self.line - 1


@dataclass(frozen=True)
class Step:
    """One step of an alignment: an expected line, an actual line, or both where they match.

    `index` is the expected line's place, from 0; where there is no expected line, the place that it would take.
    `covered` are the actual lines that a line of only `...` stands for.
    """

    index: int
    expected: str | None
    actual: str | None
    covered: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Expected and actual lines side by side."""

    steps: tuple[Step, ...]

    @property
    def matches(self) -> bool:
        return self.first_difference is None

    @property
    def first_difference(self) -> int | None:
        """The place, from 0, of the first expected line that differs."""
        return next((step.index for step in self.steps if step.expected is None or step.actual is None), None)

    def difference(self) -> list[str]:
        """The lines of a diff: `-` is what the page shows, `+` what was printed, `~` what `...` stands for."""
        lines: list[str] = []
        added: list[str] = []
        for step in self.steps:
            if step.actual is None:
                lines.append(f"- {step.expected}")
            elif step.expected is None:
                # Below all the lines in whose place they stand.
                added.append(f"+ {step.actual}")
            else:
                lines += [*added, f"  {step.expected}", *(f"~ {line}" for line in step.covered)]
                added.clear()
        return [line.rstrip() for line in [*lines, *added]]

    def updated(self) -> list[str]:
        """The expected lines brought up to date: each that still matches is kept, with its `...`."""
        return [
            step.expected if step.expected is not None else step.actual or ""
            for step in self.steps
            if step.actual is not None
        ]


def lines_of(text: str) -> list[str]:
    """The lines of a text as they are compared: no white space at their ends, no blank lines at the end.

    Tabs are the spaces that the site makes of them: a page cannot show a tab.
    """
    lines = [line.expandtabs(TAB).rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def visible(text: str) -> str:
    """A text with its control characters written out, so that a terminal does not act on them."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def bounded(lines: Sequence[str]) -> list[str]:
    """Lines as a person can read them: visible, not too many, and none too long."""
    shown = list(lines)
    if len(shown) > MOST_LINES:
        half = MOST_LINES // 2
        shown = [*shown[:half], f"[{len(shown) - 2 * half} more lines]", *shown[-half:]]
    return [
        line if len(line) <= MOST_COLUMNS else f"{line[:MOST_COLUMNS]} [{len(line) - MOST_COLUMNS} more]"
        for line in map(visible, shown)
    ]


def compare(expected: list[str], actual: list[str]) -> Comparison:
    """Align expected with actual lines so that as few as can be differ.

    Arguments:
        expected: the lines that the page shows, which may hold `...`.
        actual: the lines that were printed.
    """
    rows, columns = len(expected), len(actual)
    # cost[i][j]: what aligning expected[i:] with actual[j:] costs at least.
    cost = [[0] * (columns + 1) for _ in range(rows + 1)]
    for j in range(columns - 1, -1, -1):
        cost[rows][j] = cost[rows][j + 1] + ADDED
    for i in range(rows - 1, -1, -1):
        wild = expected[i] == ELLIPSIS
        below, here = cost[i + 1], cost[i]
        here[columns] = below[columns] + (0 if wild else MISSING)
        for j in range(columns - 1, -1, -1):
            if wild:
                here[j] = min(below[j], here[j + 1])
            elif _line_matches(expected[i], actual[j]):
                here[j] = below[j + 1]
            else:
                here[j] = min(below[j + 1] + REPLACED, below[j] + MISSING, here[j + 1] + ADDED)
    return Comparison(tuple(_walk(expected, actual, cost)))


def _walk(expected: list[str], actual: list[str], cost: list[list[int]]) -> Iterator[Step]:
    i = j = 0
    while i < len(expected) or j < len(actual):
        here = cost[i][j]
        both = i < len(expected) and j < len(actual)
        if i < len(expected) and expected[i] == ELLIPSIS:
            start = j
            while j < len(actual) and cost[i][j] != cost[i + 1][j]:
                j += 1
            yield Step(i, expected[i], ELLIPSIS, tuple(actual[start:j]))
            i += 1
        elif both and _line_matches(expected[i], actual[j]):
            yield Step(i, expected[i], actual[j])
            i, j = i + 1, j + 1
        elif both and here == cost[i + 1][j + 1] + REPLACED:
            yield Step(i, expected[i], None)
            yield Step(i, None, actual[j])
            i, j = i + 1, j + 1
        elif i < len(expected) and here == cost[i + 1][j] + MISSING:
            yield Step(i, expected[i], None)
            i += 1
        else:
            yield Step(i, None, actual[j])
            j += 1


def _line_matches(expected: str, actual: str) -> bool:
    return expected == actual or (ELLIPSIS in expected and _pattern(expected).fullmatch(actual) is not None)


@cache
def _pattern(expected: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in expected.split(ELLIPSIS)))

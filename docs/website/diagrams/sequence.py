"""Sequence diagrams: who says what to whom, in time from top to bottom, from lines of text.

backend = a backend that starts      somebody who takes part, from left to right
backend -> server: BEGIN             a message
backend <- server: yes               an answer
backend: wait                        what somebody does alone
[ only if something is pending       a group begins
]                                    and ends
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from website.diagrams.drawing import LINE, Drawing, width_of
from website.words import in_words

PART = re.compile(r"(?P<name>\w+) = (?P<label>.+)")
STEP = re.compile(r"(?P<left>\w+)(?: (?P<way>->|<-) (?P<right>\w+))?: (?P<text>.+)")
PADDING = 14.0
HEAD = 30.0
INSET = 12.0


class Step(NamedTuple):
    """What happens: a message from one to another, what one does alone, or where a group begins (`[`) or ends (`]`)."""

    way: str
    left: str
    right: str
    text: str


def read(lines: Sequence[str]) -> tuple[dict[str, str], list[Step]]:
    """Those who take part, with their labels, and the steps.

    Raises:
        ValueError: a line is none of those above, or names somebody who does not take part.
    """
    parts: dict[str, str] = {}
    steps = []
    depth = 0
    for line in lines:
        if part := PART.fullmatch(line):
            parts[part["name"]] = part["label"]
        elif line == "]" or line.startswith("[ "):
            depth += 1 if line != "]" else -1
            steps.append(Step(line[0], "", "", line[2:]))
        elif (step := STEP.fullmatch(line)) and {step["left"], step["right"] or step["left"]} <= parts.keys():
            steps.append(Step(step["way"] or "", step["left"], step["right"] or "", step["text"]))
        else:
            raise ValueError(f"{line!r} is not NAME = LABEL, nor NAME -> NAME: TEXT with names from above it")
        if depth < 0:
            raise ValueError("] closes a group that no [ opens")
    if depth or not steps:
        raise ValueError("[ opens a group that no ] closes" if depth else "it has no step, such as NAME -> NAME: TEXT")
    return parts, steps


def draw(lines: Sequence[str]) -> Drawing:
    """Draw a sequence.

    Raises:
        ValueError: as `read` does.
    """
    parts, steps = read(lines)
    drawing = Drawing()
    depth = max(_depths(steps))
    at = _places(parts, steps, left=INSET * depth)
    right = max(
        [at[part] + width_of(label) / 2 + PADDING for part, label in parts.items()]
        + [at[step.left] + PADDING + width_of(step.text) for step in steps if not step.way]
    )
    for part, label in parts.items():
        width = width_of(label) + 2 * PADDING
        drawing.box(at[part] - width / 2, 0, width, HEAD, "head")
        drawing.words(at[part], HEAD - 10, label, "name", "middle")
    bottom = HEAD + PADDING + sum(_height(step) for step in steps)
    for x in at.values():
        drawing.line([(x, HEAD), (x, bottom)], "grid")
    y = HEAD + PADDING
    opened: list[float] = []
    for step in steps:
        if step.way == "[":
            opened.append(y)
            drawing.words(INSET * (len(opened) - 1) + 6, y + 13, step.text, "name")
        elif step.way == "]":
            top, inset = opened.pop(), INSET * len(opened)
            drawing.box(inset, top, right + INSET * depth - 2 * inset, y + 2 - top, "group")
        elif step.way:
            _message(drawing, at, step, y)
        else:
            drawing.box(at[step.left] - 3, y + 12, 6, 6, "dot")
            drawing.words(at[step.left] + PADDING, y + 19, step.text)
        y += _height(step)
    return drawing


def _depths(steps: Sequence[Step]) -> list[int]:
    depths = [0]
    for step in steps:
        depths.append(depths[-1] + {"[": 1, "]": -1}.get(step.way, 0))
    return depths


def _height(step: Step) -> float:
    return {"[": LINE + 2, "]": PADDING}.get(step.way, LINE + 10)


def _places(parts: dict[str, str], steps: Sequence[Step], *, left: float) -> dict[str, float]:
    """Where everybody's line is: far enough apart for the labels, and for what neighbours say to each other."""
    names = list(parts)
    at = {names[0]: left + PADDING + width_of(parts[names[0]]) / 2}
    for before, name in pairwise(names):
        said = [width_of(step.text) for step in steps if {step.left, step.right} == {before, name}]
        said += [PADDING + width_of(step.text) for step in steps if step.left == before and not step.way]
        heads = (width_of(parts[before]) + width_of(parts[name])) / 2 + 2 * PADDING
        at[name] = at[before] + max([*said, heads]) + 2 * PADDING
    return at


def _message(drawing: Drawing, at: dict[str, float], step: Step, y: float) -> None:
    start, end = at[step.left], at[step.right]
    if step.way == "<-":
        start, end = end, start
    drawing.line([(start, y + 22), (end, y + 22)], "message" if step.way == "->" else "message weak", arrow=True)
    drawing.words((start + end) / 2, y + 16, step.text, "", "middle")


def description(lines: Sequence[str]) -> str:
    """What the diagram says, in words."""
    parts, steps = read(lines)
    sentences = []
    for step in steps:
        if step.way == "[":
            sentences.append(f"{step.text}:")
        elif step.way == "]":
            sentences.append("End of that.")
        elif step.way:
            speaker, hearer = (step.left, step.right) if step.way == "->" else (step.right, step.left)
            sentences.append(_sentence(f"{parts[speaker]} to {parts[hearer]}: {step.text}"))
        else:
            sentences.append(_sentence(f"{parts[step.left]}: {step.text}"))
    return f"Between {in_words(parts.values())}. {' '.join(sentences)}"


def _sentence(text: str) -> str:
    """A text with a full stop, unless it ends with a mark of its own."""
    return text if text.endswith((".", "?", "!")) else f"{text}."

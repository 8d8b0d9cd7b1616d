"""Timelines: what each session has or waits for, side by side, from lines of text.

    report: has ACCESS SHARE 0-5
    migration: waits for ACCESS EXCLUSIVE 1-5, has it 5-6

The numbers are times in seconds. What begins with "waits" is drawn as waiting.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from website.diagrams.drawing import LINE, Drawing, width_of

LANE = re.compile(r"(?P<name>[^:]+): (?P<spans>.+)")
SPAN = re.compile(r"(?P<text>.+) (?P<start>\d+)-(?P<end>\d+)")
PADDING = 8.0
HEIGHT = LINE + 8


class Span(NamedTuple):
    """What a session does from one time to another."""

    text: str
    start: int
    end: int


def read(lines: Sequence[str]) -> dict[str, list[Span]]:
    """The sessions, and what each does.

    Raises:
        ValueError: a line is none of those above.
    """
    lanes = {}
    for line in lines:
        lane = LANE.fullmatch(line)
        spans = [SPAN.fullmatch(text) for text in lane["spans"].split(", ")] if lane else []
        if lane is None or None in spans:
            raise ValueError(f"{line!r} is not SESSION: TEXT START-END, TEXT START-END")
        lanes[lane["name"]] = [Span(span["text"], int(span["start"]), int(span["end"])) for span in spans if span]
    if not lanes:
        raise ValueError("it has no line, such as SESSION: TEXT START-END")
    return lanes


def draw(lines: Sequence[str]) -> Drawing:
    """Draw a timeline.

    Raises:
        ValueError: as `read` does.
    """
    lanes = read(lines)
    spans = [span for lane in lanes.values() for span in lane]
    unit = max((width_of(span.text) + 2 * PADDING) / (span.end - span.start) for span in spans)
    left = max(width_of(name) for name in lanes) + 2 * PADDING
    times = sorted({time for span in spans for time in (span.start, span.end)})
    bottom = (HEIGHT + PADDING) * len(lanes)
    drawing = Drawing()
    for time in times:
        drawing.line([(left + unit * time, 0), (left + unit * time, bottom)], "grid")
    for place, (name, lane) in enumerate(lanes.items()):
        y = (HEIGHT + PADDING) * place + PADDING / 2
        drawing.words(0, y + HEIGHT - 9, name, "name")
        for span in lane:
            kind = "waiting" if span.text.startswith("waits") else "held"
            drawing.box(left + unit * span.start, y, unit * (span.end - span.start), HEIGHT, kind)
            drawing.words(left + unit * span.start + PADDING, y + HEIGHT - 9, span.text)
    drawing.line([(left, bottom + 8), (left + unit * times[-1], bottom + 8)], "message", arrow=True)
    for time in times:
        drawing.words(left + unit * time, bottom + 26, f"{time} s", "type", "middle")
    return drawing


def description(lines: Sequence[str]) -> str:
    """What the timeline says, in words."""
    said = (
        f"{name} {'; then it '.join(f'{span.text} from second {span.start} to second {span.end}' for span in lane)}."
        for name, lane in read(lines).items()
    )
    return " ".join(said)

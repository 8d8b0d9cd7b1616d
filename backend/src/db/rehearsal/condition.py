"""The conditions of ``--fail-on``: what a migration must not do."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from .lock import MODES, is_at_least
from .relation import TRUNCATED
from .report import MigrationReport

Condition: TypeAlias = Callable[[MigrationReport], Iterator[str]]

_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|min)")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0}


def condition(text: str) -> Condition:
    """Read a condition: a lock mode, ``rewrite``, or a duration.

    Arguments:
        text: what was typed, such as ``ACCESS EXCLUSIVE``, ``rewrite`` or ``500ms``.

    Returns:
        A function that says what in a report meets the condition.

    Raises:
        argparse.ArgumentTypeError: it is none of these.
    """
    words = " ".join(text.split())
    if words.upper() in MODES:
        return _lock(words.upper())
    if words.lower() == "rewrite":
        return _rewrite
    duration = _DURATION.fullmatch(words.lower())
    if duration is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a lock mode ({', '.join(MODES)}) nor 'rewrite' nor a duration such as 500ms, 2s, 1min"
        )
    return _duration(float(duration[1]) * _SECONDS[duration[2]], words)


def _lock(mode: str) -> Condition:
    def met(report: MigrationReport) -> Iterator[str]:
        for lock in report.locks:
            if is_at_least(lock, mode):
                yield f"{lock.mode} lock on {lock.name}"
        if report.gap is not None:
            yield f"locks that are not seen: {report.gap}"

    return met


def _rewrite(report: MigrationReport) -> Iterator[str]:
    for rewrite in report.rewrites:
        if rewrite.how != TRUNCATED:
            yield f"{rewrite.kind} {rewrite.name} {rewrite.how}"


def _duration(seconds: float, shown: str) -> Condition:
    def met(report: MigrationReport) -> Iterator[str]:
        if report.seconds is not None and report.seconds > seconds:
            yield f"longer than {shown}"

    return met

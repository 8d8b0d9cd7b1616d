"""Lies that a linter catches: the pages' examples are checked by ruff and squawk too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from handbook.block import Kind
from handbook.lint import findings_of, lintable
from handbook.page import Page
from lies.verdict import Fate, Verdict

# Findings about what code means. The others are about how it looks, which a lie changes by accident.
MEANING = ("squawk ", "ruff F821", "ruff invalid-syntax")


def linted(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, with those that have survived so far linted: in one go, since a linter costs most at its start."""
    survivors = {
        Path(str(number)): verdict.lie
        for number, verdict in enumerate(verdicts)
        if verdict.fate is Fate.SURVIVED and lintable(verdict.lie.told)
    }
    found = findings_of({path: Page([lie.told]) for path, lie in survivors.items()}) if survivors else {}
    after = list(verdicts)
    for path, lie in survivors.items():
        findings = [finding for finding in found[path] if finding.rule.startswith(MEANING)]
        if findings:
            after[int(str(path))] = Verdict(lie, Fate.LINTED, findings[0].line, findings[0].rule)
    return [_as_sample(verdict) for verdict in after]


def _as_sample(verdict: Verdict) -> Verdict:
    """What an example makes up for itself is no statement: with another value the page is as true as before.

    That holds for the values of its rows, and for a table that is only there to try something on. What a migration file
    defines is meant to be copied, so that it counts.
    """
    kind, block = verdict.lie.edit.kind, verdict.lie.block.kind
    made_up = kind == "sample" or (kind in ("type", "clause") and block is not Kind.FILE)
    return replace(verdict, fate=Fate.FREE) if made_up and verdict.fate is Fate.SURVIVED else verdict

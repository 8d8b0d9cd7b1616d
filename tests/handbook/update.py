"""Bringing expected output up to date: lines of a page replaced, every other byte left as it was."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path

from handbook.block import Kind
from handbook.document import PageDocument
from handbook.output import ELLIPSIS
from handbook.rendering import Renderer
from handbook.run import Edit, PageRun, Status
from handbook.workshop import Workshop

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
WORD = re.compile(r"\s+|[^\s/:=(){}\[\],'\"]+|.")
FENCE = re.compile(r"\s*(`{3,}|~{3,})")
# What the page would read as something else than output, by the kind of its block.
PROMPTS = {Kind.CONSOLE: re.compile(r"\$ |> "), Kind.PYCON: re.compile(r">>>( |$)|\.\.\.( |$)")}


class UpdateError(Exception):
    """Output that cannot be written into the page; the text says where and why."""


def update(document: PageDocument, run: PageRun, renderer: Renderer, workshop: Workshop) -> str:
    """Write what a page's blocks print into the page, and run it again.

    Arguments:
        document: the page.
        run: a run of it that has ended, and collected edits.
        renderer: renders the page as the site does.
        workshop: where the page runs again.

    Returns:
        What became of the page.
    """
    path = Path(document.path)
    if any(outcome.status is Status.FAILED for outcome in run.outcomes.values()):
        return "left as it is: another of its blocks fails"
    if not run.edits:
        return "up to date"
    try:
        # What differs from run to run is no output to write down.
        again = _run(document, workshop, updating=True)
        edits = [check(edit) for edit in settled(run.edits, again.edits)]
        apply_edits(path, edits, document.source)
    except UpdateError as error:
        return f"left as it is: {error}"
    told = "1 output rewritten" if len(edits) == 1 else f"{len(edits)} outputs rewritten"
    for outcome in _run(PageDocument(path, renderer), workshop).outcomes.values():
        if outcome.failure is not None:
            return f"{told}; line {outcome.failure.line} still fails: {outcome.failure.summary}"
    return told


def _run(document: PageDocument, workshop: Workshop, *, updating: bool = False) -> PageRun:
    run = PageRun(document, document.page.database, lambda: workshop, updating=updating)
    try:
        run.advance()
    finally:
        run.close()
    return run


def settled(edits: Sequence[Edit], again: Sequence[Edit]) -> list[Edit]:
    """Edits in which `...` stands for what differs between two runs of a page.

    Arguments:
        edits: those of the one run.
        again: those of the other.

    Raises:
        UpdateError: the runs differ in more than words within lines.
    """
    other = {edit.line: edit for edit in again}
    found = []
    for edit in edits:
        twin = other.get(edit.line)
        if twin is None or len(twin.lines) != len(edit.lines):
            raise UpdateError(f"line {edit.line}: two runs print different lines; write ... where they differ")
        found.append(replace(edit, lines=[_common(*pair) for pair in zip(edit.lines, twin.lines, strict=True)]))
    return found


def check(edit: Edit) -> Edit:
    """An edit that reads as output once it stands on the page.

    Raises:
        UpdateError: it would not.
    """
    prompt = PROMPTS.get(edit.kind)
    for line in edit.fresh:
        if FENCE.match(line) or (prompt and prompt.match(line)):
            raise UpdateError(f"line {edit.line}: what is printed would read as a prompt or a fence: {line}")
        # The frames of a traceback are all that a session shows so.
        if ELLIPSIS in line and (edit.kind is not Kind.PYCON or line.strip(" |") != ELLIPSIS):
            raise UpdateError(f"line {edit.line}: what is printed holds ..., which would stand for anything: {line}")
    return edit


def apply_edits(path: Path, edits: Iterable[Edit], before: bytes) -> None:
    """Replace lines of a page, where its file is what was read.

    Arguments:
        path: the page; a link is followed.
        edits: what to replace; they do not overlap. Their lines are counted in the page as it is before the first.
        before: what the file held when the page was read.

    Raises:
        UpdateError: it holds something else by now.
    """
    path = path.resolve()
    if path.read_bytes() != before:
        raise UpdateError("the page has changed since it was read")
    # Only what is a line end to the reader splits the page: not the form feeds and the like that str.splitlines knows.
    lines = [match[0] for match in LINE.finditer(before.decode("utf-8"))]
    for edit in sorted(edits, key=lambda edit: edit.line, reverse=True):
        above = lines[edit.line - 2]
        end = above[len(above.rstrip("\r\n")) :]
        # A quote's mark is kept on a blank line, without the space that would follow it.
        fresh = [(edit.prefix + line).rstrip() + end for line in edit.lines]
        lines[edit.line - 1 : edit.line - 1 + edit.count] = fresh
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes("".join(lines).encode("utf-8"))
    draft.chmod(path.stat().st_mode)
    draft.replace(path)


def _common(one: str, other: str) -> str:
    """A line of two runs, with `...` for the words in which they differ."""
    if one == other:
        return one
    left, right = WORD.findall(one), WORD.findall(other)
    parts: list[str] = []
    for operation, start, end, _, _ in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        part = "".join(left[start:end]) if operation == "equal" else ELLIPSIS
        if part != ELLIPSIS or not parts or parts[-1] != ELLIPSIS:
            parts.append(part)
    return "".join(parts)

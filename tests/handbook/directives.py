"""Directives: the comments of a page that say what is done with a block."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from handbook.block import Block, Kind
from handbook.page import Page
from handbook.rendering import Fence, Rendering

COMMENT = re.compile(r"(?m)^(?P<prefix>[ \t>]*)<!--+[ \t]*(?P<name>[A-Za-z][\w -]*?)[ \t]*(?::(?P<rest>(?s:.*?)))?--+>")
MISTAKEN_ALONE = re.compile(r"(?i)skip|no[nt]?[-_ ]?run|invisible-code-block( \w+)?|clear[-_ ]?namespace")
MISTAKEN = re.compile(r"(?i)skip|no[nt]?[-_ ]*run|invisible|clear[-_ ]?namespace|(expected[-_ ]?)?output")
REASON, SETUP = "not run", "invisible-code-block"
LINTERS = ("squawk", "ruff")
SEEN = "the site shows this comment to the reader; blank lines belong around it, and not in it"


@dataclass(frozen=True)
class Directive:
    """A comment that says something of a block: `rest` is what stands behind its colon."""

    line: int
    end_line: int
    prefix: str
    name: str
    rest: str


def read_directives(page: Page, rendering: Rendering, lines: list[str]) -> None:
    """Give a page's blocks what its comments say of them, and the page its hidden set-up.

    Arguments:
        page: its blocks, and where what is wrong with a comment is added.
        rendering: the page as the site renders it.
        lines: the page's lines.
    """
    for directive in _directives(lines, rendering.inside):
        line, name = directive.line, directive.name
        if line in rendering.inert_comments:
            continue
        if line not in rendering.comments:
            if name in (REASON, SETUP, *LINTERS) or MISTAKEN.match(name):
                page.wrong(line, SEEN)
        elif name == REASON:
            _give_reason(page, directive, lines)
        elif name == SETUP:
            _add_setup(page, directive, rendering.comments[line])
        elif name in LINTERS:
            _allow_rules(page, directive, lines)
        elif MISTAKEN.match(name):
            page.wrong(line, f"unknown directive {name!r}; there are not run: REASON, and invisible-code-block: python")
    page.blocks.sort(key=lambda block: block.line)


def _directives(lines: list[str], inside: set[int]) -> Iterator[Directive]:
    # Fenced lines are blanked, not removed, so that a comment's place stays its place.
    text = "\n".join("" if number in inside else line for number, line in enumerate(lines, 1))
    for match in COMMENT.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        end_line = text.count("\n", 0, match.end()) + 1
        name, rest = " ".join(match["name"].lower().split()), match["rest"]
        # Without a colon it is a directive only where it can be nothing else.
        if rest is not None or MISTAKEN_ALONE.fullmatch(name):
            yield Directive(line, end_line, match["prefix"], name, rest or "")


def _below(page: Page, directive: Directive, lines: list[str]) -> Block | None:
    """The block directly below a comment: nothing but blank lines and other comments between them."""
    number = directive.end_line + 1
    in_comment = False
    while number <= len(lines):
        line = lines[number - 1].lstrip(" \t>").rstrip()
        in_comment = in_comment or line.startswith("<!--")
        if line and not in_comment:
            break
        in_comment = in_comment and "-->" not in line
        number += 1
    return next((block for block in page.blocks if block.line == number and not block.setup), None)


def _give_reason(page: Page, directive: Directive, lines: list[str]) -> None:
    reason = " ".join(directive.rest.split())
    block = _below(page, directive, lines)
    if not reason:
        page.wrong(directive.line, "not run needs a reason: <!-- not run: REASON -->")
    elif block is None:
        if not any(problem.line == directive.end_line + 1 for problem in page.problems):
            page.wrong(directive.line, "not run with no block directly below it")
    elif block.kind is Kind.SHOWN:
        page.wrong(directive.line, f"a {block.fence.language} block never runs; take the comment away")
    elif block.reason is not None:
        page.wrong(directive.line, "the block below has a reason already")
    else:
        block.reason = reason


def _allow_rules(page: Page, directive: Directive, lines: list[str]) -> None:
    rules = directive.rest.replace(",", " ").split()
    block = _below(page, directive, lines)
    if not rules or block is None:
        page.wrong(directive.line, f"{directive.name} needs the names of rules, and a block directly below it")
    else:
        block.allowed.update(f"{directive.name}:{rule}" for rule in rules)


def _add_setup(page: Page, directive: Directive, heading: str) -> None:
    language, _, source = directive.rest.partition("\n")
    if language.strip() != "python":
        page.wrong(directive.line, f"hidden set-up is python, on the lines below, not {language.strip()!r}")
        return
    text = "\n".join(line[len(directive.prefix) :] for line in source.rstrip().split("\n"))
    fence = Fence(directive.line, directive.end_line, "python", None, directive.prefix, text, heading)
    page.blocks.append(Block(fence, Kind.PYTHON, setup=True))

"""Pages: a page's text read into blocks, and everything about it that is not well-formed."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mkdocs.utils import meta

from handbook.block import WITHOUT_OUTPUT, Block, Kind, UnknownBlockError, classify
from handbook.fences import lines_inside, unfenced_code, wrong_fences
from handbook.rendering import Fence, Renderer, Rendering

COMMENT = re.compile(r"(?m)^(?P<prefix>[ \t>]*)<!--+[ \t]*(?P<name>[A-Za-z][\w -]*?)[ \t]*(?::(?P<rest>(?s:.*?)))?--+>")
MISTAKEN_ALONE = re.compile(r"(?i)skip|no[nt]?[-_ ]?run|invisible-code-block( \w+)?|clear[-_ ]?namespace")
MISTAKEN = re.compile(r"(?i)skip|no[nt]?[-_ ]*run|invisible|clear[-_ ]?namespace|(expected[-_ ]?)?output")
LINTERS = ("squawk", "ruff")
DIRECTIVES = ("not run", "invisible-code-block", *LINTERS)
# The baseline of migrations, applied; the baseline, not applied; the checkout's own migrations, not applied.
DATABASES = ("migrated", "empty", "checkout")
TOP = "top"
NOT_TEXT = "a character that is not UTF-8; save the page as UTF-8"


@dataclass(frozen=True)
class Problem:
    """Something on a page that keeps it from being tested, with its line and the remedy."""

    line: int
    message: str


@dataclass
class Page:
    """A page as it is tested: its blocks in the order of its text, without expected output, which its block holds."""

    blocks: list[Block] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    database: str = DATABASES[0]

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)


@dataclass(frozen=True)
class _Comment:
    line: int
    end_line: int
    prefix: str
    name: str
    rest: str


def text_of(source: Path | bytes) -> str:
    """The text of a page's file, or of what was read from it: U+FFFD for what is not UTF-8, and one line end."""
    data = source.read_bytes() if isinstance(source, Path) else source
    return data.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def read(text: str, renderer: Renderer) -> Page:
    """Read a page.

    Args:
        text: the page's whole text.
        renderer: renders it as the site does.
    """
    rendering = renderer.render(text)
    page = Page()
    lines = text.split("\n")
    page.problems += [Problem(number, NOT_TEXT) for number, line in enumerate(lines, 1) if "\ufffd" in line]
    _read_metadata(page, rendering, text)
    wrong = [*wrong_fences(rendering, lines), *unfenced_code(rendering, lines)]
    page.problems += [Problem(number, message) for number, message in wrong]
    _read_blocks(page, rendering.fences)
    _read_comments(page, rendering, lines)
    _number(page)
    page.problems.sort(key=lambda problem: problem.line)
    return page


def _read_metadata(page: Page, rendering: Rendering, text: str) -> None:
    if (match := meta.YAML_RE.match(text)) and not rendering.metadata:
        message = "front matter that is not YAML, or not keys and values: the site ignores it"
        page.problems += [Problem(1, message)] if match[1].strip() else []
    for key in difflib.get_close_matches(
        "database", [key for key in rendering.metadata if key != "database"], cutoff=0.75
    ):
        page.problems.append(Problem(1, f"front matter: unknown key {key!r}; is it database?"))
    database = rendering.metadata.get("database", DATABASES[0])
    if database in DATABASES:
        page.database = database
    else:
        page.problems.append(
            Problem(
                1, f"front matter: database is {database!r}; it can be {', '.join(DATABASES[:-1])} or {DATABASES[-1]}"
            )
        )


def _read_blocks(page: Page, fences: list[Fence]) -> None:
    above: Block | None = None
    for fence in sorted(fences, key=lambda fence: fence.line):
        try:
            kind = classify(fence)
        except UnknownBlockError as error:
            page.problems.append(Problem(fence.line, str(error)))
            # Whatever it was meant to be, expected output below it is no second problem.
            above = Block(fence, Kind.PYTHON)
            continue
        if kind is not Kind.OUTPUT:
            above = Block(fence, kind)
            page.blocks.append(above)
        elif above is None or above.kind is Kind.SHOWN:
            page.problems.append(Problem(fence.line, "expected output with no block above it that it could belong to"))
        elif above.output is not None:
            page.problems.append(Problem(fence.line, "the block above has its expected output already"))
        elif above.kind in WITHOUT_OUTPUT:
            page.problems.append(
                Problem(fence.line, f"expected output below a {above.kind.value} block, which has no output of its own")
            )
        else:
            above.output = fence


def _comments(lines: list[str], inside: set[int]) -> Iterator[_Comment]:
    # Fenced lines are blanked, not removed, so that a comment's place stays its place.
    text = "\n".join("" if number in inside else line for number, line in enumerate(lines, 1))
    for match in COMMENT.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        end_line = text.count("\n", 0, match.end()) + 1
        name, rest = " ".join(match["name"].lower().split()), match["rest"]
        # Without a colon it is a directive only where it can be nothing else.
        if rest is not None or MISTAKEN_ALONE.fullmatch(name):
            yield _Comment(line, end_line, match["prefix"], name, rest or "")


def _read_comments(page: Page, rendering: Rendering, lines: list[str]) -> None:
    inside = lines_inside(rendering.fences)
    for comment in _comments(lines, inside):
        if comment.line in rendering.literal:
            continue
        if comment.line not in rendering.comments:
            if comment.name in DIRECTIVES or MISTAKEN.match(comment.name):
                page.problems.append(
                    Problem(
                        comment.line,
                        "the site shows this comment to the reader; blank lines belong around it, and not in it",
                    )
                )
        elif comment.name == "not run":
            _bind_reason(page, comment, lines)
        elif comment.name == "invisible-code-block":
            _add_setup(page, comment, rendering.comments[comment.line])
        elif comment.name in LINTERS:
            _bind_rules(page, comment, lines)
        elif MISTAKEN.match(comment.name):
            page.problems.append(
                Problem(
                    comment.line,
                    f"unknown directive {comment.name!r}; there are not run: REASON, and invisible-code-block: python",
                )
            )
    page.blocks.sort(key=lambda block: block.line)


def _below(page: Page, comment: _Comment, lines: list[str]) -> Block | None:
    """The block directly below a comment: nothing but blank lines and other comments between them."""
    number = comment.end_line + 1
    in_comment = False
    while number <= len(lines):
        line = lines[number - 1].lstrip(" \t>").rstrip()
        in_comment = in_comment or line.startswith("<!--")
        if line and not in_comment:
            break
        in_comment = in_comment and "-->" not in line
        number += 1
    return next((block for block in page.blocks if block.line == number and not block.setup), None)


def _bind_reason(page: Page, comment: _Comment, lines: list[str]) -> None:
    reason = " ".join(comment.rest.split())
    block = _below(page, comment, lines)
    if not reason:
        page.problems.append(Problem(comment.line, "not run needs a reason: <!-- not run: REASON -->"))
    elif block is None:
        unknown = any(problem.line == comment.end_line + 1 for problem in page.problems)
        if not unknown:
            page.problems.append(Problem(comment.line, "not run with no block directly below it"))
    elif block.kind is Kind.SHOWN:
        page.problems.append(Problem(comment.line, f"a {block.fence.language} block never runs; take the comment away"))
    elif block.reason is not None:
        page.problems.append(Problem(comment.line, "the block below has a reason already"))
    else:
        block.reason = reason


def _bind_rules(page: Page, comment: _Comment, lines: list[str]) -> None:
    rules = comment.rest.replace(",", " ").split()
    block = _below(page, comment, lines)
    if not rules or block is None:
        page.problems.append(
            Problem(comment.line, f"{comment.name} needs the names of rules, and a block directly below it")
        )
    else:
        block.allowed.update(f"{comment.name}:{rule}" for rule in rules)


def _add_setup(page: Page, comment: _Comment, heading: str) -> None:
    language, _, source = comment.rest.partition("\n")
    if language.strip() != "python":
        page.problems.append(
            Problem(comment.line, f"hidden set-up is python, on the lines below, not {language.strip()!r}")
        )
        return
    width = len(comment.prefix)
    text = "\n".join(line[width:] for line in source.rstrip().split("\n"))
    fence = Fence(comment.line, comment.end_line, "python", None, comment.prefix, text, heading)
    page.blocks.append(Block(fence, Kind.PYTHON, setup=True))
    page.blocks.sort(key=lambda block: block.line)


def _number(page: Page) -> None:
    """Give each block that is tested its id: heading and number under it; hidden set-up is counted by itself."""
    counts: Counter[str] = Counter()
    for block in page.blocks:
        if block.kind is Kind.SHOWN:
            continue
        heading = block.fence.heading or TOP
        name = f"{heading}.setup-{{}}" if block.setup else f"{heading}.{{}}"
        counts[name] += 1
        block.id = name.format(counts[name])

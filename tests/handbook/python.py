"""Python blocks and sessions: run in the page's namespace, with `await` at the top level."""

from __future__ import annotations

import ast
import io
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from inspect import CO_COROUTINE
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

from _pytest.assertion.rewrite import rewrite_asserts

from handbook.block import Block
from handbook.failure import BlockError
from handbook.output import ELLIPSIS, Expected, lines_of
from handbook.workspace import Workspace

PROMPT = ">>>"
CONTINUATION = "..."
HEADER = "Traceback (most recent call last):"
NEVER_AWAITED = "was never awaited"
# Those that Python leaves out unless it is told otherwise.
SILENT_WARNINGS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
# What the namespace offers without the page having made it.
CONNECTION = re.compile(r"\bconn\b")


@dataclass(frozen=True)
class Exchange:
    """One prompt of a session: its source and what the page shows below it, each with its line on the page."""

    line: int
    source: str
    expected: Expected


def run_python(block: Block, page: Path, workspace: Workspace) -> str:
    """Run a Python block; return what it prints.

    Raises:
        BlockError: it does not parse, or it raised.
    """
    tree = parse(block.text, block.first_line, page)
    rewrite_asserts(tree, block.text.encode())
    with _capture(block) as printed:
        try:
            _execute(compile(tree, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), workspace, block.text)
        except (KeyboardInterrupt, BlockError):  # the run is interrupted, or the block's time is up
            raise
        except BaseException as error:  # SystemExit too: what ends the reader's Python is a failure here
            raise failure(error, page, block.first_line, printed.getvalue()) from None
    return printed.getvalue()


def run_file(block: Block, page: Path, target: Path) -> None:
    """Import a Python file that a page has written, as the reader's Python would.

    Raises:
        BlockError: it does not parse, or it raised.
    """
    tree = parse(block.text, block.first_line, page)
    with _capture(block) as printed:
        try:
            namespace = {"__name__": target.stem, "__file__": str(target)}
            exec(compile(tree, str(page), "exec"), namespace)  # noqa: S102 - running the page is what this is for
        except (KeyboardInterrupt, BlockError):  # the run is interrupted, or the block's time is up
            raise
        except BaseException as error:  # SystemExit too: what ends the reader's Python is a failure here
            raise failure(error, page, block.first_line, printed.getvalue()) from None


def run_session(block: Block, page: Path, workspace: Workspace, check: Callable[[Expected, list[str]], None]) -> str:
    """Run a session; return what it prints, prompts included.

    Args:
        check: called for each exchange with what the page shows below it and what was printed.

    Raises:
        BlockError: a statement does not parse.
    """
    shown = []
    for exchange in read_session(block):
        tree = parse(exchange.source, exchange.line, page)
        with _capture(block) as printed:
            try:
                for statement in tree.body:
                    code = compile(ast.Interactive([statement]), str(page), "single", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                    _execute(code, workspace, exchange.source)
            except (KeyboardInterrupt, BlockError):  # the run is interrupted, or the block's time is up
                raise
            except BaseException as error:
                print(HEADER, f"  {ELLIPSIS}", *_message(error), sep="\n", file=printed)
        actual = lines_of(printed.getvalue())
        check(without_frames(exchange.expected), actual)
        shown += [*_prompts(exchange.source), *actual]
    return "\n".join(shown)


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
    except SyntaxError:
        return False
    return not any(hasattr(statement, "body") for statement in tree.body)


def _prompts(source: str) -> list[str]:
    first, *rest = source.split("\n")
    return [f"{PROMPT} {first}", *(f"{CONTINUATION} {line}".rstrip() for line in rest)]


def without_frames(expected: Expected) -> Expected:
    """Expected output in which a traceback's frames stand as one line, as they do in what was printed."""
    lines, numbers = expected.lines, expected.numbers
    if HEADER not in lines:
        return expected
    start = lines.index(HEADER) + 1
    end = start
    while end < len(lines) and (lines[end].startswith(" ") or lines[end] == ELLIPSIS):
        end += 1
    return replace(
        expected,
        lines=[*lines[:start], f"  {ELLIPSIS}", *lines[end:]],
        numbers=[*numbers[:start], expected.number(start), *numbers[end:]],
    )


def parse(source: str, line: int, page: Path) -> ast.Module:
    """Parse Python that stands on a line of a page.

    Raises:
        BlockError: it does not parse.
    """
    try:
        # Blank lines above it, so that the lines which Python's messages name are the page's.
        tree = ast.parse("\n" * (line - 1) + source)
        compile(tree, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError) as error:
        at = getattr(error, "lineno", None) or line
        raise BlockError(at, f"{type(error).__name__}: {getattr(error, 'msg', error)}") from None
    return tree


def _execute(code: CodeType, workspace: Workspace, source: str) -> None:
    if CONNECTION.search(source):
        workspace.connect()
    if code.co_flags & CO_COROUTINE:
        workspace.runner.run(_await(code, workspace.namespace))
    else:
        exec(code, workspace.namespace)  # noqa: S102 - running the page is what this is for


async def _await(code: CodeType, namespace: dict[str, Any]) -> None:
    await eval(code, namespace)  # noqa: S307 - running the page is what this is for


@contextmanager
def _capture(block: Block) -> Iterator[io.StringIO]:
    """Gather what a block prints, warnings included, which are those that the reader's Python shows.

    Raises:
        BlockError: an `await` is forgotten, so that something on the page never happened.
    """
    printed = io.StringIO()
    forgotten: list[BlockError] = []

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any) -> None:
        if category is RuntimeWarning and str(message).endswith(NEVER_AWAITED):
            inside = block.line < lineno < block.fence.end_line
            forgotten.append(BlockError(lineno if inside else block.first_line, f"{message}; write await before it"))
        else:
            sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))

    with redirect_stdout(printed), redirect_stderr(printed), warnings.catch_warnings():
        warnings.resetwarnings()
        for category in SILENT_WARNINGS:
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("default", category=DeprecationWarning, module="__main__")
        warnings.filterwarnings("always", f".*{NEVER_AWAITED}$", RuntimeWarning)
        warnings.showwarning = show
        yield printed
    if forgotten:
        raise forgotten[0]


def failure(error: BaseException, page: Path, line: int, printed: str = "") -> BlockError:
    """The failure that an exception in a block stands for: at the page's line, without the harness's own frames."""
    frames = _from_page(error.__traceback__, page)
    at = frames.tb_lineno if frames else line
    name = type(error).__name__
    first = str(error).split("\n", 1)[0]
    report = traceback.TracebackException(type(error), error, frames, compact=True)
    details = [text for chunk in report.format() for text in chunk.rstrip("\n").split("\n")]
    if printed.strip():
        details = ["it printed:", *lines_of(printed), "", *details]
    return BlockError(at, f"{name}: {first}" if first else name, details)


def _from_page(frames: TracebackType | None, page: Path) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename != str(page):
        frames = frames.tb_next
    return frames


def _message(error: BaseException) -> list[str]:
    return "".join(traceback.format_exception_only(error)).rstrip("\n").split("\n")

"""A page's Python: a process of its own, in which its blocks and sessions run as they would for the reader.

This module runs in that process, which was forked from a clean one (`process`). It compares nothing and records
nothing: it says what was raised, and what is printed goes to a file that it is given.
"""

from __future__ import annotations

import ast
import asyncio
import codeop
import gc
import inspect
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

import asyncpg
from _pytest.assertion import util
from _pytest.assertion.rewrite import rewrite_asserts

HARNESS = str(Path(__file__).parents[1])
CONNECTION = "conn"
NEVER_AWAITED = "was never awaited"
AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
MOST_LINES, MOST_COLUMNS = 400, 2000
MOST_COMPARED = 12  # lines that explain a comparison that does not hold

# What was found out beside the block's own exception: a thread's, a finalizer's, an await that is missing.
_noticed: list[dict[str, Any]] = []
_page = ""
# It keeps the future imports of the blocks above, as a prompt does.
_compile = codeop.Compile()
_compile.flags |= AWAIT


def enter(directory: str, environment: Mapping[str, str], page: str) -> None:
    """Be the Python of a page from here on.

    Arguments:
        directory: the page's workspace.
        environment: the whole environment.
        page: the page's path, by which tracebacks name it.
    """
    global _page  # noqa: PLW0603 - this process has one page
    _page = page
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    venv = Path(directory) / ".venv"
    if venv.exists():
        sys.executable = str(venv / "bin" / "python")
        sys.prefix = sys.exec_prefix = str(venv)
    sys.path[:] = [str(Path(directory) / "backend"), *(path for path in sys.path if path != HARNESS)]
    sys.argv = [""]
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, TextIOWrapper)
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.modules["__main__"] = ModuleType("__main__")
    warnings.filterwarnings("always", f".*{NEVER_AWAITED}$", RuntimeWarning)
    warnings.showwarning = _show_warning  # type: ignore[assignment] # whose last arguments are none of its business
    threading.excepthook = _thread_raised
    sys.unraisablehook = _not_raised
    util._reprcompare = _compared


def execute(source: str, line: int, interactive: bool, target: str | None, output: int) -> dict[str, Any]:
    """Run Python, in the page's namespace or as a module; return what failed, or what a prompt would show of it.

    Arguments:
        source: the code, which starts on a line of the page.
        interactive: as at a prompt: values are shown, and an exception is printed.
        target: the file that the page has written, to be run as Python runs it when it imports it.
        output: the file for what is printed.
    """
    for number in (1, 2):
        os.dup2(output, number)
    try:
        codes = compiled("\n" * (line - 1) + source, interactive=interactive, module=target is not None)
    except (SyntaxError, ValueError) as error:
        at = getattr(error, "lineno", None) or line
        return {"line": at, "summary": f"{type(error).__name__}: {getattr(error, 'msg', error)}", "details": []}
    try:
        for code in codes:
            if target is not None:
                exec(code, {"__name__": Path(target).stem, "__file__": target})  # noqa: S102 - the page is run
            else:
                _run(code)
    except BaseException as error:  # SystemExit too: what ends the reader's Python is a failure here
        if not interactive:
            return failure(error, line)
        report = _report(error, _frames_of_page(error.__traceback__))
        raised = {"whole": "".join(report.format()), "last": "".join(report.format(chain=False))}
        return _beside(line) or {"raised": raised}
    return _beside(line)


def compiled(source: str, *, interactive: bool, module: bool) -> list[CodeType]:
    """What some Python is compiled to: a module as Python imports it, a session statement by statement.

    Raises:
        SyntaxError: it does not parse.
        ValueError: it holds a null character.
    """
    tree = ast.parse(source)
    if module:
        return [compile(tree, _page, "exec", dont_inherit=True)]
    parts: list[Any] = [ast.Interactive([statement]) for statement in tree.body] if interactive else [tree]
    if not interactive:
        rewrite_asserts(tree, source.encode())
    return [_compile(part, _page, "single" if interactive else "exec") for part in parts]


def failure(error: BaseException, line: int) -> dict[str, Any]:
    """What an exception says of the page: the line, and the traceback without the harness's own frames."""
    _flush()
    frames = _frames_of_page(error.__traceback__)
    name = type(error).__name__
    first = str(error).split("\n", 1)[0]
    text = "".join(_report(error, frames).format())
    return {
        "line": frames.tb_lineno if frames else line,
        "summary": f"{name}: {first}" if first else name,
        "details": [part[:MOST_COLUMNS] for part in text.rstrip("\n").split("\n")[-MOST_LINES:]],
    }


def _run(code: CodeType) -> None:
    namespace = sys.modules["__main__"].__dict__
    if CONNECTION in _names(code):
        connection = namespace.get(CONNECTION)
        if connection is None or (isinstance(connection, asyncpg.Connection) and connection.is_closed()):
            namespace[CONNECTION] = _event_loop().run(asyncpg.connect(os.environ["DATABASE_URL"]))
    if code.co_flags & inspect.CO_COROUTINE:
        _event_loop().run(_awaited(code, namespace))
    else:
        exec(code, namespace)  # noqa: S102 - the page is run


@cache
def _event_loop() -> asyncio.Runner:
    return asyncio.Runner()


async def _awaited(code: CodeType, namespace: dict[str, Any]) -> None:
    await eval(code, namespace)  # noqa: S307 - as above


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _report(error: BaseException, frames: TracebackType | None) -> traceback.TracebackException:
    return traceback.TracebackException(type(error), error, frames, compact=True)


def _frames_of_page(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename != _page:
        frames = frames.tb_next
    return frames


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


def _beside(line: int) -> dict[str, Any]:
    """What was noticed beside what the block itself raised."""
    gc.collect()  # a finalizer speaks up now, not in a later block
    _flush()
    if not _noticed:
        return {}
    first = _noticed[0]
    _noticed.clear()
    return {**first, "line": first["line"] or line}


def _notice(error: BaseException, where: str) -> None:
    found = failure(error, 0)
    _noticed.append({**found, "summary": f"{where}: {found['summary']}"})


def _compared(op: str, left: object, right: object) -> str | None:
    """What pytest says of a comparison that does not hold."""
    lines = util.assertrepr_compare(
        op=op, left=left, right=right, verbose=0, highlighter=util.dummy_highlighter, assertion_text_diff_style="ndiff"
    )
    return "\n~".join(islice(lines, MOST_COMPARED)).replace("%", "%%") or None


def _thread_raised(arguments: threading.ExceptHookArgs) -> None:
    threading.__excepthook__(arguments)
    if arguments.exc_value is not None:
        _notice(arguments.exc_value, f"thread {arguments.thread.name if arguments.thread else '?'} ended by")


def _not_raised(arguments: sys.UnraisableHookArgs) -> None:
    sys.__unraisablehook__(arguments)
    if arguments.exc_value is not None:
        _notice(arguments.exc_value, "raised where nothing can catch it")


def _show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any) -> None:
    if category is RuntimeWarning and str(message).endswith(NEVER_AWAITED):
        at = lineno if filename == _page else 0
        _noticed.append({"line": at, "summary": f"{message}; write await before it", "details": []})
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, *rest[1:]))

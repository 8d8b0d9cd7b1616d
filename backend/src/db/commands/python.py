"""Python on the backend's database, with top-level ``await`` and ``conn``."""

from __future__ import annotations

import ast
import asyncio
import code
import contextlib
import inspect
import os
import select
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any

import asyncpg

from src.config import TOP
from src.db.connection import connect
from src.db.errors import DatabaseUnavailableError
from src.db.server import ServerError
from src.db.server.program import environment

CONNECTION = "conn"
GREETING = "Python {}. `conn` is a connection to {}; `await` works here. exit() leaves."
_PASTED = 0.05  # seconds within which the next line of a paste arrives


class Console(code.InteractiveConsole):
    """A prompt at which ``await`` works, and ``conn`` is a connection.

    Pasted lines run as one block, like a script: a blank line ends no function, and only what is printed is shown.

    Arguments:
        database_url: a function that returns the database of ``conn``.
        runner: runs what is awaited.
    """

    def __init__(self, database_url: Callable[[], str], runner: asyncio.Runner) -> None:
        """Start without a connection."""
        super().__init__({"__name__": "__main__"}, "<input>")
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._database_url = database_url
        self._runner = runner

    def connect(self) -> None:
        """Open ``conn`` where it is not open; a name that the user has given to something else stays.

        Raises:
            DatabaseUnavailableError: the database cannot be reached.
        """
        conn = self.locals.get(CONNECTION)
        if conn is None or (isinstance(conn, asyncpg.Connection) and conn.is_closed()):
            opened = connect(self._database_url(), application_name="plantops-python")
            self.locals[CONNECTION] = self._runner.run(opened)

    def raw_input(self, prompt: str = "") -> str:
        """Return a line, or all the lines of what is pasted."""
        lines = [super().raw_input(prompt)]
        with contextlib.suppress(EOFError):  # met again at the next prompt
            while select.select([sys.stdin], [], [], _PASTED)[0]:
                lines.append(super().raw_input(""))
        return "\n".join(lines)

    def push(self, line: str, *arguments: Any, **keywords: Any) -> bool:
        """Run what was typed or pasted; return whether it goes on."""
        if "\n" not in line or self.buffer:
            return super().push(line, *arguments, **keywords)
        goes_on = self.runsource(line, self.filename, _symbol(line))
        self.buffer += [line] if goes_on else []
        return goes_on

    def runcode(self, code: types.CodeType) -> None:
        """Run a statement in the event loop, and show what it raises as a page would."""
        try:
            if CONNECTION in code.co_names:
                self.connect()
            self._runner.run(_awaited(code, self.locals))
        except SystemExit:
            raise
        except (ServerError, DatabaseUnavailableError) as error:
            self.write(f"{error}\n")
        except BaseException as error:  # KeyboardInterrupt as well
            frames = error.__traceback__
            while frames is not None and frames.tb_frame.f_code is not code:
                frames = frames.tb_next
            self.write("".join(traceback.format_exception(type(error), error, frames)))


async def _awaited(code: types.CodeType, names: dict[str, object]) -> None:
    result = types.FunctionType(code, names)()
    if inspect.iscoroutine(result):
        await result


def _symbol(source: str) -> str:
    """Return how a paste is compiled: an expression alone shows its value, as at every prompt."""
    with contextlib.suppress(SyntaxError, ValueError):
        statements = ast.parse(source).body
        return "single" if len(statements) == 1 and isinstance(statements[0], ast.Expr) else "exec"
    return "exec"


def python(database_url: Callable[[], str], named: str) -> int:
    """Run Python at the top of the checkout; what comes from a file or a pipe is run as one script."""
    with asyncio.Runner() as runner:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401, PLC0415 - edits lines, once it is there
        os.environ.update(runner.run(environment(database_url())))
        os.chdir(TOP)
        console = Console(database_url, runner)
        console.connect()
        if sys.stdin.isatty():
            console.interact(GREETING.format(sys.version.partition(" ")[0], named), exitmsg="")
        else:
            console.runsource(sys.stdin.read(), "<input>", "exec")
    return 0

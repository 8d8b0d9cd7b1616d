"""Sessions: the prompts of a console or pycon block, each with what the page shows below it."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass

from handbook.block import Block, BlockError, Kind
from handbook.output import Expected

CONSOLE, CONSOLE_MORE = "$ ", "> "
PYCON, PYCON_MORE = ">>>", "..."


@dataclass(frozen=True)
class Exchange:
    """What is typed at one prompt, and what the page shows below it, each with its line on the page."""

    line: int
    text: str
    expected: Expected


def exchanges_of(block: Block) -> list[Exchange]:
    """The exchanges of a console or pycon block.

    Raises:
        BlockError: it does not start with a prompt.
    """
    is_console = block.kind is Kind.CONSOLE
    width = len(CONSOLE) if is_console else len(PYCON) + 1
    lines = block.text.split("\n")
    starts = [number for number, line in enumerate(lines) if _is_prompt(line, is_console)]
    if not starts or any(line.strip() for line in lines[: starts[0]]):
        start = "$ and a command" if is_console else ">>> and a statement"
        raise BlockError(block.first_line, f"a {block.kind.value} block starts with {start}")
    found = []
    for first, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        text, number = lines[first][width:], first + 1
        while number < end and (_continues_command if is_console else _continues_statement)(text, lines[number]):
            text += "\n" + lines[number][width:]
            number += 1
        expected = Expected.at(block.first_line + number, "\n".join(lines[number:end]))
        found.append(Exchange(block.first_line + first, text, expected))
    return found


def _is_prompt(line: str, is_console: bool) -> bool:
    return line.startswith(CONSOLE) if is_console else line == PYCON or line.startswith(PYCON + " ")


def _continues_command(command: str, line: str) -> bool:
    """Whether a line goes on with a command: `> ` below a command that bash finds unfinished."""
    if not line.startswith(CONSOLE_MORE) or command.endswith("\\"):
        return line.startswith(CONSOLE_MORE)
    checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    return checked.returncode != 0 or "here-document" in checked.stderr


def _continues_statement(source: str, line: str) -> bool:
    """Whether a line goes on with a statement: a bare `...` below a whole simple one is output that may be anything."""
    if line != PYCON_MORE:
        return line.startswith(PYCON_MORE + " ")
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return True
    return any(hasattr(statement, "body") for statement in tree.body)

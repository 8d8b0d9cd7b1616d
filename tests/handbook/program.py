"""Programs that blocks start: psql and bash, in the page workspace, never for longer than the time limit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from handbook.block import Block
from handbook.failure import BlockError
from handbook.output import Expected, lines_of
from handbook.workspace import Workspace

TIME_LIMIT = 120.0  # seconds
PROMPT = "$ "
CONTINUATION = "> "
STATUS = "echo $?"
# Between the output of one command and the next: ASCII's record separator, which no command of a page prints.
SEPARATOR = "\x1e"
PSQL_ERROR = re.compile(r"^psql:<stdin>:(\d+): ", re.MULTILINE)
# PostgreSQL shows the line of an error, with dots where it leaves out its start or end.
SQL_LINE = re.compile(r"^LINE \d+: (?:\.\.\.)?(.*?)(?:\.\.\.)?$", re.MULTILINE)
BASH_SYNTAX_ERROR = re.compile(r"^bash: -c: line (\d+): ", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """One command of a console block, and what the page shows below it, each with its line on the page."""

    line: int
    text: str
    expected: Expected


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    status: int
    output: str


def start(arguments: Sequence[str], workspace: Workspace, text: str = "", *, line: int) -> Ended:
    """Run a program to its end in the page workspace.

    Args:
        text: its standard input.
        line: the line of the page to blame where it does not end.

    Raises:
        BlockError: it did not end within the time limit.
    """
    environment = workspace.environment()
    # A file, not a pipe: a pipe stays open for as long as a background process of the block lives.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as source:
        source.write(text.encode())
        source.seek(0)
        process = subprocess.Popen(
            arguments,
            cwd=workspace.directory,
            env=environment,
            stdin=source,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(TIME_LIMIT)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        printed = output.read().decode(errors="replace")
    if status is None:
        raise BlockError(line, f"did not end within {TIME_LIMIT:.0f} s", lines_of(printed))
    return Ended(status, printed)


def run_sql(block: Block, workspace: Workspace) -> str:
    """Run a block in psql; return what psql prints.

    Raises:
        BlockError: a statement failed.
    """
    psql = str(workspace.server.binary("psql"))
    arguments = [psql, "-X", "-v", "ON_ERROR_STOP=1", "-P", "pager=off", "-f", "-", workspace.database_url]
    ended = start(arguments, workspace, block.text + "\n", line=block.first_line)
    output = PSQL_ERROR.sub("", ended.output)
    if ended.status:
        at = block.first_line + _sql_line(block.text.split("\n"), ended.output)
        raise BlockError(at, "psql stopped at an error", lines_of(output))
    return output


def _sql_line(lines: list[str], output: str) -> int:
    """The line of a psql error in its block, from 0: the one that PostgreSQL shows, or else the statement's last."""
    errors = list(PSQL_ERROR.finditer(output))
    last = min(int(errors[-1][1]), len(lines)) - 1 if errors else 0
    shown = SQL_LINE.search(output, errors[-1].end() if errors else 0)
    above = range(last, -1, -1)
    return next((number for number in above if shown and shown[1].strip() in lines[number]), last)


def run_bash(block: Block, workspace: Workspace) -> str:
    """Run a block as one bash script that stops at the first failure; return what it prints.

    Raises:
        BlockError: it failed.
    """
    say = f'printf "{SEPARATOR}%s{SEPARATOR}"'
    traps = [
        # The command before the one that runs: the trap of EXIT is a command as well.
        "trap '__last=${__line-}; __line=$LINENO' DEBUG",
        f"trap '{say} \"$LINENO\"' ERR",
        f"trap '{say} \"${{__last-}}\"' EXIT",
    ]
    # On the block's first line, so that bash counts lines as the block does.
    script = f"set -Eeuo pipefail; {'; '.join(traps)}; {block.text}\n"
    ended = start(["bash", "--noprofile", "--norc", "-c", script, "bash"], workspace, line=block.first_line)
    parts = ended.output.split(SEPARATOR)
    output = "".join(parts[::2])
    if ended.status:
        numbers = [*BASH_SYNTAX_ERROR.findall(output), *(part for part in parts[1::2] if part.isdigit())]
        last = block.first_line + block.text.count("\n")
        at = min(block.line + int(numbers[0]), last) if numbers else block.first_line
        raise BlockError(at, f"the script ended with status {ended.status}", lines_of(output))
    return output


def run_console(block: Block, workspace: Workspace, check: Callable[[Expected, list[str]], None]) -> str:
    """Run a console block's commands in one shell; return the session as it was printed.

    A command must succeed, unless the next one is `echo $?`: then the page shows its status, which is compared.

    Args:
        check: called for each command with what the page shows below it and what was printed.

    Raises:
        BlockError: a command failed that the page does not show failing.
    """
    commands = read_console(block)
    report = f"printf '{SEPARATOR}%s{SEPARATOR}' \"$?\""
    # Each command meets the status of the one before it in `$?`, as it would in a terminal.
    script = "\n".join(
        [
            "__status=0",
            *(
                f"( exit $__status ); eval {_quote(command.text)}\n__status=$?; ( exit $__status ); {report}"
                for command in commands
            ),
        ]
    )
    ended = start(["bash", "--noprofile", "--norc", "-c", script, "bash"], workspace, line=block.first_line)
    parts = ended.output.split(SEPARATOR)
    outputs, statuses = parts[::2], [int(part) for part in parts[1::2]]
    shown: list[str] = []
    for command, following, output, status in zip_longest(commands, commands[1:], outputs[: len(commands)], statuses):
        if output is None:
            raise BlockError(command.line, "not reached: the command above ended the shell")
        actual = lines_of(output)
        code = ended.status if status is None else status
        if code and (following is None or following.text.strip() != STATUS):
            summary = (
                f"the command ended with status {code}; where it is meant to fail, show that with $ {STATUS} below it"
            )
            raise BlockError(command.line, summary, actual)
        check(command.expected, actual)
        shown += [*_prompts(command.text), *actual]
    return "\n".join(shown)


def read_console(block: Block) -> list[Command]:
    """The commands of a console block.

    Raises:
        BlockError: it does not start with a prompt.
    """
    lines = block.text.split("\n")
    starts = [number for number, line in enumerate(lines) if line.startswith(PROMPT)]
    if not starts or any(line.strip() for line in lines[: starts[0]]):
        raise BlockError(block.first_line, "a console block starts with $ and a command")
    commands = []
    for begin, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        text, number = lines[begin].removeprefix(PROMPT), begin + 1
        while number < end and _continues(text, lines[number]):
            text += "\n" + lines[number].removeprefix(CONTINUATION)
            number += 1
        expected = Expected.at(block.first_line + number, "\n".join(lines[number:end]))
        commands.append(Command(block.first_line + begin, text, expected))
    return commands


def _continues(command: str, line: str) -> bool:
    """Whether a line goes on with a command: `> ` below a command that bash finds unfinished."""
    if not line.startswith(CONTINUATION):
        return False
    if command.endswith("\\"):
        return True
    checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    return checked.returncode != 0 or "here-document" in checked.stderr


def _prompts(command: str) -> list[str]:
    first, *rest = command.split("\n")
    return [PROMPT + first, *(CONTINUATION + line for line in rest)]


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"

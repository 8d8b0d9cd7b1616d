"""Blocks that are programs' input: SQL for psql, scripts and commands for bash, run in the page workspace."""

from __future__ import annotations

import re
import secrets
import shlex
from dataclasses import replace
from itertools import zip_longest

from sybil import Example

from handbook.block import BlockError
from handbook.exchange import exchanges_of
from handbook.output import lines_of
from handbook.run import PageRun
from handbook.workspace import MOST_PRINTED

STATUS = "echo $?"
BASH = ("bash", "--noprofile", "--norc", "-c")
# The status of a script that has run to its end, which a script does not give by itself.
REACHED = 213
PSQL_ERROR = re.compile(r"^psql:<stdin>:(\d+): ", re.MULTILINE)
# PostgreSQL shows the line of an error, with dots where it leaves out its start or end.
SQL_LINE = re.compile(r"^LINE \d+: (?:\.\.\.)?(.*?)(?:\.\.\.)?$", re.MULTILINE)
# Of psql's own commands those that would hide what a block does.
HIDING = (
    (re.compile(r"\s*\\(q|quit)\b"), "psql would end here, and what stands below would never run"),
    (re.compile(r"\s*\\!"), "psql goes on whatever a shell command's status is; run it in a console block"),
)
# What lets a block go on after an error.
LENIENT = re.compile(
    r"\|\|\s*(true|:)(\s|;|\)|$)|\bset \+(\w*e|o errexit)"
    r"|\\(set ON_ERROR_STOP\s+(0|off|false|no)|unset ON_ERROR_STOP)\b"
)
BASH_SYNTAX_ERROR = re.compile(r"^bash: -c: line (\d+): ", re.MULTILINE)


def evaluate_sql(example: Example) -> None:
    """Run a block in psql.

    Raises:
        BlockError: a statement failed.
    """
    run, block = PageRun.of(example), example.parsed
    for number, line in enumerate(block.text.split("\n"), block.first_line):
        for pattern, message in HIDING:
            if pattern.match(line):
                raise BlockError(number, message)
    workspace = run.workspace
    psql = str(workspace.postgres.binary("psql"))
    arguments = [psql, "-X", "-v", "ON_ERROR_STOP=1", "-P", "pager=off", "-f", "-", workspace.database_url]
    ran = workspace.run(arguments, block.text + "\n")
    run.printed = PSQL_ERROR.sub("", ran.printed)
    ran.finished(block.first_line)
    if ran.result["status"]:
        at = block.first_line + _sql_line(block.text.split("\n"), ran.printed)
        raise BlockError(at, "psql stopped at an error", lines_of(run.printed))


def evaluate_bash(example: Example) -> None:
    """Run a block as one bash script that stops at the first failure.

    Raises:
        BlockError: it failed.
    """
    run, block = PageRun.of(example), example.parsed
    mark = _mark()
    say = f'printf "{mark}%s{mark}"'
    traps = [
        # The command before the one that runs: the trap of EXIT is a command as well.
        "trap '__last=${__line-}; __line=$LINENO' DEBUG",
        f"trap '{say} \"$LINENO\"' ERR",
        f"trap '{say} \"${{__last-}}\"' EXIT",
    ]
    # On the block's first line, so that bash counts lines as the block does.
    script = f"set -Eeuo pipefail; {'; '.join(traps)}; {block.text}\nexit {REACHED}\n"
    ran = run.workspace.run([*BASH, script, "bash"])
    parts = ran.printed.split(mark)
    run.printed = "".join(parts[::2])
    ran.finished(block.first_line)
    if (status := ran.result["status"]) != REACHED:
        numbers = [*BASH_SYNTAX_ERROR.findall(run.printed), *(part for part in parts[1::2] if part.isdigit())]
        last = block.first_line + block.text.count("\n")
        at = min(block.line + int(numbers[0]), last) if numbers else block.first_line
        where = "" if status else ", and not at its end: what stands below did not run"
        raise BlockError(at, f"the script ended with status {status}{where}", lines_of(run.printed))


def evaluate_console(example: Example) -> None:
    """Run a console block's commands in one shell, and compare what each prints.

    A command must succeed, unless the next one is `echo $?`: then the page shows its status, which is compared.

    Raises:
        BlockError: a command failed that the page does not show failing, or printed something else.
    """
    run, block = PageRun.of(example), example.parsed
    commands = exchanges_of(block)
    mark = _mark()
    report = f"printf '{mark}%s{mark}' \"$?\""
    # Each command meets the status of the one before it in `$?`, as it would in a terminal.
    steps = (
        f"( exit $__status ); eval {shlex.quote(command.text)}\n__status=$?; ( exit $__status ); {report}"
        for command in commands
    )
    ran = run.workspace.run([*BASH, "\n".join(["__status=0", *steps]), "bash"])
    parts = ran.printed.split(mark)
    replace(ran, printed="".join(parts[::2])).finished(block.first_line)
    if mark in ran.printed and len(ran.printed) > MOST_PRINTED:
        raise BlockError(block.first_line, f"the commands print more than {MOST_PRINTED >> 20} MB")
    outputs, statuses = parts[::2], [int(part) for part in parts[1::2]]
    for command, following, output, status in zip_longest(commands, commands[1:], outputs[: len(commands)], statuses):
        if output is None:
            raise BlockError(command.line, "not reached: the command above ended the shell")
        actual = lines_of(output)
        code = ran.result["status"] if status is None else status
        if code and (following is None or following.text.strip() != STATUS):
            remedy = f"where it is meant to fail, show that with $ {STATUS} below it"
            raise BlockError(command.line, f"the command ended with status {code}; {remedy}", actual)
        run.check(block, command.expected, actual)


def _mark() -> str:
    """What stands between the output of one command and the next: nothing that a command of a page can print."""
    return f"\x1e{secrets.token_hex(8)}\x1e"


def _sql_line(lines: list[str], output: str) -> int:
    """The line of a psql error in its block, from 0: the one that PostgreSQL shows, or else the statement's last."""
    errors = list(PSQL_ERROR.finditer(output))
    last = min(int(errors[-1][1]), len(lines)) - 1 if errors else 0
    shown = SQL_LINE.search(output, errors[-1].end() if errors else 0)
    above = range(last, -1, -1)
    return next((number for number in above if shown and shown[1].strip() in lines[number]), last)

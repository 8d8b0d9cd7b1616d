"""What the code has that pages list: commands and their options, targets of make, exit statuses."""

from __future__ import annotations

import contextlib
import io
import re
from functools import cache

import pytest

from prose.sections import ROOT
from src.db.commands.command_line import main

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = frozenset(re.findall(r"(?m)^([a-z][a-z-]*):", MAKEFILE))


@cache
def usage(*command: str) -> str:
    """What `python -m src.db` says of itself, or of one of its commands."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
        main([*command, "--help"])
    return text.getvalue()


def commands() -> list[str]:
    return re.findall(r"(?m)^ {4}([a-z]+)  ", usage())


def options(*, values: bool = True) -> dict[str, list[str]]:
    """The options, with the names of their values, and the commands that have them."""
    found: dict[str, list[str]] = {}
    for command in commands():
        for option, value in re.findall(r"(?m)^  (?!-h, )(?:-\w, )?(--[a-z-]+)( [A-Z]+)?", usage(command)):
            found.setdefault(option + (value if values else ""), []).append(command)
    return found


def targets() -> list[str]:
    """The targets that `make help` lists."""
    return re.findall(r"(?m)^([a-z-]+):.*? ## ", MAKEFILE)


def makes(command: str) -> str:
    """The target that passes on to a command."""
    (target,) = re.findall(rf"(?m)^([a-z-]+):.*\n\t\$\(MIGRATIONS\) {command} ", MAKEFILE)
    return str(target)


def statuses() -> dict[str, str]:
    """The exit statuses of the commands, each with a pattern for what it means."""
    (line,) = re.findall(r"(?m)^Exit status: (.*)\.$", usage())
    words = {" or ": "…", "after Ctrl-C": "…++ctrl+c++", "after SIGTERM": "…`SIGTERM`"}
    for said, pattern in words.items():
        line = line.replace(said, pattern)
    return {status: f"{meaning}…" for status, meaning in re.findall(r"(\d+) ([^,]+)", line)}

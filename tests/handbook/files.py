"""Titled blocks, which are written into the page workspace, and data, which must parse."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from sybil import Example

from handbook.baseline import DIRECTORY
from handbook.block import Block, BlockError
from handbook.output import lines_of
from handbook.run import PageRun

BASH_ERROR = re.compile(r"line (\d+): (.*)")


def evaluate_file(example: Example) -> None:
    """Write a titled block to its path in the page workspace.

    Data, SQL and scripts must parse. Python is imported, so that a file which cannot be is untrue; a migration is left
    to the runner, whose errors a page may want to show.

    Raises:
        BlockError: the file is not what its ending says, or raises when it is imported.
    """
    run, block = PageRun.of(example), example.parsed
    directory = run.workspace.directory.resolve()
    target = directory / block.path
    try:
        if not target.resolve().is_relative_to(directory):
            raise BlockError(block.line, f"{block.path} leads out of the page workspace")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text + "\n", encoding="utf-8", newline="\n")
    except OSError as error:
        raise BlockError(block.line, f"cannot write {block.path}: {error.strerror}") from None
    if target.suffix == ".py":
        if target.parent.name != DIRECTORY.name:
            ran = run.workspace.import_file(block.text, block.first_line, target)
            run.printed = ran.finished(block.first_line)
    elif target.suffix in {".sh", ".bash"}:
        _check_script(run, block, target)
    elif target.suffix == ".sql":
        _check_sql(run, block, target)
    else:
        check_data(block, target.suffix.removeprefix("."))


def evaluate_data(example: Example) -> None:
    """Check that a block of data parses.

    Raises:
        BlockError: it does not.
    """
    check_data(example.parsed, example.parsed.fence.language)


def check_data(block: Block, language: str) -> None:
    """Check that JSON, TOML or YAML parses; any other language is let through.

    Raises:
        BlockError: it does not, with the line.
    """
    try:
        if language == "json":
            json.loads(block.text)
        elif language == "toml":
            tomllib.loads(block.text)
        elif language in ("yaml", "yml"):
            yaml.safe_load(block.text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        number, message = _explained(error)
        raise BlockError(block.first_line + number, f"not {language}: {message}") from None


def _check_script(run: PageRun, block: Block, target: Path) -> None:
    ran = run.workspace.run(["bash", "-n", str(target)])
    printed, status = ran.finished(block.first_line), ran.result["status"]
    if status:
        found = BASH_ERROR.search(printed)
        at = min(int(found[1]), block.text.count("\n") + 1) - 1 if found else 0
        raise BlockError(block.first_line + at, f"not bash: {found[2] if found else status}", lines_of(printed))


def _check_sql(run: PageRun, block: Block, target: Path) -> None:
    ran = run.workspace.run(["squawk", "--reporter", "json", str(target)])
    try:
        found = [entry for entry in json.loads(ran.printed) if entry["rule_name"] == "syntax-error"]
    except ValueError:
        raise BlockError(block.line, "squawk cannot read the file", lines_of(ran.printed)) from None
    if found:
        raise BlockError(block.first_line + found[0]["line"], f"not SQL: {found[0]['message']}")


def _explained(error: Any) -> tuple[int, str]:
    """The line of a parser's error in its text, from 0, and the message without it."""
    if isinstance(error, json.JSONDecodeError):
        return error.lineno - 1, error.msg
    if mark := getattr(error, "problem_mark", None):
        return int(mark.line), str(error.problem)
    message, _, place = str(error).partition(" (at ")
    number = re.match(r"line (\d+)", place)
    return int(number[1]) - 1 if number else 0, message

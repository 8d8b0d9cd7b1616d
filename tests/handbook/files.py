"""Titled blocks, which are written into the page workspace, and data, which must parse."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from handbook.block import Block
from handbook.failure import BlockError
from handbook.python import run_file
from handbook.workspace import Workspace

MIGRATIONS = "migrations"


def write_file(block: Block, page: Path, workspace: Workspace) -> None:
    """Write a titled block to its path in the page workspace.

    Data must parse. Python is imported, so that a file which cannot be is untrue; a migration is left to the runner,
    whose errors a page may want to show.

    Raises:
        BlockError: the file is not what its ending says, or raises when it is imported.
    """
    target = workspace.directory / str(block.fence.title)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text + "\n", encoding="utf-8", newline="\n")
    except OSError as error:
        raise BlockError(block.line, f"cannot write {block.fence.title}: {error.strerror}") from None
    if target.suffix == ".py":
        if target.parent.name != MIGRATIONS:
            run_file(block, page, target)
    else:
        check_data(block, target.suffix.removeprefix("."))


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
    except (ValueError, yaml.YAMLError) as error:
        number, message = _explained(error)
        raise BlockError(block.first_line + number, f"not {language}: {message}") from None


def _explained(error: Any) -> tuple[int, str]:
    """The line of a parser's error in its text, from 0, and the message without it."""
    if isinstance(error, json.JSONDecodeError):
        return error.lineno - 1, error.msg
    if mark := getattr(error, "problem_mark", None):
        return int(mark.line), str(error.problem)
    message, _, place = str(error).partition(" (at ")
    number = re.match(r"line (\d+)", place)
    return int(number[1]) - 1 if number else 0, message

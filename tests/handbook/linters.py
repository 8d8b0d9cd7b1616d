"""Ruff and squawk, each run once over the code of all pages."""

from __future__ import annotations

import difflib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from handbook.block import Block, Kind

RUFF, FORMAT, SQUAWK = "ruff", "format", "squawk"
OLDEST_POSTGRESQL = "14.0"
# How wide a page's column is, and the project's code: a file that a reader copies from a page has to pass there too.
COLUMN, PROJECT = "72", "120"
# The runner sets lock_timeout itself, for every migration; a statement may take its time.
NOT_NEEDED = ("require-lock-timeout", "require-statement-timeout")
# A page may assert.
ARGUMENTS = (
    *("--select", "A,B,C4,E,F,I,PIE,RUF,S,SIM,UP,W", "--ignore", "S101"),
    *("--line-length", PROJECT, "--target-version", "py311"),
    *("--config", "lint.isort.known-first-party = ['src']"),
)


@dataclass(frozen=True)
class Snippet:
    """Code of a page for one linter: its text starts on line `line` of the page, and `ignored` rules are not for it."""

    path: Path
    block: Block
    text: str
    line: int
    ignored: frozenset[str] = frozenset()
    in_transaction: bool = False


@dataclass(frozen=True)
class Report:
    """What a linter says of a snippet: `index` is the line in it, from 0."""

    snippet: Snippet
    index: int
    tool: str
    rule: str
    message: str


def ruff(snippets: Sequence[Snippet]) -> Iterator[Report]:
    """What ruff says of some Python, and how it would format that."""
    if not snippets:
        return
    program = (sys.executable, "-m", "ruff")
    with tempfile.TemporaryDirectory() as scratch:
        files = _write(Path(scratch), snippets, "py")
        for entry in json.loads(
            _run(scratch, *program, "check", "--isolated", "--no-cache", *ARGUMENTS, "--output-format", "json")
        ):
            snippet = files[Path(entry["filename"]).name]
            rule = entry["code"] or "invalid-syntax"
            yield Report(snippet, entry["location"]["row"] - 1, RUFF, rule, entry["message"])
        unformatted: set[str] = set()
        for columns in (COLUMN, PROJECT):
            _run(scratch, *program, "format", "--isolated", "--no-cache", "--line-length", columns)
            for name, snippet in files.items():
                if name in unformatted or (columns == PROJECT and snippet.block.kind is not Kind.FILE):
                    continue
                before, after = snippet.text.splitlines(), Path(scratch, name).read_text(encoding="utf-8").splitlines()
                if before != after:
                    unformatted.add(name)
                    pairs = enumerate(zip_longest(before, after))
                    index = next(number for number, (one, other) in pairs if one != other)
                    _, _, _, *lines = difflib.unified_diff(before, after, lineterm="")
                    message = "\n".join(["ruff would format this otherwise:", *lines])
                    yield Report(snippet, index, RUFF, FORMAT, message)


def squawk(snippets: Sequence[Snippet]) -> Iterator[Report]:
    """What squawk says of some SQL."""
    program = (str(Path(sys.executable).with_name("squawk")), "--reporter", "json", "--pg-version", OLDEST_POSTGRESQL)
    for in_transaction in (False, True):
        chosen = [snippet for snippet in snippets if snippet.in_transaction is in_transaction]
        if chosen:
            options = [f"--exclude={rule}" for rule in NOT_NEEDED]
            options += ["--assume-in-transaction"] if in_transaction else []
            with tempfile.TemporaryDirectory() as scratch:
                files = _write(Path(scratch), chosen, "sql")
                # What matches the pattern is for squawk to find: a command line has no room for thousands of names.
                for entry in json.loads(_run(scratch, *program, *options, "*.sql")):
                    message = " ".join(filter(None, (entry["message"], entry["help"])))
                    yield Report(files[entry["file"]], entry["line"], SQUAWK, entry["rule_name"], message)


def _write(scratch: Path, snippets: Sequence[Snippet], ending: str) -> dict[str, Snippet]:
    """Write snippets to files; return which is in which."""
    files = {f"{number}.{ending}": snippet for number, snippet in enumerate(snippets)}
    for name, snippet in files.items():
        (scratch / name).write_text(snippet.text, encoding="utf-8")
    return files


def _run(scratch: str, *command: str) -> str:
    """What a linter prints in a directory.

    Raises:
        RuntimeError: it could not do its work.
    """
    ended = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    # What does not parse has been found by ruff check; its formatter only counts it.
    if not ended.stdout and FORMAT not in command:
        raise RuntimeError(f"{command[0]} failed: {ended.stderr}")
    return ended.stdout

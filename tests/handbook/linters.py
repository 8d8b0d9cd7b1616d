"""Ruff and squawk, each run once over the code of all pages."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from handbook.block import Block

RUFF, FORMAT, SQUAWK = "ruff", "format", "squawk"
OLDEST_POSTGRESQL = "14.0"
# As wide as the column of the page.
LINE_LENGTH = "72"
# The runner sets lock_timeout itself, for every migration; a statement may take its time.
NOT_NEEDED = ("require-lock-timeout", "require-statement-timeout")
# A page may assert.
ARGUMENTS = (
    "--select",
    "A,B,C4,E,F,I,PIE,RUF,S,SIM,UP,W",
    "--ignore",
    "S101",
    "--line-length",
    "120",
    "--target-version",
    "py311",
    "--config",
    "lint.isort.known-first-party = ['src']",
)
DIFF_FILE = re.compile(r"^--- (.*)$")
DIFF_LINES = re.compile(r"^@@ -(\d+)")


@dataclass(frozen=True)
class Snippet:
    """Code of a page for one linter: its text, and the line of the page for each of its lines."""

    block: Block
    text: str
    numbers: list[int]
    ignored: frozenset[str] = frozenset()
    in_transaction: bool = False

    def line(self, index: int) -> int:
        return self.numbers[min(max(index, 0), len(self.numbers) - 1)]


def ruff(texts: list[str]) -> Iterator[tuple[int, int, str, str, str]]:
    """Ruff's findings: the text's number, the line in it from 0, and the tool, rule and message."""
    if not texts:
        return
    files = {f"{number}.py": text for number, text in enumerate(texts)}
    command = [sys.executable, "-m", "ruff"]
    checked, formatted = _run(
        files,
        [*command, "check", "--isolated", "--no-cache", *ARGUMENTS, "--output-format", "json"],
        [*command, "format", "--isolated", "--no-cache", "--line-length", LINE_LENGTH, "--diff"],
    )
    for entry in json.loads(checked):
        rule = entry["code"] or "invalid-syntax"
        yield int(Path(entry["filename"]).stem), entry["location"]["row"] - 1, RUFF, rule, entry["message"]
    yield from _differences(formatted)


def _differences(diff: str) -> Iterator[tuple[int, int, str, str, str]]:
    number = 0
    hunk: list[str] = []
    start = 0
    for line in [*diff.split("\n"), "@@ -0"]:
        if match := DIFF_LINES.match(line) or DIFF_FILE.match(line):
            if any(text.startswith(("-", "+")) for text in hunk):
                first = next(index for index, text in enumerate(hunk) if text.startswith(("-", "+")))
                yield number, start + first - 1, RUFF, FORMAT, "ruff would format this otherwise:\n" + "\n".join(hunk)
            hunk = []
            if line.startswith("---"):
                number, start = int(Path(match[1]).stem), 0
            else:
                start = int(match[1])
        elif start:
            hunk.append(line)


def squawk(snippets: list[Snippet]) -> Iterator[tuple[int, int, str, str, str]]:
    """Squawk's findings, as those of ruff."""
    for in_transaction in (False, True):
        chosen = [number for number, snippet in enumerate(snippets) if snippet.in_transaction is in_transaction]
        if not chosen:
            continue
        files = {f"{number}.sql": snippets[number].text for number in chosen}
        command = [str(Path(sys.executable).with_name("squawk")), "--reporter", "json"]
        command += ["--pg-version", OLDEST_POSTGRESQL, *(f"--exclude={rule}" for rule in NOT_NEEDED)]
        command += ["--assume-in-transaction"] if in_transaction else []
        (checked,) = _run(files, [*command, "*.sql"])
        for entry in json.loads(checked):
            message = " ".join(filter(None, (entry["message"], entry["help"])))
            yield int(Path(entry["file"]).stem), entry["line"], SQUAWK, entry["rule_name"], message


# A shell of its own unpacks the files, runs the linters and removes the files again, also when this process is killed.
_SHELL = """
for place in /dev/shm "${TMPDIR:-/tmp}"; do
    if [ -w "$place" ] && scratch=$(TMPDIR="$place" mktemp -d); then break; fi
done
trap 'rm -rf "$scratch"' EXIT
# A shell that a signal ends does not come to that; one of them is that nobody reads any more.
trap 'exit 1' HUP INT TERM
trap '' PIPE
cd "$scratch" && tar -xf - || exit 1
"""
_SEPARATOR = "\x1e"


def _run(files: Mapping[str, str], *commands: list[str]) -> list[str]:
    """Run commands in a directory with some files; return what each prints.

    Raises:
        RuntimeError: one of them could not do its work.
    """
    from src.db import server  # noqa: PLC0415 - measured by then

    script = _SHELL + "".join(f"{shlex.join(command)}; printf '{_SEPARATOR}'\n" for command in commands)
    # What matches a pattern is for squawk to find: a command line has no room for thousands of names. The shell has not
    # the mark by which the run's processes are ended, so that it can remove what it has unpacked.
    environment = {name: value for name, value in os.environ.items() if name != server.MARKER}
    with subprocess.Popen(
        ["sh", "-c", script],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as shell:
        # Not subprocess.run, which would kill the shell where this process is interrupted.
        printed, complaint = shell.communicate(_archive(files))
    outputs = printed.decode().split(_SEPARATOR)[:-1]
    # What does not parse has been found by ruff check; its formatter only counts it.
    if len(outputs) < len(commands) or not all(outputs[:1]):
        raise RuntimeError(f"{commands[0][0]} failed: {complaint.decode()}")
    return outputs


def _archive(files: Mapping[str, str]) -> bytes:
    with io.BytesIO() as content:
        with tarfile.open(fileobj=content, mode="w") as archive:
            for name, text in files.items():
                data = text.encode()
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return content.getvalue()

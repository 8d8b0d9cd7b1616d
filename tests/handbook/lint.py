"""Examples are code too: the pages' Python passes ruff, and the SQL that they run passes squawk.

A page that shows an unsafe way on purpose names the rule in a comment above the block: `<!-- squawk: RULE -->`, or
`<!-- ruff: RULE -->`, where `format` is a rule as well. A comment for a rule that the block keeps is a finding too.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from handbook.baseline import DIRECTORY
from handbook.block import Block, Kind
from handbook.failure import BlockError
from handbook.page import Page
from handbook.python import read_session

RUFF, FORMAT, SQUAWK = "ruff", "format", "squawk"
OLDEST_POSTGRESQL = "14.0"
# As wide as the column of the page.
LINE_LENGTH = "72"
# In a page's namespace names come from the blocks above, and await stands where it likes.
BETWEEN_BLOCKS = {"F401", "F704", "F811", "F821", "E402", "B018", "PLE1142"}
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
METHODS = {"execute", "executemany", "fetch", "fetchrow", "fetchval"}
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


@dataclass(frozen=True)
class Finding:
    """What a linter says of a line of a page."""

    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"


def findings_of(pages: Mapping[Path, Page]) -> dict[Path, list[Finding]]:
    """What ruff and squawk find on pages.

    Args:
        pages: the pages by their paths.
    """
    python = [(path, snippet) for path, page in pages.items() for block in page for snippet in _python_of(block)]
    sql = [(path, snippet) for path, page in pages.items() for block in page for snippet in _sql_of(block)]
    found: dict[Path, list[Finding]] = {path: [] for path in pages}
    broken: set[tuple[int, str]] = set()

    def sort(owners: list[tuple[Path, Snippet]], reports: Iterable[tuple[int, int, str, str, str]]) -> None:
        for number, index, tool, rule, message in reports:
            path, snippet = owners[number]
            name = f"{tool}:{rule}"
            broken.add((id(snippet.block), name))
            if rule not in snippet.ignored and name not in snippet.block.allowed:
                found[path].append(Finding(snippet.line(index), f"{tool} {rule}", message))

    sort(python, _ruff([snippet.text for _, snippet in python]))
    sort(sql, _squawk([snippet for _, snippet in sql]))
    for path, page in pages.items():
        for block in page:
            for name in sorted(block.allowed):
                if (id(block), name) not in broken:
                    rule = name.partition(":")[2]
                    found[path].append(Finding(block.line, name.replace(":", " "), f"the block keeps {rule}"))
        found[path].sort(key=lambda finding: finding.line)
    return found


def lintable(block: Block) -> bool:
    """Whether a linter reads this block."""
    return block.kind in (Kind.PYTHON, Kind.PYCON, Kind.SQL) or _is_python_file(block) or bool(block.allowed)


def _is_python_file(block: Block) -> bool:
    return block.kind is Kind.FILE and block.path.endswith(".py")


def _numbers(block: Block) -> list[int]:
    return list(range(block.first_line, block.first_line + block.text.count("\n") + 1))


def _python_of(block: Block) -> Iterator[Snippet]:
    if block.kind is Kind.PYTHON:
        yield Snippet(block, block.text + "\n", _numbers(block), frozenset(BETWEEN_BLOCKS))
    elif _is_python_file(block):
        yield Snippet(block, block.text + "\n", _numbers(block))
    elif block.kind is Kind.PYCON:
        try:
            exchanges = list(read_session(block))
        except BlockError:
            return  # reported where the block runs
        for exchange in exchanges:
            lines = exchange.source.rstrip().count("\n") + 1
            numbers = list(range(exchange.line, exchange.line + lines))
            yield Snippet(block, exchange.source.rstrip() + "\n", numbers, frozenset(BETWEEN_BLOCKS))


def _sql_of(block: Block) -> Iterator[Snippet]:
    if block.kind is Kind.SQL:
        lines = ["" if line.startswith("\\") else line for line in block.text.split("\n")]
        yield Snippet(block, "\n".join(lines) + "\n", _numbers(block))
    elif block.kind is Kind.PYTHON or _is_python_file(block):
        migration = _is_python_file(block) and Path(block.path).parent.name == DIRECTORY.name
        try:
            tree = ast.parse(block.text)
        except SyntaxError:
            return  # ruff says so
        transactional = migration and not _sets_transactional_false(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                text = _literal(node.args[0]) if node.args else None
                if text is not None:
                    start = block.first_line + node.args[0].lineno - 1
                    numbers = list(range(start, start + text.count("\n") + 1))
                    yield Snippet(block, text + "\n", numbers, in_transaction=transactional)


def _sets_transactional_false(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "transactional" for target in node.targets)
        and isinstance(node.value, ast.Constant)
        and node.value.value is False
        for node in tree.body
    )


def _literal(node: ast.expr) -> str | None:
    """The text of a string that stands in the source; what an f-string puts in is taken for a name."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
    return None


def _ruff(texts: list[str]) -> Iterator[tuple[int, int, str, str, str]]:
    """Ruff's findings: the text's number, the line in it from 0, and the tool, rule and message."""
    if not texts:
        return
    files = {f"{number}.py": text for number, text in enumerate(texts)}
    ruff = [sys.executable, "-m", "ruff"]
    checked, formatted = _run(
        files,
        [*ruff, "check", "--isolated", "--no-cache", *ARGUMENTS, "--output-format", "json"],
        [*ruff, "format", "--isolated", "--no-cache", "--line-length", LINE_LENGTH, "--diff"],
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


def _squawk(snippets: list[Snippet]) -> Iterator[tuple[int, int, str, str, str]]:
    """Squawk's findings, as those of ruff."""
    for in_transaction in (False, True):
        chosen = [number for number, snippet in enumerate(snippets) if snippet.in_transaction is in_transaction]
        if not chosen:
            continue
        files = {f"{number}.sql": snippets[number].text for number in chosen}
        squawk = [str(Path(sys.executable).with_name("squawk")), "--reporter", "json"]
        squawk += ["--pg-version", OLDEST_POSTGRESQL, *(f"--exclude={rule}" for rule in NOT_NEEDED)]
        squawk += ["--assume-in-transaction"] if in_transaction else []
        (checked,) = _run(files, [*squawk, "*.sql"])
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

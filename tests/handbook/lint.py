"""Examples are code too: the pages' Python passes ruff, and the SQL that they run passes squawk.

A page that shows an unsafe way on purpose names the rule in a comment above the block: `<!-- squawk: RULE -->`, or
`<!-- ruff: RULE -->`, where `format` is a rule as well. A comment for a rule that the block keeps is a finding too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from handbook.baseline import DIRECTORY
from handbook.block import Block, BlockError, Kind
from handbook.exchange import exchanges_of
from handbook.linters import Snippet, ruff, squawk
from handbook.page import Page

# In a page's namespace names come from the blocks above, and await stands where it likes.
BETWEEN_BLOCKS = frozenset({"F401", "F704", "F811", "F821", "E402", "B018", "PLE1142"})
METHODS = {"execute", "executemany", "fetch", "fetchrow", "fetchval"}


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

    Arguments:
        pages: the pages by their paths.
    """
    python = [snippet for path, page in pages.items() for block in page for snippet in _python_of(path, block)]
    sql = [snippet for path, page in pages.items() for block in page for snippet in _sql_of(path, block)]
    found: dict[Path, list[Finding]] = {path: [] for path in pages}
    broken: set[tuple[int, str]] = set()
    for report in [*ruff(python), *squawk(sql)]:
        snippet, name = report.snippet, f"{report.tool}:{report.rule}"
        broken.add((id(snippet.block), name))
        if report.rule not in snippet.ignored and name not in snippet.block.allowed:
            last = snippet.line + snippet.text.rstrip("\n").count("\n")
            line = min(snippet.line + report.index, last)
            found[snippet.path].append(Finding(line, f"{report.tool} {report.rule}", report.message))
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


def _python_of(path: Path, block: Block) -> Iterator[Snippet]:
    if block.kind is Kind.PYTHON:
        yield Snippet(path, block, block.text + "\n", block.first_line, BETWEEN_BLOCKS)
    elif _is_python_file(block):
        yield Snippet(path, block, block.text + "\n", block.first_line)
    elif block.kind is Kind.PYCON:
        with suppress(BlockError):  # reported where the block runs
            for exchange in exchanges_of(block):
                yield Snippet(path, block, exchange.text.rstrip() + "\n", exchange.line, BETWEEN_BLOCKS)


def _sql_of(path: Path, block: Block) -> Iterator[Snippet]:
    if block.kind is Kind.SQL:
        lines = ["" if line.startswith("\\") else line for line in block.text.split("\n")]
        yield Snippet(path, block, "\n".join(lines) + "\n", block.first_line)
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
                    yield Snippet(path, block, text + "\n", start, in_transaction=transactional)


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

"""Lies about Python: a statement that is missing, and other strings and numbers."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import replace

from lies import sql
from lies.lie import Edit, altered, words

# How long something waits is not told: the page shows what has happened by then.
WAITS = {"sleep", "timeout", "wait", "wait_for", "timeout_at"}
PAUSE = re.compile(r"(?i)pause|timeout|delay")
# What is left open ends with the page, as it ends with the reader's Python.
CLOSES = {"close", "terminate", "cancel", "shutdown", "unlink", "remove"}
BOUNDS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
OPENING = re.compile(r"(?s)([a-zA-Z]*)('''|\"\"\"|'|\")(.*)")


def edits(text: str) -> Iterator[Edit]:
    """Every lie about a text of Python; none about one that does not parse."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    lines = _Lines(text)
    yield from missing_statements(tree, lines)
    yield from other_literals(tree, lines)


def literals(text: str) -> Iterator[Edit]:
    """The lies about the strings and numbers of a text of Python."""
    return (edit for edit in edits(text) if edit.kind != "statement")


class _Lines:
    """A text whose places Python gives as a line and a column of bytes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def bytes_place(self, line: int, column: int) -> int:
        """The place for what `ast` says."""
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def place(self, position: tuple[int, int]) -> int:
        """The place for what `tokenize` says."""
        return self.starts[position[0] - 1] + position[1]


def missing_statements(tree: ast.Module, lines: _Lines) -> Iterator[Edit]:
    """Each statement dropped, those inside others too."""
    for parent in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(parent, name, None)
            if isinstance(body, list):
                for statement in body:
                    if isinstance(statement, ast.stmt) and not _says_nothing(statement):
                        yield _without(statement, len(body) == 1 and not isinstance(parent, ast.Module), lines)


def _without(statement: ast.stmt, alone: bool, lines: _Lines) -> Edit:
    decorators = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
    start = lines.starts[first - 1]
    indented = lines.lines[first - 1]
    width = len(indented) - len(indented.lstrip())
    end = lines.bytes_place(statement.end_lineno or first, statement.end_col_offset or 0)
    # The line goes with the statement, if nothing else stands on it.
    rest = lines.text[end:].split("\n", 1)
    if alone or rest[0].strip():
        return Edit("statement", start + width, end, "pass")
    return Edit("statement", start, end + len(rest[0]) + (len(rest) > 1), "")


def _says_nothing(statement: ast.stmt) -> bool:
    """Whether a statement only describes, waits or tidies up."""
    if isinstance(statement, ast.Pass | ast.Global | ast.Nonlocal):
        return True
    if isinstance(statement, ast.While):
        return all(_says_nothing(inner) for inner in statement.body)
    if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
        return True
    if not isinstance(statement, ast.Expr):
        return False
    value = statement.value.value if isinstance(statement.value, ast.Await) else statement.value
    if isinstance(value, ast.Constant):
        return True
    return isinstance(value, ast.Call) and _name(value.func) in WAITS | CLOSES


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def other_literals(tree: ast.Module, lines: _Lines) -> Iterator[Edit]:
    """Each string and number altered, those of SQL word by word; True for False, and the other way round."""
    silent = _silent_places(tree, lines)
    for start, end in _literals(lines):
        if start in silent:
            continue
        literal = lines.text[start:end]
        if literal in ("True", "False"):
            yield Edit("value", start, end, str(literal != "True"))
        elif literal[0].isdigit():
            yield Edit("number", start, end, altered(literal))
        else:
            yield from _other_strings(literal, start)


def _silent_places(tree: ast.Module, lines: _Lines) -> set[int]:
    """Where literals stand that tell the reader nothing: docstrings, waits, and bounds that hold with a margin."""
    found: set[int] = set()

    def note(node: ast.AST) -> None:
        found.update(
            lines.bytes_place(inner.lineno, inner.col_offset)
            for inner in ast.walk(node)
            if isinstance(inner, ast.Constant)
        )

    for node in ast.walk(tree):
        if _waits(node) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            note(node)
        elif isinstance(node, ast.Compare) and any(isinstance(operator, BOUNDS) for operator in node.ops):
            for side in [node.left, *node.comparators]:
                if isinstance(side, ast.Constant) and not isinstance(side.value, str):
                    note(side)
    return found


def _waits(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return _name(node.func) == "sleep"
    if isinstance(node, ast.keyword):
        return node.arg in WAITS
    return isinstance(node, ast.Assign) and PAUSE.search(_name(node.targets[0])) is not None


def _literals(lines: _Lines) -> Iterator[tuple[int, int]]:
    """Where strings, numbers and truth values start and end. A formatted string is one, however Python reads it."""
    formatted = 0
    begin = 0
    for token in tokenize.generate_tokens(io.StringIO(lines.text).readline):
        kind = tokenize.tok_name[token.type]
        start, end = lines.place(token.start), lines.place(token.end)
        if kind == "FSTRING_START":
            formatted += 1
            begin = start if formatted == 1 else begin
        elif kind == "FSTRING_END":
            formatted -= 1
            if not formatted:
                yield begin, end
        elif not formatted and (kind in ("STRING", "NUMBER") or token.string in ("True", "False")):
            yield start, end


def _other_strings(token: str, offset: int) -> Iterator[Edit]:
    match = OPENING.match(token)
    assert match is not None
    prefix, quote, rest = match.groups()
    text = rest.removesuffix(quote)
    offset += len(prefix) + len(quote)
    if "f" in prefix.lower():
        text = _without_fields(text)
    if sql.looks_like_sql(text):
        yield from (edit.moved(offset) for edit in sql.edits(text))
    else:
        yield from (replace(edit.moved(offset), kind="string") for edit in words(text))


def _without_fields(text: str) -> str:
    """A formatted string's text with blanks for its fields, which are code."""
    found = list(text)
    depth = 0
    for place, character in enumerate(text):
        if character == "{" and text[place : place + 2] != "{{" and text[place - 1 : place] != "{":
            depth += 1
        if depth:
            found[place] = " "
        if character == "}" and depth:
            depth -= 1
    return "".join(found)

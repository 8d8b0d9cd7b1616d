"""The mutants of a source file, as mutmut's operators make them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import libcst as cst
from mutmut.mutation.file_mutation import create_mutations


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Arguments:
        file: the file's path below the checkout.
        start: the place of the first character that goes.
        end: the place after the last one.
        text: what takes their place.
        line: the line of the file on which the change starts.
        before: the changed lines as they are, each with single spaces.
        after: the same as they then are.
    """

    file: str
    start: int
    end: int
    text: str
    line: int
    before: str
    after: str

    def apply(self, source: str) -> str:
        """The file's text with the change in it."""
        return source[: self.start] + self.text + source[self.end :]

    @property
    def name(self) -> tuple[str, str, str]:
        """What names it wherever its line is: its file, and the changed lines before and after."""
        return self.file, self.before, self.after


def mutants_of(file: str, source: str) -> list[Mutant]:
    """The mutants of a file, in the order of its text; none of `__all__`, which only declares.

    Arguments:
        file: the file's path below the checkout.
        source: what it holds.
    """
    module, mutations, *_ = create_mutations(file, source)
    declared = {
        line
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for line in statement_lines(source, node.lineno)
    }
    found = set()
    strings = set()
    for mutation in mutations:
        original = mutation.original_node
        # The first change of a string puts XX around it; who notices that not, notices no other case either.
        if original not in strings:
            changed = module.deep_replace(original, mutation.mutated_node)
            assert isinstance(changed, cst.Module)
            found.add(_mutant(file, source, changed.code))
        if isinstance(original, cst.SimpleString):
            strings.add(original)
    ordered = sorted(found, key=lambda one: (one.start, one.end, one.text))
    return [mutant for mutant in ordered if mutant.line not in declared and _parses(mutant, source)]


def _mutant(file: str, source: str, changed: str) -> Mutant:
    """The mutant that makes one text of another."""
    start = _common(source, changed)
    same = min(_common(source[::-1], changed[::-1]), min(len(source), len(changed)) - start)
    end = len(source) - same
    first, last = source.rfind("\n", 0, start) + 1, source.find("\n", max(end - 1, start))
    last = last if last >= 0 else len(source)
    before, after = source[first:last], changed[first : last + len(changed) - len(source)]
    line = source.count("\n", 0, start) + 1
    return Mutant(file, start, end, changed[start : len(changed) - same], line, _one_line(before), _one_line(after))


def _common(one: str, other: str) -> int:
    """How many characters two texts have in common at their starts."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _parses(mutant: Mutant, source: str) -> bool:
    if mutant.before == mutant.after and not mutant.text.strip():
        return False
    try:
        ast.parse(mutant.apply(source))
    except SyntaxError:
        return False
    return True


def statement_lines(source: str, line: int) -> range:
    """The lines of the smallest statement that a line is part of; of one that holds others, those above them.

    The line of a function's name stands for the whole function: what it says takes effect when that is called.
    """
    found = range(line, line + 1)
    for node in _around(ast.parse(source).body, line):
        last = node.end_lineno or node.lineno
        if isinstance(node, ast.Match):
            last = node.cases[0].pattern.lineno - 1
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and hasattr(node, "body"):
            last = node.body[0].lineno - 1
        found = range(node.lineno, max(last, node.lineno) + 1)
    return found


def is_in_function(source: str, line: int) -> bool:
    """Whether a line runs when a function is called, and not when its file is imported."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in _around(ast.parse(source).body, line)
    )


def _around(nodes: Iterable[ast.AST], line: int) -> Iterator[Any]:
    """The statements that a line is part of, the outermost first."""
    for node in nodes:
        if isinstance(node, ast.match_case):
            yield from _around(node.body, line)
        elif isinstance(node, ast.stmt | ast.excepthandler) and node.lineno <= line <= (node.end_lineno or 0):
            yield node
            yield from _around(ast.iter_child_nodes(node), line)

"""The mutants of a source file, as mutmut's operators make them."""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation import mutators
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.pragma_handling import get_ignored_lines


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
    wrapper = MetadataWrapper(cst.parse_module(source))
    visitor = MutationVisitor(OPERATORS, get_ignored_lines(file, source, wrapper, None))
    wrapper.visit(visitor)
    places = wrapper.resolve(PositionProvider)
    text = _Text(file, source)
    starts = text.starts
    found = set()
    for mutation in visitor.mutations:
        place = places[mutation.original_node]
        span = (starts[place.start.line - 1] + place.start.column, starts[place.end.line - 1] + place.end.column)
        before, after = (wrapper.module.code_for_node(node) for node in (mutation.original_node, mutation.mutated_node))
        mutant = text.mutant(span, before, after)
        if mutant is None:
            changed = wrapper.module.deep_replace(mutation.original_node, mutation.mutated_node)
            assert isinstance(changed, cst.Module)
            mutant = text.mutant((0, len(source)), source, changed.code)
            assert mutant is not None
        found.add(mutant)
    declared = {
        line
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for line in statement_lines(source, node.lineno)
    }
    ordered = sorted(found, key=lambda one: (one.start, one.end, one.text))
    return [mutant for mutant in ordered if mutant.line not in declared and _parses(mutant, source)]


@dataclass(frozen=True)
class _Text:
    """A file that is changed."""

    file: str
    source: str

    @cached_property
    def starts(self) -> list[int]:
        """Where its lines start."""
        return list(accumulate((len(line) for line in self.source.splitlines(keepends=True)), initial=0))

    def mutant(self, span: tuple[int, int], before: str, after: str) -> Mutant | None:
        """The mutant that has one code in the place of another; None where the source has that code in other words.

        A node's place is without the parentheses and spaces around it, which its code has; and the code of a node of
        several lines is without the indentation of the block that it stands in.
        """
        source = self.source
        inside = before.find(source[slice(*span)])
        if inside < 0:
            return None
        first = _common(before, after)
        last = min(_common(before[::-1], after[::-1]), len(before) - first, len(after) - first)
        start = span[0] - inside + first
        end = start + len(before) - first - last
        new = after[first : len(after) - last]
        if source[start:end] != before[first : len(before) - last]:
            return None
        line_start, line_end = source.rfind("\n", 0, start) + 1, source.find("\n", max(end - 1, start))
        old = source[line_start : line_end if line_end >= 0 else len(source)]
        changed = old[: start - line_start] + new + old[end - line_start :]
        line = bisect_right(self.starts, start)
        return Mutant(self.file, start, end, new, line, _one_line(old), _one_line(changed))


def _parses(mutant: Mutant, source: str) -> bool:
    if mutant.before == mutant.after and not mutant.text.strip():
        return False
    try:
        ast.parse(mutant.apply(source))
    except SyntaxError:
        return False
    return True


def _common(one: str, other: str) -> int:
    """How many characters two texts have in common at their starts."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _string(node: Any) -> Iterator[Any]:
    """A text with XX around it; who does not notice that notices neither lower nor upper case."""
    yield from islice(mutators.operator_string(node), 1)


OPERATORS: list[tuple[Any, Any]] = [
    (kind, _string if operator is mutators.operator_string else operator)
    for kind, operator in mutators.mutation_operators
]


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

"""Mutation: the mutants of a source file, made by mutmut's operators and a few of our own.

Of mutmut's operators those are left out that change what another one changes already, or what a page cannot show:

- of a text's three forms the one with XX around it stands for all, since lower and upper case show at the same place;
- an argument by position becomes None, one by keyword is dropped; the other way round is an error of the call itself;
- an argument, or what is assigned, becomes None only where nothing within it changes: who notices a part notices the
  whole.

Added is what mutmut leaves alone: the first words of f-strings and of texts in triple quotes, conditions that are a
name or a call, and statements that only call something.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper
from mutmut.mutation import mutators

from mutants.mutant import MARK, Mutant

Operator = Callable[[Any], Iterable[Any]]

# What only declares: it does nothing when it runs, or nothing but tell a type checker.
DECLARATIONS = frozenset({"__all__"})
DECLARING_CALLS = frozenset({"TypeVar", "cast"})
DECLARING_TYPES = frozenset({"TypeAlias"})
# Calls whose arguments cannot be anything else: None in their place is a TypeError.
TYPED_CALLS = frozenset({"isinstance", "len"})
EXCLUDED = re.compile(r"#\s*pragma: no (cover|mutate)")
WORD = re.compile(r"[A-Za-z]")
NONE = "None"


def mutants_of(file: str, source: bytes) -> list[Mutant]:
    """The mutants of a source file, in the order of its text.

    Args:
        file: its path below `backend/src`.
        source: what it holds.
    """
    found = _without_wholes(sorted(_Walk(file, source).mutants(), key=lambda m: (m.start, m.end, m.text)))
    seen: Counter[tuple[str, str, str]] = Counter()
    numbered = []
    for mutant in found:
        key = (mutant.function, mutant.before, mutant.after)
        seen[key] += 1
        numbered.append(replace(mutant, number=seen[key]))
    return numbered


def _without_wholes(mutants: list[Mutant]) -> list[Mutant]:
    """The mutants without those that put None in the place of something within which another one changes."""
    return [mutant for mutant in mutants if mutant.text != NONE or not any(_within(one, mutant) for one in mutants)]


def _within(one: Mutant, whole: Mutant) -> bool:
    smaller = (one.start, one.end) != (whole.start, whole.end) or one.text != NONE
    return smaller and whole.start <= one.start and one.end <= whole.end


class _Walk:
    """One walk through the syntax tree of a file."""

    def __init__(self, file: str, source: bytes) -> None:
        self.file = file
        self.source = source
        wrapper = MetadataWrapper(cst.parse_module(source))
        self.module = wrapper.module
        self.spans = wrapper.resolve(ByteSpanPositionProvider)
        self.lines = source.decode().split("\n")

    def mutants(self) -> Iterator[Mutant]:
        seen = set()
        for node, function, statement in self._nodes(self.module, "", (1, 1)):
            for replaced, changed in _changes(node):
                mutant = self._mutant(*self._edit(replaced, changed), function, statement)
                edit = (mutant.start, mutant.end, mutant.text)
                if mutant.before != mutant.after and edit not in seen and self._parses(mutant):
                    seen.add(edit)
                    yield mutant

    def _nodes(
        self, node: Any, function: str, statement: tuple[int, int]
    ) -> Iterator[tuple[Any, str, tuple[int, int]]]:
        """Every node that may change, with the name of its function and the lines of its statement."""
        if _declares(node):
            return
        if isinstance(node, cst.BaseCompoundStatement | cst.SimpleStatementLine | cst.ExceptHandler | cst.MatchCase):
            statement = self._header(node)
            if any(EXCLUDED.search(line) for line in self.lines[statement[0] - 1 : statement[1]]):
                return
        yield node, function, statement
        inner = function
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            inner = f"{function}.{node.name.value}" if function else node.name.value
        # The first argument of cast is for the type checker.
        declared = node.args[:1] if isinstance(node, cst.Call) and _name(node.func) == "cast" else ()
        for child in node.children:
            if child not in declared:
                yield from self._nodes(child, inner, statement)

    def _header(self, node: Any) -> tuple[int, int]:
        """The lines of a statement; of one that holds others, those before them."""
        span = self.spans[node]
        end = span.start + span.length
        if isinstance(body := getattr(node, "body", None), cst.BaseSuite):
            end = self.spans[body].start
        # The body's place is that of its first line of code; comments above that are not of the header.
        header = re.sub(rb"(\s*\n\s*#[^\n]*|\s)*\Z", b"", self.source[span.start : end])
        first, last = self._line(span.start), self._line(span.start + len(header))
        decorators = getattr(node, "decorators", ())
        return min([first, *(self._line(self.spans[decorator].start) for decorator in decorators)]), last

    def _line(self, offset: int) -> int:
        return self.source.count(b"\n", 0, offset) + 1

    def _edit(self, replaced: Any, changed: Any) -> tuple[int, int, bytes]:
        """Where the source changes, and the bytes that take the place of what is there: as few as can be."""
        span = self.spans[replaced]
        if parentheses := getattr(replaced, "lpar", ()):
            # An expression's place is without the parentheses around it, which its code has.
            replaced = replaced.with_changes(lpar=(), rpar=())
            if getattr(changed, "lpar", ()) == parentheses:
                changed = changed.with_changes(lpar=(), rpar=())
        old, new = (self.module.code_for_node(node).encode() for node in (replaced, changed))
        if self.source[span.start : span.start + span.length] == old.strip():
            # An operator's place is without the spaces around it, which its code has.
            old, new = old.strip(), new.strip()
        first = _common(old, new)
        last = _common(old[first:][::-1], new[first:][::-1])
        # Whole characters: those of more bytes than one are compared byte by byte above.
        while first and _continues(old[first : first + 1] or new[first : first + 1]):
            first -= 1
        while last and _continues(old[len(old) - last : len(old) - last + 1]):
            last -= 1
        places = self._places(old, span.start, span.start + span.length)
        return places[first], places[len(old) - last], new[first : len(new) - last]

    def _places(self, code: bytes, start: int, end: int) -> list[int]:
        """Where each byte of a node's code is in the source: the code lacks the indentation of its further lines."""
        if self.source[start:end] == code:
            return list(range(start, end + 1))
        places = []
        for byte in code:
            while start < end and self.source[start] != byte:
                start += 1
            places.append(start)
            start += 1
        return [*places, end]

    def _mutant(self, start: int, end: int, new: bytes, function: str, statement: tuple[int, int]) -> Mutant:
        first = self.source.rfind(b"\n", 0, start) + 1
        last = end if self.source[end - 1 : end] == b"\n" and end > start else self.source.find(b"\n", end)
        last = len(self.source) if last < 0 else last
        before, after = self.source[first:last], self.source[first:start] + new + self.source[end:last]
        line = self._line(start)
        return Mutant(
            self.file, function, start, end, new.decode(), line, statement, _one_line(before), _one_line(after)
        )

    def _parses(self, mutant: Mutant) -> bool:
        try:
            ast.parse(mutant.apply(self.source))
        except SyntaxError:
            return False
        return True


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two texts have in common at their starts."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _continues(byte: bytes) -> bool:
    """Whether a byte is not the first of its character in UTF-8."""
    return bool(byte) and byte[0] & 0xC0 == 0x80


def _one_line(text: bytes) -> str:
    return " ".join(text.decode().split())


def _declares(node: Any) -> bool:
    """Whether a node and all below it are left as they are."""
    if isinstance(node, cst.Annotation | cst.Import | cst.ImportFrom):
        return True
    if isinstance(node, cst.Expr):
        return isinstance(node.value, cst.SimpleString | cst.ConcatenatedString)
    if isinstance(node, cst.If):
        return _name(node.test) == "TYPE_CHECKING"
    if isinstance(node, cst.Assign):
        return any(_name(target.target) in DECLARATIONS for target in node.targets) or (
            isinstance(node.value, cst.Call) and _name(node.value.func) == "TypeVar"
        )
    if isinstance(node, cst.AnnAssign):
        return _name(node.annotation.annotation) in DECLARING_TYPES
    return False


def _name(node: Any) -> str:
    return node.value if isinstance(node, cst.Name) else ""


def _changes(node: Any) -> Iterator[tuple[Any, Any]]:
    """What may change of a node, each part with what may take its place."""
    for kind, operator in mutators.mutation_operators:
        if isinstance(node, kind):
            yield from ((node, changed) for changed in _CHOICES.get(operator, operator)(node))
    for own, operator in _OPERATORS:
        if isinstance(node, own):
            yield from ((node, changed) for changed in operator(node))
    if isinstance(node, cst.If | cst.While | cst.CompIf | cst.Assert):
        yield from ((node.test, changed) for changed in _opposite(node.test))


def _string(node: Any) -> Iterator[Any]:
    yield from list(mutators.operator_string(node))[:1]
    if isinstance(node, cst.SimpleString) and len(node.quote) == 3:
        text = f"{node.prefix}{node.quote}{MARK}{node.raw_value}{node.quote}"
        yield node.with_changes(value=text)


def _words(node: Any) -> Iterator[Any]:
    for part in node.parts:
        if isinstance(part, cst.FormattedStringText) and WORD.search(part.value):
            yield node.with_deep_changes(part, value=f"{MARK}{part.value}")
            return


def _arguments(node: Any) -> Iterator[Any]:
    if _name(node.func) in TYPED_CALLS | DECLARING_CALLS:
        return
    for changed in mutators.operator_arg_removal(node):
        if len(changed.args) == len(node.args):
            (place,) = (i for i, arg in enumerate(node.args) if arg is not changed.args[i])
            if node.args[place].keyword is None or len(node.args) == 1:
                yield changed
        elif not _drops_positional(node, changed):
            yield changed


def _drops_positional(node: Any, changed: Any) -> bool:
    kept = {id(arg) for arg in changed.args}
    return any(id(arg) not in kept and arg.keyword is None and not arg.star for arg in node.args)


def _opposite(test: Any) -> Iterator[Any]:
    """The opposite of a condition, unless another operator makes it."""
    if isinstance(test, cst.Comparison):
        operators = (cst.Is, cst.IsNot, cst.In, cst.NotIn, cst.Equal, cst.NotEqual)
        if len(test.comparisons) == 1 and isinstance(test.comparisons[0].operator, operators):
            return
    elif isinstance(test, cst.UnaryOperation) or _name(test) in ("True", "False"):
        return
    yield cst.UnaryOperation(cst.Not(), test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()]))


def _call(node: Any) -> Iterator[Any]:
    """Nothing in the place of a statement that only calls something."""
    value = node.value.expression if isinstance(node.value, cst.Await) else node.value
    if isinstance(value, cst.Call):
        yield cst.Pass()


_CHOICES: dict[Any, Operator] = {
    mutators.operator_string: _string,
    mutators.operator_arg_removal: _arguments,
}
_OPERATORS: tuple[tuple[Any, Operator], ...] = (
    (cst.FormattedString, _words),
    (cst.Expr, _call),
)

"""Memory: a change of a function's body, made in a module that a process has imported already.

The function stays what it is for all who have a reference to it, and gets other code. What a module does while it is
imported cannot be changed so: default values, decorators, constants.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from types import CodeType, FunctionType, ModuleType

from mutants.mutant import Mutant


@dataclass(frozen=True)
class Function:
    """A function of a source file that is in no other function.

    Args:
        name: its qualified name.
        line: the line that it starts on, with its first decorator, counted from 1.
        body: the first and the last line of its body.
    """

    name: str
    line: int
    body: tuple[int, int]

    def has(self, code: CodeType) -> bool:
        """Whether code is this function's."""
        return (code.co_qualname, code.co_firstlineno) == (self.name, self.line)


def function_of(mutant: Mutant, source: bytes) -> Function | None:
    """The function that has all of a mutant in its body; None where the mutant changes something else as well.

    Args:
        mutant: the mutant.
        source: the file that it is of, without the change.
    """
    first, last = mutant.statement
    return next((one for one in _functions(source) if one.body[0] <= first and last <= one.body[1]), None)


def change(module: ModuleType, mutant: Mutant, source: bytes) -> None:
    """Make a change in a module as it is now in this process.

    Args:
        module: the module that was made from the source.
        mutant: the change, in the body of a function.
        source: the file without the change.

    Raises:
        LookupError: the module has no such function any more.
    """
    function = function_of(mutant, source)
    if function is None:
        raise LookupError(f"{mutant.id} is in no function's body")
    changed = compile(mutant.apply(source), module.__file__ or "", "exec")
    code = next(code for code in _codes(changed) if function.has(code))
    found = [one for one in _held(module) if function.has(one.__code__)]
    if not found:
        raise LookupError(f"{module.__name__} has no {function.name}")
    for one in found:
        one.__code__ = code


@cache
def _functions(source: bytes) -> list[Function]:
    return list(_functions_in(ast.parse(source).body, ""))


def _functions_in(statements: Iterable[ast.stmt], within: str) -> Iterator[Function]:
    for statement in statements:
        if isinstance(statement, ast.ClassDef):
            yield from _functions_in(statement.body, f"{within}{statement.name}.")
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            line = min(one.lineno for one in (statement, *statement.decorator_list))
            last = statement.end_lineno or line
            # What stands on the line of the name may be a default value.
            yield Function(
                f"{within}{statement.name}", line, (max(statement.body[0].lineno, statement.lineno + 1), last)
            )


def _codes(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from _codes(inner)


def _held(module: ModuleType) -> Iterator[FunctionType]:
    """The functions that a module and its classes hold, those within decorators too."""
    left, classes = list(vars(module).values()), set()
    while left:
        value = left.pop()
        if isinstance(value, type) and value.__module__ == module.__name__ and value not in classes:
            classes.add(value)
            left += vars(value).values()
        elif isinstance(value, property):
            left += [one for one in (value.fget, value.fset, value.fdel) if one is not None]
        elif isinstance(value, FunctionType):
            yield value
        # staticmethod and classmethod have it as well.
        if isinstance(inner := getattr(value, "__wrapped__", None), FunctionType):
            left.append(inner)

"""The statements of a string of SQL, by their first words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORDS_KEPT = 4

# What may hold a semicolon or a keyword that is not one, then the words, then the semicolons.
_TOKEN = re.compile(
    r"""
    --[^\n]* | (?P<comment>/\*)
    | [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
    | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$
    | (?P<word>[^\W\d][\w$]*) | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")


def statements_of(sql: str) -> list[tuple[str, ...]]:
    """Return the first words of each statement, at most four, in lower case.

    Arguments:
        sql: one or more statements, separated by semicolons. Comments, literals and quoted names are passed over, and
            the statements inside a function's ``BEGIN ATOMIC ... END`` belong to that function.
    """
    statements: list[tuple[str, ...]] = []
    words: list[str] = []
    depth = 0
    for word in _words(sql):
        if word is not None:
            words.append(word)
            depth += _depth_of(words, depth)
        elif not depth:
            statements.append(tuple(words[:_WORDS_KEPT]))
            words = []
    statements.append(tuple(words[:_WORDS_KEPT]))
    return [statement for statement in statements if statement]


def _words(sql: str) -> Iterator[str | None]:
    """Yield the words, in lower case, and None for each semicolon."""
    position = 0
    while match := _TOKEN.search(sql, position):
        position = match.end()
        if match["comment"]:
            position = _comment_end(sql, position)
        elif match["word"]:
            yield match["word"].lower()
        elif match["end"]:
            yield None


def _comment_end(sql: str, position: int) -> int:
    """Return where a comment ends that began before a position; comments may be nested."""
    depth = 1
    while depth and (mark := _COMMENT_MARK.search(sql, position)):
        depth += 1 if mark[0] == "/*" else -1
        position = mark.end()
    return len(sql) if depth else position


def _depth_of(words: list[str], depth: int) -> int:
    """Return how a word changes the depth of ``BEGIN ATOMIC`` and the ``CASE`` expressions in it."""
    if words[-2:] == ["begin", "atomic"] or (depth and words[-1] == "case"):
        return 1
    return -1 if depth and words[-1] == "end" else 0


def controls_transaction(statement: tuple[str, ...]) -> bool:
    """Tell whether a statement begins or ends a transaction, or a part of one."""
    return (
        ends_transaction(statement)
        or statement[0] in ("begin", "savepoint", "release", "rollback")
        or statement[:2] == ("start", "transaction")
    )


def ends_transaction(statement: tuple[str, ...]) -> bool:
    """Tell whether a statement ends the transaction that it is in."""
    if statement[0] == "rollback":
        return "to" not in statement[1:3]
    return statement[0] in ("commit", "end", "abort") or statement[:2] == ("prepare", "transaction")

"""SQL as far as the runner and the rehearsal read it: the first words of each statement of a string."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORDS_KEPT = 4
_END = ";"

# First what may hold a semicolon or a keyword that is not one, then words and semicolons. A literal may be long:
# nothing of it is tried twice (++, *+). Read with plain repeats, 30 MB of one take 5 s instead of 0.05 s.
# A text, which Python compiles when it is first used. A start with nothing to do is spared that millisecond.
_LEXEME = r"""(?xs)
    --[^\n]* | (?P<comment>/\*)
    | [eE]'(?:[^'\\]++|\\.|'')*+' | '(?:[^']++|'')*+' | "(?:[^"]++|"")*+"
    | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$
    | (?P<word>[^\W\d][\w$]*) | ;
"""


def statements_of(sql: str) -> list[tuple[str, ...]]:
    """Return the first words of each statement, at most four, in lower case.

    Arguments:
        sql: one or more statements, separated by semicolons. Comments, literals and quoted names are passed over, and
            the statements inside a function's ``BEGIN ATOMIC ... END`` belong to that function.
    """
    statements: list[list[str]] = [[]]
    depth, previous = 0, ""
    for word in _words(sql):
        if word != _END:
            # BEGIN ATOMIC ends with END, and so does a CASE expression in it.
            if (previous, word) == ("begin", "atomic") or (depth and word == "case"):
                depth += 1
            elif depth and word == "end":
                depth -= 1
            previous = word
            if len(statements[-1]) < _WORDS_KEPT:
                statements[-1].append(word)
        elif not depth:
            statements.append([])
    return [tuple(words) for words in statements if words]


def _words(sql: str) -> Iterator[str]:
    """Yield the words, in lower case, and the semicolons."""
    token = re.compile(_LEXEME)
    position = 0
    while match := token.search(sql, position):
        position = match.end()
        if match["comment"]:
            position = _comment_end(sql, position)
        elif match["word"]:
            yield match["word"].lower()
        elif match[0] == _END:
            yield _END


def _comment_end(sql: str, position: int) -> int:
    """Return where a comment ends that began before a position; comments may be nested."""
    comment_mark = re.compile(r"/\*|\*/")
    depth = 1
    while depth and (mark := comment_mark.search(sql, position)):
        depth += 1 if mark[0] == "/*" else -1
        position = mark.end()
    return len(sql) if depth else position


def begins_transaction(statement: tuple[str, ...]) -> bool:
    """Tell whether a statement begins a transaction, after the end of another perhaps: COMMIT AND CHAIN."""
    return statement[0] == "begin" or statement[:2] == ("start", "transaction") or "chain" in statement


def ends_transaction(statement: tuple[str, ...]) -> bool:
    """Tell whether a statement ends the transaction that it is in."""
    if statement[0] == "rollback":
        return "to" not in statement[1:3]
    return statement[0] in ("commit", "end", "abort") or statement[:2] == ("prepare", "transaction")


def controls_transaction(statement: tuple[str, ...]) -> bool:
    """Tell whether a statement begins or ends a transaction, or a part of one."""
    return (
        begins_transaction(statement)
        or ends_transaction(statement)
        or statement[0] in ("savepoint", "release", "rollback")
    )

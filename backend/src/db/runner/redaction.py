"""What of a statement may be shown: nothing after PASSWORD or CONNECTION, whose values no log should keep."""

from __future__ import annotations

import re

from .files import describe

_SENSITIVE = r"(?i)\b\w*passw(?:or)?d\b|\bconnection\b|://"
_QUOTED = r'"([^"]+)"'
_LONGEST = 200


def public_sql(sql: str) -> str:
    """Return a statement up to the word after which it may hold a secret; ``…`` stands for the rest."""
    found = re.search(_SENSITIVE, sql)
    return sql if found is None else f"{sql[: found.end()]} …"


def public_lines(sql: str) -> list[str]:
    """Return the lines of a statement; ``…`` stands for each that is not shown."""
    shown = public_sql(sql).split("\n")
    return shown + ["…"] * (sql.count("\n") + 1 - len(shown))


def public_message(message: str, sql: str) -> str:
    """Return what PostgreSQL says of a statement, without what it quotes of the part that is not shown."""
    found = re.search(_SENSITIVE, sql)
    if found is None:
        return message
    hidden = sql[found.end() :]
    return re.sub(_QUOTED, lambda quoted: '"…"' if quoted[1] in hidden else quoted[0], message)


def query_of(error: BaseException) -> str:
    """Return the statement that an error is about, empty where there is none."""
    return getattr(error, "query", None) or ""  # asyncpg sets it, its type stubs do not know it


def described(error: BaseException) -> str:
    """Return the type and the text of an error on one line."""
    return public_message(describe(error), query_of(error))


def shown_sql(error: BaseException) -> str:
    """Return the line of its statement that PostgreSQL's error points at, or the beginning of the statement."""
    query = query_of(error)
    position = getattr(error, "position", None)
    if not position:
        return _shortened(public_sql(query))
    number = query[: int(position) - 1].count("\n")
    line = _shortened(public_lines(query)[number])
    return f"{line}  (line {number + 1} of the statement)" if "\n" in query.strip() else line


def _shortened(sql: str) -> str:
    sql = " ".join(sql.split())
    return sql if len(sql) <= _LONGEST else f"{sql[:_LONGEST]} …"

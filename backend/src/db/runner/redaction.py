"""What of a statement may be shown: nothing after PASSWORD or CONNECTION, whose values no log should keep."""

from __future__ import annotations

import re

_SECRET = re.compile(r"\b\w*passw(?:or)?d\b|\bconnection\b|://", re.IGNORECASE)
_QUOTED = re.compile(r'"([^"]+)"')


def public_sql(sql: str) -> str:
    """Return a statement up to the word after which it may hold a secret; ``…`` stands for the rest."""
    found = _SECRET.search(sql)
    return sql if found is None else f"{sql[: found.end()]} …"


def public_message(message: str, sql: str) -> str:
    """Return what PostgreSQL says of a statement, without what it quotes of the part that is not shown."""
    found = _SECRET.search(sql)
    if found is None:
        return message
    hidden = sql[found.end() :]
    return _QUOTED.sub(lambda quoted: '"…"' if quoted[1] in hidden else quoted[0], message)

"""What a migration sent to PostgreSQL: what it cannot have done, as far as a few words tell."""

from __future__ import annotations

import re
from collections.abc import Iterable

import asyncpg
import asyncpg.pool

from ..connection import Connection
from .lexer import begins_transaction, ends_transaction, statements_of
from .session import is_session

# Most statements of most migrations. They leave the session and the transaction alone, unless they call a function.
# This pattern and the next are texts for the same reason as the lexer's.
_PLAIN = (
    r"(?i)\s*(?:(?:CREATE\s+(?:UNIQUE\s+)?|ALTER\s+|DROP\s+)(?:TABLE|INDEX)|COMMENT\s+ON|SAVEPOINT|RELEASE)\b"
    r"[^;]*;?\s*\Z"
)
_LIMITS_LOCKS = r"(?i)lock_timeout|nowait"
# With these asyncpg asks for a type that it does not know yet.
_OF_ASYNCPG = ("typeinfo_tree", "set_config('jit', ")
_NAMES_STATEMENTS = ("prepare", "deallocate", "discard")
_REPORTING = (asyncpg.Connection, asyncpg.pool.PoolConnectionProxy)


class Statements:
    """What a migration sends, for the length of a ``with`` block. No statement is kept: one may be very long.

    Arguments:
        conn: the connection; one that is not asyncpg's reports none, and one that is not a ``Session`` reports each
            when the event loop comes round.
    """

    aborted_by: BaseException | None = None
    may_change_session = False
    names_statements = False
    ends_transaction = False
    limits_locks = False

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._names: dict[str, re.Pattern[str]] = {}
        self.mentioned: set[str] = set()

    def look_for(self, names: Iterable[str]) -> None:
        """Note in ``mentioned`` which of these names are in a statement."""
        self._names = {name: re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in names}

    def __enter__(self) -> None:
        if is_session(self._conn):
            self._conn.observer = self.note
        elif isinstance(self._conn, _REPORTING):
            self._conn.add_query_logger(self._note)

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if is_session(self._conn):
            self._conn.observer = None
        elif isinstance(self._conn, _REPORTING):
            self._conn.remove_query_logger(self._note)

    def _note(self, record: asyncpg.connection.LoggedQuery) -> None:
        self.note(record.query, record.exception)

    def note(self, sql: str, failed: BaseException | None) -> None:
        """Note a statement that was sent.

        Arguments:
            sql: the statement, or several in one string.
            failed: what it raised, if it did.
        """
        # PostgreSQL answers everything that follows the first error with this one.
        if failed is not None and not isinstance(failed, asyncpg.InFailedSQLTransactionError):
            self.aborted_by = failed
        for name, word in self._names.items():
            if word.search(sql):
                self.mentioned.add(name)
        if _is_plain(sql) or any(sign in sql for sign in _OF_ASYNCPG):
            return
        self.may_change_session = True
        self.limits_locks |= bool(re.search(_LIMITS_LOCKS, sql))
        statements = statements_of(sql)
        self.names_statements |= any(statement[0] in _NAMES_STATEMENTS for statement in statements)
        # One that failed has ended no transaction that goes on, unless it began another before it failed.
        if any(map(ends_transaction, statements)) and (failed is None or any(map(begins_transaction, statements))):
            self.ends_transaction = True


def _is_plain(sql: str) -> bool:
    """Tell whether a statement is one of those that leave the session and the transaction alone."""
    if re.match(_PLAIN, sql) is None:
        return False
    lower = sql.lower()
    return "select" not in lower and "pg_temp" not in lower

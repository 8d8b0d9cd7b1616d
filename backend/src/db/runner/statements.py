"""What a migration sent to PostgreSQL: what it cannot have done, as far as a few words tell."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

import asyncpg
import asyncpg.pool

from ..connection import Connection
from .lexer import begins_transaction, ends_transaction, statements_of
from .session import is_session

# Most statements of most migrations. They leave the session and the transaction alone, unless they call a function.
_PLAIN = re.compile(
    r"\s*(?:(?:CREATE\s+(?:UNIQUE\s+)?|ALTER\s+|DROP\s+)(?:TABLE|INDEX)|COMMENT\s+ON|SAVEPOINT|RELEASE)\b[^;]*;?\s*\Z",
    re.IGNORECASE,
)
_CALLS = re.compile(r"select|pg_temp", re.IGNORECASE)
_LIMITS_LOCKS = re.compile(r"lock_timeout|nowait", re.IGNORECASE)
# With these asyncpg asks for a type that it does not know yet.
_OF_ASYNCPG = ("typeinfo_tree", "set_config('jit', ")
_NAMES_STATEMENTS = ("prepare", "deallocate", "discard")


class Statements:
    """What a migration sends, for the length of a ``with`` block. No statement is kept: one may be very long.

    Arguments:
        conn: the connection; one that is not asyncpg's reports none.
        names: what to look for in the statements.
    """

    def __init__(self, conn: Connection, names: Iterable[str] = ()) -> None:
        self._conn = conn if isinstance(conn, asyncpg.Connection | asyncpg.pool.PoolConnectionProxy) else None
        self._names = {name: re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in names}
        self.mentioned: set[str] = set()
        self.aborted_by: BaseException | None = None
        self.may_change_session = False
        self.names_statements = False
        self.ends_transaction = False
        self.limits_locks = False

    async def __aenter__(self) -> None:
        if is_session(self._conn):
            self._conn.observer = self.note
        elif self._conn is not None:
            self._conn.add_query_logger(self._note)

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        if is_session(self._conn):
            self._conn.observer = None
        elif self._conn is not None:
            # asyncpg tells of each statement when the event loop comes round, and of this after them.
            loop = asyncio.get_running_loop()
            told = loop.create_future()
            loop.call_soon(told.set_result, None)
            await told
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
        self.mentioned.update(name for name, word in self._names.items() if word.search(sql))
        if (_PLAIN.match(sql) and not _CALLS.search(sql)) or any(sign in sql for sign in _OF_ASYNCPG):
            return
        self.may_change_session = True
        self.limits_locks |= bool(_LIMITS_LOCKS.search(sql))
        statements = statements_of(sql)
        self.names_statements |= any(statement[0] in _NAMES_STATEMENTS for statement in statements)
        # One that failed has ended no transaction that goes on, unless it began another before it failed.
        if any(map(ends_transaction, statements)) and (failed is None or any(map(begins_transaction, statements))):
            self.ends_transaction = True

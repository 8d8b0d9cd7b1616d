"""What one migration does to a database, from the state before and after its ``up``."""

from __future__ import annotations

import time
from typing import NamedTuple

import asyncpg

from ..connection import Connection
from .lock import Held, held
from .relation import Relations, relations_of, rewrites_between, rows_between, scans_between
from .report import MigrationReport
from .schema import Schema, changes_between, schema_of
from .watch import OWN

# asyncpg asks for types that it does not know yet, with a query that has the first of these in it, and puts the
# just-in-time compiler off meanwhile.
_NOT_THE_MIGRATIONS = ("typeinfo_tree", "set_config('jit', ", OWN)
# What is refused because of the transaction that the rehearsal put around it is sent again without.
_SENT_AGAIN = ("25001", "2D000")


class State(NamedTuple):
    """A database at one moment, seen from one session."""

    locks: Held
    relations: Relations
    schema: Schema


async def state_of(conn: Connection, *, in_transaction: bool) -> State:
    """Return the state of a database.

    Arguments:
        conn: the session; what its transaction did counts.
        in_transaction: whether what it counts is of the current transaction alone.
    """
    locks = await held(conn, await conn.fetchval("SELECT pg_backend_pid()"))
    relations = await relations_of(conn, in_transaction=in_transaction)
    return State(locks, relations, await schema_of(conn))


def fill_in(report: MigrationReport, before: State, after: State) -> None:
    """Write into a report everything but the locks, which are not seen in the same way in every migration."""
    report.rewrites = rewrites_between(before.relations, after.relations)
    report.scans = scans_between(before.relations, after.relations)
    report.rows = rows_between(before.relations, after.relations)
    report.changes = changes_between(before.schema, after.schema)


class Recorder:
    """Times a migration and notes its SQL, for the length of a ``with`` block."""

    def __init__(self, conn: Connection, report: MigrationReport) -> None:
        self._conn, self._report = conn, report

    def __enter__(self) -> None:
        self._conn.add_query_logger(self._note)
        self._started = time.monotonic()

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._report.seconds = time.monotonic() - self._started
        self._conn.remove_query_logger(self._note)

    def _note(self, record: asyncpg.connection.LoggedQuery) -> None:
        again = not self._report.transactional and getattr(record.exception, "sqlstate", None) in _SENT_AGAIN
        if not again and not any(sign in record.query for sign in _NOT_THE_MIGRATIONS):
            self._report.statements.append(record.query)

"""Table locks: PostgreSQL's eight modes, what each keeps others from, and those that a session holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ..connection import Connection
from .relation import Relation

MODES = (
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
"""The modes from the weakest to the strongest, as PostgreSQL's manual names them (Explicit Locking)."""

_BLOCKS_WRITES = MODES.index("SHARE")
_BLOCKS_READS = MODES.index("ACCESS EXCLUSIVE")

# Those that are waited for count too: they are what a migration outside a transaction is watched for. SIReadLock is no
# lock that anybody waits for, and an index that CONCURRENTLY has marked as dead, to drop it, is one that nobody opens.
_LOCKS = """
    SELECT relation, mode FROM pg_locks
    WHERE pid = $1 AND locktype = 'relation' AND mode <> 'SIReadLock'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = relation AND NOT indislive)
"""

Held = set[tuple[int, str]]
"""Pairs of a relation's number and a mode."""


class Lock(NamedTuple):
    """The lock that a migration took on one table, index, view or sequence.

    Attributes:
        name: what is locked.
        kind: what that is: ``table``, ``index`` and so on.
        mode: the strongest of its modes.
        others: the weaker modes that it took as well, from the strongest on.
        since: the version of the earlier migration of this rehearsal that took the same lock and still holds it, so
            that PostgreSQL does not show whether this one takes it too; None for a lock of its own.
    """

    name: str
    kind: str
    mode: str
    others: tuple[str, ...]
    since: str | None

    @property
    def described(self) -> str:
        """The name, after the kind of what is not a table."""
        return self.name if self.kind == "table" else f"{self.kind} {self.name}"

    @property
    def blocks(self) -> str:
        """What other sessions cannot do meanwhile."""
        level = MODES.index(self.mode)
        if level >= _BLOCKS_READS:
            return "reads and writes"
        return "writes" if level >= _BLOCKS_WRITES else "other DDL only"


async def held(conn: Connection, pid: int) -> Held:
    """Return the locks that a server process holds or waits for, on relations of the current database."""
    return {(row["relation"], _mode(row["mode"])) for row in await conn.fetch(_LOCKS, pid)}


def _mode(name: str) -> str:
    """Return the manual's name of a mode: ``ACCESS SHARE`` for ``AccessShareLock``."""
    return " ".join(re.findall("[A-Z][a-z]+", name.removesuffix("Lock"))).upper()


def locks_of(taken: Held, relations: Mapping[int, Relation], since: str | None = None) -> list[Lock]:
    """Put the locks of a migration together, one for each relation.

    Arguments:
        taken: what it took.
        relations: those that were there before it. The others are its own, and nobody waits for them.
        since: the migration that took them, where it is an earlier one.

    Returns:
        The locks, the strongest first. An index whose table is locked as strongly is left out.
    """
    modes: dict[int, list[str]] = {}
    for number, mode in sorted(taken, key=lambda lock: MODES.index(lock[1]), reverse=True):
        if number in relations:
            modes.setdefault(number, []).append(mode)

    def says_nothing(number: int) -> bool:
        table = relations[number].table
        return table in modes and MODES.index(modes[table][0]) >= MODES.index(modes[number][0])

    found = [
        Lock(relations[number].name, relations[number].kind, strongest, tuple(others), since)
        for number, (strongest, *others) in modes.items()
        if not says_nothing(number)
    ]
    return sorted(found, key=weakness)


def weakness(lock: Lock) -> tuple[int, str]:
    """Return the sort key of a lock: the strongest first, then by name."""
    return -MODES.index(lock.mode), lock.name


def is_at_least(lock: Lock, mode: str) -> bool:
    """Tell whether a lock is of a mode or a stronger one."""
    return MODES.index(lock.mode) >= MODES.index(mode)

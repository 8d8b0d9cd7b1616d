"""The tables, indexes, views and sequences of a database, with their files and PostgreSQL's counters for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..connection import Connection

_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "f": "foreign table",
    "i": "index",
    "I": "partitioned index",
    "v": "view",
    "m": "materialized view",
    "S": "sequence",
}

# The functions pg_stat_get_xact_… count the current transaction of this session alone, what is not yet committed
# included; pg_stat_get_… count everything that was ever reported.
_RELATIONS = """
    SELECT
        pg_class.oid, relkind::text, coalesce(indrelid, 0) AS table,
        CASE nspname WHEN 'public' THEN '' ELSE nspname || '.' END || relname AS name,
        coalesce(pg_relation_filenode(pg_class.oid), 0) AS file,
        coalesce(pg_stat_get{0}_numscans(pg_class.oid), 0) AS scans,
        coalesce(pg_stat_get{0}_tuples_returned(pg_class.oid), 0) AS rows_read,
        coalesce(pg_stat_get{0}_tuples_inserted(pg_class.oid), 0) AS inserted,
        coalesce(pg_stat_get{0}_tuples_updated(pg_class.oid), 0) AS updated,
        coalesce(pg_stat_get{0}_tuples_deleted(pg_class.oid), 0) AS deleted
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace LEFT JOIN pg_index ON indexrelid = pg_class.oid
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND relkind = ANY ($1::text[]::"char"[])
"""


class Relation(NamedTuple):
    """A table, index, view or sequence at one moment.

    Attributes:
        name: with its schema, unless that is ``public``.
        kind: ``table``, ``index`` and so on.
        table: the number of an index's table; 0 for everything else.
        file: the number of the file with its content; 0 where it has none.
        scans: sequential scans of a table that were begun.
        rows_read: the rows that they read.
        inserted, updated, deleted: rows changed.
    """

    name: str
    kind: str
    table: int
    file: int
    scans: int
    rows_read: int
    inserted: int
    updated: int
    deleted: int


class Rewrite(NamedTuple):
    """A table or index whose content was written anew, or thrown away by TRUNCATE."""

    name: str
    kind: str
    how: str


class Scan(NamedTuple):
    """A table that was read from its beginning, and how far: often as its rows, for each time."""

    name: str
    scans: int
    rows_read: int


class RowsChanged(NamedTuple):
    """How many rows of a table were inserted, updated and deleted."""

    name: str
    inserted: int
    updated: int
    deleted: int


Relations = dict[int, Relation]

REWRITTEN, REBUILT, TRUNCATED = "rewritten", "rebuilt", "truncated"


async def relations_of(conn: Connection, *, in_transaction: bool) -> Relations:
    """Return the relations of a database by their numbers; those of the system and temporary ones are left out.

    Arguments:
        conn: the connection whose counters are read.
        in_transaction: count what the current transaction did; otherwise what was ever reported, this session's
            transactions included.
    """
    if not in_transaction:
        await conn.execute("SELECT pg_stat_force_next_flush()")
    rows = await conn.fetch(_RELATIONS.format("_xact" if in_transaction else ""), list(_KINDS))
    return {row["oid"]: Relation(**{**dict(list(row.items())[2:]), "kind": _KINDS[row["relkind"]]}) for row in rows}


def rewrites_between(before: Relations, after: Relations) -> list[Rewrite]:
    """Return what has another file than before. Indexes are known by name: ALTER TABLE makes new ones."""
    indexes = {relation.name: relation for relation in before.values() if relation.table}
    found = []
    truncated = set()
    for number, relation in sorted(after.items(), key=lambda item: (bool(item[1].table), item[1].name)):
        old = indexes.get(relation.name) if relation.table else before.get(number)
        if old is None or old.file == relation.file or relation.table in truncated:
            continue
        how = REBUILT if relation.table else REWRITTEN
        if not relation.table and _was_truncated(number, old, after):
            how = TRUNCATED
            truncated.add(number)
        found.append(Rewrite(relation.name, relation.kind, how))
    return found


def _was_truncated(number: int, old: Relation, after: Relations) -> bool:
    """Tell whether a table with a new file was truncated.

    TRUNCATE reads the table once for each index, which it builds on the empty file; what writes a table anew reads it
    once more. A migration that truncates a table and reads it as well is taken for one that writes it anew.
    """
    new = after[number]
    builds = sum(relation.table == number for relation in after.values())
    return new.kind == "table" and new.scans - old.scans <= builds


def scans_between(before: Relations, after: Relations) -> list[Scan]:
    """Return the tables of before that were read sequentially since, the most rows first."""
    found = [
        Scan(relation.name, relation.scans - old.scans, relation.rows_read - old.rows_read)
        for old, relation in _common(before, after)
        if relation.scans > old.scans and not relation.table
    ]
    return sorted(found, key=lambda scan: (-scan.rows_read, scan.name))


def rows_between(before: Relations, after: Relations) -> list[RowsChanged]:
    """Return the tables, new ones included, of which rows were changed since."""
    found = []
    for number, relation in after.items():
        old = before.get(number) or relation._replace(inserted=0, updated=0, deleted=0)
        # TRUNCATE takes back what was counted before it.
        changed = [max(0, new - was) for new, was in zip(relation[-3:], old[-3:], strict=True)]
        if any(changed):
            found.append(RowsChanged(relation.name, *changed))
    return sorted(found)


def _common(before: Mapping[int, Relation], after: Mapping[int, Relation]) -> list[tuple[Relation, Relation]]:
    return [(before[number], relation) for number, relation in after.items() if number in before]

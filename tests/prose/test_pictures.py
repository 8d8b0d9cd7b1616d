"""Diagrams show what is so, and the statements that they are drawn from are what the runner sends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from handbook.rendering import Renderer
from prose import pictures
from prose.sections import handbook, sections
from src.db import connection
from src.db.migration_runner import run_migrations
from src.db.runner import session

PAGE = """# A start

<!-- diagram: sequence statements
A start
a = backend
b = PostgreSQL
a -> b: which versions are applied now?
a -> b: BEGIN
a -> b: the statements of up(conn)
a -> b: INSERT INTO schema_migrations
a -> b: COMMIT
-->

<!-- diagram: timeline
A queue
report: has ACCESS SHARE 0-5
migration: waits for ACCESS EXCLUSIVE 1-5, has it 5-6
reader: waits for ACCESS SHARE 2-6, has it 6-7
-->

## Statements

```text
SELECT version FROM schema_migrations
BEGIN
ALTER TABLE plants ADD COLUMN location text
INSERT INTO schema_migrations (version) VALUES ($1)
COMMIT
```
"""


@pytest.mark.parametrize(
    ("said", "slip", "line"),
    [
        ("schema_migrations\na -> b: COMMIT", "settings\na -> b: COMMIT", 10),
        (
            "a -> b: INSERT INTO schema_migrations\na -> b: COMMIT",
            "a -> b: COMMIT\na -> b: INSERT INTO schema_migrations",
            11,
        ),
        ("a -> b: BEGIN\na -> b: the statements of up(conn)", "a -> b: the statements of up(conn)\na -> b: BEGIN", 9),
        ("sequence statements", "sequence nothing", 4),
        ("waits for ACCESS SHARE 2-6, has it 6-7", "has ACCESS SHARE 2-6", 18),
        ("waits for ACCESS SHARE 2-6, has it 6-7", "waits for ACCESS SHARE 2-5, has it 5-7", 18),
        ("has ACCESS SHARE 0-5", "has ACCESS SHARE 0-4", 17),
        ("waits for ACCESS EXCLUSIVE 1-5, has it 5-6", "waits for ROW EXCLUSIVE 1-5, has it 5-6", 17),
        ("has it 6-7", "reads 6-7", 18),
        ("has it 6-7", "has it 7-8", 18),
        ("waits for ACCESS SHARE 2-6", "waits for ACCESS SHARE 3-6", 18),
        ("has ACCESS SHARE 0-5", "has ROW SHARE 0-5", 16),
    ],
)
def test_a_diagram_that_shows_otherwise_is_found(said: str, slip: str, line: int, renderer: Renderer) -> None:
    assert PAGE.count(said) == 1
    assert list(pictures.check(sections("docs/x.md", PAGE, renderer))) == []
    assert [one.line for one in pictures.check(sections("docs/x.md", PAGE.replace(said, slip), renderer))] == [line]


async def test_the_statements_are_those_of_the_runner(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shown,) = (
        one.shown
        for one in handbook()["docs/explanation/how-a-start-up-migrates.md"]
        if one.anchor == "something-to-apply"
    )
    expected = shown[shown.index("SELECT version FROM") :].strip()
    sent: list[str] = []
    connect = connection.connect

    async def watched(*arguments: Any, **options: Any) -> connection.Connection:
        conn = await connect(*arguments, **options)
        conn.add_query_logger(lambda statement: sent.append(" ".join(statement.query.split()).rstrip(";")))
        return conn

    monkeypatch.setattr(session, "connect", watched)
    migration = (
        'async def up(conn):\n    await conn.execute("ALTER TABLE plants ADD COLUMN IF NOT EXISTS location text")\n'
    )
    (tmp_path / "007_x.py").write_text(migration, encoding="utf-8")
    await run_migrations(migrated_url, directory=tmp_path)
    locked = max(place for place, statement in enumerate(sent) if "pg_try_advisory_lock" in statement)
    transaction = sent[locked + 1 :]
    transaction = transaction[
        next(place for place, one in enumerate(transaction) if one.startswith("SELECT version")) :
    ]
    told = " ".join(
        one for one in transaction if re.match(r"SELECT version|BEGIN|ALTER|INSERT|COMMIT|SELECT pg_advisory", one)
    )
    assert re.sub(r"unlock\(.*", "unlock(...)", told) == expected

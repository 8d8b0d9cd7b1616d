"""The reference of the runner is its docstrings: those of the source as it is when the site is built."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docstrings import DIRECTIVE, STYLE
from figures import MUTANTS
from harness.project import ROOT, Project
from proof import PROOF
from src.db import migration_runner

RUNNER = ROOT / "docs" / "reference" / "runner.md"
PAGE = """\
# Runner

See [the first](#src.db.migration_runner.ensure_migrations_table).

::: src.db.migration_runner.ensure_migrations_table

::: src.db.migration_runner.run_migrations
    options:
      show_signature: true

::: src.db.errors.MigrationNameError

Below them.
"""


CHANGED = """\
\"\"\"Grow the table ``schema_migrations``.

    ```python
    1 / 0
    ```
    """


class Ids(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.feed(html)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.update(value for name, value in attrs if name == "id" and value)


@pytest.mark.slow
def test_the_page_holds_the_docstrings_of_the_source(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", copied=("backend",))
    project.become_a_site()
    project.write("index.md", "# Start\n")
    project.write("runner.md", PAGE)
    source = project.directory / "backend" / "src" / "db" / "runner" / "history.py"
    text = source.read_text(encoding="utf-8")
    old = '"""Create the table ``schema_migrations`` if the database has none.'
    assert text.count(old) == 1
    source.write_text(text.replace(old, CHANGED), encoding="utf-8")

    block = {
        "id": "top[1]",
        "line": 3,
        "kind": "sql",
        "status": "passed",
        "hidden": False,
        "key": "",
        "versions": {},
        "reason": None,
    }
    (project.directory / "build").mkdir()
    (project.directory / PROOF).write_text(json.dumps({"pages": {"index.md": [block]}}))
    shown_in = {
        "functions": {"src.db.runner.history.ensure_migrations_table": {"index.md": ["top[1]"]}},
        "errors": {"MigrationNameError": {"index.md": ["top[1]"]}},
    }
    counts = {"mutants": 2010, "killed": 1999, "reviewed": 10}
    found = {"date": "2026-11-08", "postgresql": "18.6", "code": "", **counts, "shown_in": shown_in}
    (project.directory / MUTANTS).write_text(json.dumps(found))

    built = project.build()
    assert built.returncode == 0, built.stdout
    assert built.stdout == ""
    site = project.directory / "build" / "site"
    html = (site / "runner.html").read_text(encoding="utf-8")
    shown = " ".join(re.sub(r"<[^>]+>", "", html).split())
    assert "Grow the table schema_migrations." in shown
    assert "ensure_migrations_table(conn: Connection) -&gt; None" in shown
    assert "one of its subclasses says what is wrong" in shown
    assert html.count('<p class="shown-in">Shown in: index: <a href="index.html">top</a></p>') == 2
    assert {name: count for name, count in Ids(html).found.items() if count > 1} == {}
    assert STYLE not in html
    assert not (site / STYLE).exists()
    # A block in a docstring is a block of the page, which a strict build refuses without a proof.
    assert html.count('class="proof proof--unverified"') == 1

    markdown = (site / "runner.md").read_text(encoding="utf-8")
    assert "async def ensure_migrations_table(conn: Connection)" in markdown
    assert "Grow the table ``schema_migrations``." in markdown
    assert "class MigrationNameError(MigrationError)" in markdown
    assert "Raises:\n    MigrationError: one of its" in markdown
    assert ":::" not in markdown
    assert "options:" not in markdown


def test_each_public_function_of_the_runner_stands_on_its_page() -> None:
    functions = [name for name in migration_runner.__all__ if callable(getattr(migration_runner, name))]
    named = {found["name"].rpartition(".")[2] for found in DIRECTIVE.finditer(RUNNER.read_text(encoding="utf-8"))}
    assert len(functions) > 1
    assert [name for name in functions if name not in named] == []

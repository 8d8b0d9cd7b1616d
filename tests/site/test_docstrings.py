"""The reference of the runner is its docstrings: those of the source as it is when the site is built."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from harness.project import ROOT, Project
from src.db import migration_runner
from website.files.copies import DIRECTIVE
from website.files.head import STYLE
from website.pages import REFUSED

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

    built = project.build()
    assert built.returncode == 0, built.stdout
    refused = project.finish()
    # A block in a docstring is a block of the page, which needs a proof.
    assert (refused.returncode, refused.stdout.count("A docstring has a code block, ")) == (1, 1)
    page = project.directory / "build" / "site" / "runner.html"
    page.write_text(REFUSED.sub("", page.read_text(encoding="utf-8")), encoding="utf-8")
    finished = project.finish()
    assert (finished.returncode, finished.stdout) == (0, "")
    site = project.directory / "build" / "site"
    html = (site / "runner.html").read_text(encoding="utf-8")
    shown = " ".join(re.sub(r"<[^>]+>", "", html).split())
    assert "Grow the table schema_migrations." in shown
    assert "ensure_migrations_table(conn: Connection) -&gt; None" in shown
    assert "one of its subclasses says what is wrong" in shown
    ids = Counter(re.findall(r'<[^>]* id="([^"]+)"', html))
    assert ids
    assert {name: count for name, count in ids.items() if count > 1} == {}
    assert STYLE not in html
    assert not (site / STYLE).exists()
    assert html.count('class="note note--unverified"') == 1

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

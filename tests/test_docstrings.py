"""The reference of the runner is its docstrings: those of the source as it is when the site is built."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docstrings import DIRECTIVE, STYLE
from inner import ROOT, Project
from src.db import migration_runner
from test_proof import build

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


class Ids(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.update(value for name, value in attrs if name == "id" and value)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a page of docstrings, one of which says what no source does."""
    project = Project(tmp_path_factory.mktemp("docstrings") / "project", copied=("backend",))
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav = settings.index("nav:")
    (project.directory / "mkdocs.yml").write_text(
        settings[:nav] + settings[settings.index("theme:") :], encoding="utf-8"
    )
    shutil.copytree(ROOT / "docs" / "assets", project.docs / "assets")
    project.write("index.md", "# Start\n")
    project.write("runner.md", PAGE)
    change(project, "Create the table", "Grow the table")
    return project


def change(project: Project, old: str, new: str) -> None:
    source = project.directory / "backend" / "src" / "db" / "migration_history.py"
    text = source.read_text(encoding="utf-8")
    assert text.count(old) == 1
    source.write_text(text.replace(old, new), encoding="utf-8")


def test_the_page_holds_the_docstrings_of_the_source(project: Project) -> None:
    built = build(project, "--strict")
    assert built.returncode == 0, built.stdout
    site = project.directory / "build" / "site"
    html = (site / "runner.html").read_text(encoding="utf-8")
    text = " ".join(re.sub(r"<[^>]+>", "", html).split())
    assert "Grow the table schema_migrations if the database has none." in text
    assert "ensure_migrations_table( conn: Connection) -> None" in text.replace("&gt;", ">").replace("(conn", "( conn")
    assert "MigrationError – one of its subclasses says what is wrong" in text
    assert {name: count for name, count in Ids(html).found.items() if count > 1} == {}
    assert STYLE not in html
    assert not (site / STYLE).exists()

    markdown = (site / "runner.md").read_text(encoding="utf-8")
    assert "async def ensure_migrations_table(conn: Connection)" in markdown
    assert "Grow the table ``schema_migrations``" in markdown
    assert "class MigrationNameError(MigrationError)" in markdown
    assert "Raises:\n    MigrationError: one of its" in markdown
    assert ":::" not in markdown
    assert "options:" not in markdown


def test_a_fence_in_a_docstring_is_a_block_without_proof(project: Project) -> None:
    change(project, "if the database has none.", "if it has none.\n\n    ```python\n    1 / 0\n    ```\n    ")
    built = build(project, "--strict")
    assert built.returncode != 0
    assert "runner.md:1: no proof for this block; run make docs-test" in built.stdout


def test_each_public_function_of_the_runner_stands_on_its_page() -> None:
    functions = [name for name in migration_runner.__all__ if callable(getattr(migration_runner, name))]
    named = {found["name"].rpartition(".")[2] for found in DIRECTIVE.finditer(RUNNER.read_text(encoding="utf-8"))}
    assert len(functions) > 1
    assert [name for name in functions if name not in named] == []

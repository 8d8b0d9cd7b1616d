"""The promise of the handbook: change the code or a page alone, and the run fails at the line that became untrue."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.project import ROOT, Project

pytestmark = pytest.mark.slow

PAGE = "docs/development.md"
RUNNER = "backend/src/db/**/*.py"


@dataclass(frozen=True)
class Edit:
    """One edit: a pattern in one of some files, what takes its place, and what stands near the line reported."""

    files: str
    pattern: str
    replacement: str
    reported: str


EDITS = {
    "the runner looks for another function than up": Edit(
        RUNNER, r'__dict__\.get\("up"\)', '__dict__.get("upgrade")', ""
    ),
    "versions are recorded without their zeros": Edit(
        RUNNER, r'(VALUES \(\$1\)", )version\)', r'\1version.lstrip("0"))', "$ make status"
    ),
    "an error says something else": Edit(
        RUNNER, "Nothing of this migration is kept", "All of this migration is kept", "Nothing of this"
    ),
    "versions are applied in descending order": Edit(RUNNER, r"sorted\(files\)", "sorted(files, reverse=True)", ""),
    "the make target has another name": Edit("Makefile", r"restart-backend", "renew-backend", "$ make restart-backend"),
    "a row of expected output differs": Edit(
        PAGE, r"     007     \| \.\.\.", "     070     | ...", "     070     | ..."
    ),
    "a Python file raises": Edit(
        PAGE, r"\n## Database Migrations\n", '\n```python title="x.py"\n1 / 0\n```\n\n## Database Migrations\n', "1 / 0"
    ),
    "a fence has an unknown language": Edit(
        PAGE, r"\n## Database Migrations\n", "\n```pyhton\n1\n```\n\n## Database Migrations\n", "```pyhton"
    ),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_of_one_side_fails_at_the_line_that_became_untrue(edit: Edit, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", copied=("backend",))
    page = project.directory / PAGE
    shutil.copy2(ROOT / PAGE, page)
    texts = {file: file.read_text(encoding="utf-8") for file in project.directory.glob(edit.files)}
    edited = [file for file, text in texts.items() if re.search(edit.pattern, text)]
    assert len(edited) == 1, f"{edit.pattern!r} stands in {edited}"
    edited[0].write_text(re.sub(edit.pattern, edit.replacement, texts[edited[0]]), encoding="utf-8")

    run = project.pytest("-q", "-x", PAGE)

    assert run.status == 1, run.output
    places = re.findall(rf"^{PAGE}:(\d+): ", run.output, re.MULTILINE)
    assert places, run.output
    # The line itself, or that of the output above or below it that differs.
    line = int(places[0])
    assert edit.reported in "\n".join(page.read_text(encoding="utf-8").split("\n")[line - 6 : line + 2])


def test_the_page_as_it_is_passes(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", copied=("backend",))
    shutil.copy2(ROOT / PAGE, project.directory / PAGE)
    run = project.pytest("-q", "-x", PAGE)
    assert run.status == 0, run.output


def test_a_migration_that_lands_fails_the_pages_about_the_schema_and_no_other(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", copied=("backend",))
    schema = ("docs/reference/schema.md", "docs/reference/migrations.md")
    (project.docs / "reference").mkdir()
    for page in (PAGE, *schema):
        shutil.copy2(ROOT / page, project.directory / page)
    migrations = project.directory / "backend" / "src" / "db" / "migrations"
    (migrations / "007_add_room.py").write_text(
        'async def up(conn):\n    await conn.execute("ALTER TABLE plants ADD COLUMN room text")\n'
    )
    with (migrations / "CHECKSUMS").open("a") as checksums:
        checksums.write(f"{'0' * 64}  007_add_room.py\n")
    run = project.pytest("-q", PAGE, *schema)
    assert run.status == 1, run.output
    # What was printed and is not on the page; it stands where the page is to be changed.
    assert set(re.findall(r"^(docs/\S+\.md):\d+: the output differs", run.output, re.MULTILINE)) == set(schema)
    assert run.output.count("+ applied 007_add_room.py") == run.output.count("+ 007_add_room.py") == 1

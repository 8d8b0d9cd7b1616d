"""Diagrams: what is drawn is what the database of a page holds, and what is drawn is told in words too."""

from __future__ import annotations

import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import markdown
import pytest

from handbook.postgres import Postgres
from handbook.reading import read, text_of
from handbook.rendering import Renderer
from harness.project import Project
from website.diagrams import comment as diagram
from website.diagrams import entities, growth, sequence, timeline
from website.diagrams.drawing import CHARACTER, Drawing
from website.proof import Proof

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"

GROWN = """\
migration | table | columns | refers to
001 | plants | 5 |
002 | devices | 10 | plants
002 | plants | 6 |
003 | devices | 10 | plants
"""
STARTED = """\
backend = a backend
server = PostgreSQL
backend -> server: may I?
[ as long as it has to
backend <- server: not yet
backend: wait
]
backend <- server: yes
""".splitlines()
QUEUED = """\
report: has ACCESS SHARE 0-5
migration: waits for ACCESS EXCLUSIVE 1-5, has it 5-6
""".splitlines()


def query() -> str:
    """The query of the page whose output is drawn."""
    text = text_of(ROOT / "docs" / "reference" / "schema.md")
    comment = diagram.COMMENT.search(text)
    assert comment is not None
    (block,) = [block for block in read(text, Renderer(ROOT / "mkdocs.yml")) if block.id == comment["block"]]
    return block.text


def catalog(postgres: Postgres, url: str, *changes: str) -> list[dict[str, str]]:
    """What the page's query prints of a database, after some changes of it."""
    psql = [str(postgres.binary("psql")), "--no-psqlrc", "--quiet", "--pset=pager=off", "--dbname", url]
    commands = [f"--command={sql}" for sql in (*changes, query())]
    return diagram.rows_of(subprocess.run([*psql, *commands], check=True, stdout=subprocess.PIPE, text=True).stdout)


def words(drawing: Drawing) -> list[str]:
    return [element.text or "" for element in element_of(drawing).iter(f"{SVG}text")]


def element_of(drawing: Drawing) -> ET.Element:
    svg = re.sub(r"^.*?<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', drawing.svg("d", "A & B", "<it>"))
    return ET.fromstring(svg.removesuffix("</figure>"))  # noqa: S314 - it is made here


def test_a_column_that_the_database_has_is_in_the_picture(postgres: Postgres, migrated_url: str) -> None:
    before = catalog(postgres, migrated_url)
    rows = catalog(
        postgres,
        migrated_url,
        "ALTER TABLE plants ADD COLUMN greenhouse uuid NOT NULL UNIQUE",
        "ALTER TABLE settings ADD COLUMN changed_on text REFERENCES devices ON DELETE SET NULL",
        "ALTER TABLE care_plans DROP COLUMN generated_at",
    )
    assert words(entities.draw(before)).count("greenhouse") == 0
    drawn = words(entities.draw(rows))
    assert drawn.count("greenhouse") == drawn.count("uuid") == 1
    assert drawn.count("changed_on") == 1
    assert "generated_at" not in drawn
    told = entities.description(rows)
    assert "greenhouse (uuid; unique; not null)" in told
    assert "changed_on (text; refers to devices.id; is set to null with it)" in told
    lines = [
        drawing.svg("d", "", "").count('class="reference') for drawing in (entities.draw(before), entities.draw(rows))
    ]
    assert lines[1] == lines[0] + 1
    check_sight(entities.draw(rows))
    for row in rows:
        assert row["column"] in drawn
        assert f"{row['column']} ({row['type']}" in told


def test_a_table_stands_to_the_right_of_those_that_it_refers_to() -> None:
    names = ("table", "column", "type", "required", "key", "refers_to", "on_delete")
    columns = (
        ("a", "b_id", "text", "f", "", "b(id)", "c"),
        ("b", "id", "text", "t", "primary", "", ""),
        ("b", "up", "text", "f", "", "b(id)", "a"),
    )
    rows = [dict(zip(names, column, strict=True)) for column in columns]
    texts = {element.text: float(element.get("x", 0)) for element in element_of(entities.draw(rows)).iter(f"{SVG}text")}
    assert texts["b"] < texts["a"]
    assert entities.description(rows) == (
        "a: b_id (text; refers to b.id; is deleted with it). b: id (text; primary key) and up (text; refers to b.id)."
    )


def test_growth_shows_what_comes_changes_and_goes() -> None:
    rows = diagram.rows_of(GROWN)
    assert words(growth.draw(rows)) == [
        "001",
        "002",
        "003",
        "plants",
        "5 columns",
        "6 columns",
        "devices",
        "10 columns",
    ]
    assert growth.description(rows) == (
        "After 001: plants with 5 columns. "
        "After 002: devices with 10 columns, which refers to plants and plants with 6 columns. "
        "After 003: plants gone."
    )
    # The bar of plants ends where 003 begins.
    marks = [element for element in element_of(growth.draw(rows)).iter(f"{SVG}rect") if element.get("class") == "table"]
    plants, devices = ((float(bar.get("x", 0)), float(bar.get("width", 0))) for bar in marks)
    assert plants[0] + plants[1] < devices[0] + devices[1]


def test_a_sequence_is_drawn_and_told() -> None:
    assert words(sequence.draw(STARTED)) == [
        *("a backend", "PostgreSQL", "may I?", "as long as it has to", "not yet", "wait", "yes"),
    ]
    assert sequence.description(STARTED) == (
        "Between a backend and PostgreSQL. a backend to PostgreSQL: may I? as long as it has to: "
        "PostgreSQL to a backend: not yet. a backend: wait. End of that. PostgreSQL to a backend: yes."
    )
    tips = [float(x) for x in re.findall(r'class="tip" d="M([\d.]+)', sequence.draw(STARTED).svg("d", "", ""))]
    assert tips[0] > tips[1] == tips[2], "the message leads to the server, the answers lead back"


def test_a_timeline_is_drawn_and_told() -> None:
    drawing = timeline.draw(QUEUED)
    assert words(drawing) == [
        "report",
        "has ACCESS SHARE",
        "migration",
        "waits for ACCESS EXCLUSIVE",
        "has it",
        "0 s",
        "1 s",
        "5 s",
        "6 s",
    ]
    classes = [element.get("class") for element in element_of(drawing).iter(f"{SVG}rect")]
    assert classes == ["held", "waiting", "held"]
    assert timeline.description(QUEUED) == (
        "report has ACCESS SHARE from second 0 to second 5. "
        "migration waits for ACCESS EXCLUSIVE from second 1 to second 5; then it has it from second 5 to second 6."
    )


@pytest.mark.parametrize(
    ("draw", "line"),
    [
        (sequence.draw, "backend -> nobody: hello"),
        (sequence.draw, "backend to server"),
        (sequence.draw, "[ a group without an end"),
        (sequence.draw, "]"),
        (timeline.draw, "reader: waits"),
        (timeline.draw, "reader waits 1-2"),
    ],
)
def test_a_line_that_says_nothing_is_an_error(draw: Callable[[list[str]], Drawing], line: str) -> None:
    with pytest.raises(ValueError, match=r"is not (NAME|SESSION)|a group"):
        draw([*(STARTED if draw is sequence.draw else QUEUED), line])
    with pytest.raises(ValueError, match=r"it has no (step|line)"):
        draw([])


@pytest.mark.parametrize(
    "drawing",
    [
        growth.draw(diagram.rows_of(GROWN)),
        sequence.draw(STARTED),
        sequence.draw(["a = A", "a: waits until the other one has ended"]),
        timeline.draw(QUEUED),
    ],
    ids=["growth", "sequence", "note", "timeline"],
)
def test_all_of_a_drawing_is_in_sight_and_has_a_name(drawing: Drawing) -> None:
    check_sight(drawing)


def check_sight(drawing: Drawing) -> None:
    svg = element_of(drawing)
    _, _, width, height = (float(number) for number in svg.get("viewBox", "").split())
    for text in svg.iter(f"{SVG}text"):
        start = {"middle": 0.5, "end": 1.0}.get(text.get("text-anchor", ""), 0.0)
        long = len(text.text or "") * CHARACTER
        left = float(text.get("x", 0)) - start * long
        assert left >= 0
        assert left + long <= width
        assert float(text.get("y", 0)) <= height
    assert svg.get("role") == "img"
    names = [svg.find(f"{SVG}{name}") for name in ("title", "desc")]
    assert [name.text for name in names if name is not None] == ["A & B", "<it>"]
    assert svg.get("aria-labelledby", "").split() == [name.get("id") for name in names if name is not None]


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof that holds that a block of the page has printed the sample of growth."""
    entry = {"id": "grown.1", "key": "", "kind": "python", "status": "passed", "line": 1, "output": GROWN}
    empty = {**entry, "id": "grown.2", "output": ""}
    shown = [{**empty, "id": "grown.4"}, {**entry, "id": "grown.4-output", "kind": "output"}]
    monkeypatch.setattr("website.proof.read", lambda: Proof({"pages": {"": [entry, empty, *shown]}}))


def content(text: str) -> str:
    """What Markdown makes of a text that is no page of the handbook."""
    return markdown.markdown(text, extensions=["website.diagrams"])


@pytest.mark.usefixtures("proven")
def test_comments_become_diagrams() -> None:
    started = "\n".join(["<!-- diagram: sequence", "A start", *STARTED, "-->"])
    html = content(f"a\n\n<!-- diagram: growth grown.1 -->\n\n{started}\n\n<!-- c -->")
    assert html.count("<svg") == html.count('tabindex="0"') == 2
    assert "10 columns" in html
    assert '<title id="diagram-2-title">A start</title>' in html
    assert "may I?" in html
    assert html.startswith("<p>a</p>\n<figure")
    assert html.endswith("</figure>\n\n<!-- c -->")


@pytest.mark.usefixtures("proven")
def test_a_diagram_of_what_the_page_shows_in_words_too() -> None:
    assert "10 columns" in content("<!-- diagram: growth grown.4 -->")


@pytest.mark.usefixtures("proven")
@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("growth grown.2", "the growth diagram: the block grown.2 has printed no table"),
        ("growth grown.3", "the growth diagram: the block grown.3 has not run; run make docs-test"),
        ("tables grown.1", "the tables diagram: "),
        ("pie grown.1", "the pie diagram: '<!-- diagram: pie grown.1 -->' asks for none of tables, growth, "),
        ("sequence\nA title\nwho -> me: hello", "the sequence diagram: 'who -> me: hello' is not NAME = LABEL, "),
        ("timeline\nA title\nnobody", "the timeline diagram: 'nobody' is not SESSION: TEXT START-END"),
    ],
)
def test_a_page_with_a_diagram_that_cannot_be_drawn_is_refused(
    comment: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    html = content(f"<!-- diagram: {comment} -->")
    assert diagram.NOTHING in html
    assert f"<!-- refused: docs/: {message.replace('--', '- -')}" in html
    assert message in caplog.text


@pytest.mark.slow
def test_a_strict_build_refuses_a_diagram_that_cannot_be_drawn(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.become_a_site()
    project.write("index.md", "# Start\n\n<!-- diagram: timeline\nA title\nnobody\n-->\n")
    message = "docs/index.md: the timeline diagram: 'nobody' is not SESSION: TEXT START-END, TEXT START-END"
    built = project.build("--strict")
    assert built.returncode != 0
    assert message in built.stdout
    finished = project.finish()
    assert (finished.returncode, finished.stdout) == (1, f"{message}\n")

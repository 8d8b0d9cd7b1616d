"""Sentences, tables and pictures of the pages say what the blocks and the code show; each check, and slips it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handbook.rendering import Renderer
from prose import checks, errors, figures, literals, references, statements, tables
from prose.sections import ROOT, handbook, sections

PAGE = """# Ferns

A fern waits for `lock_timeout`, half a second, three times on PostgreSQL 14 and newer, as `make check` and
[PM12](../errors.md#pm12) say. [Add an index](../how-to/add-an-index.md) knows that [PostgreSQL
17](https://www.postgresql.org/docs/17/index.html) is `ACCESS SHARE`.

```sql
SET lock_timeout = '500ms'; SELECT 3 AS "ACCESS SHARE";
```

## Another section

It has seven leaves, and `statement_timeout`.

```sql
SET statement_timeout = 7;
```
"""


@pytest.fixture
def stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """State something else than the project does."""

    def forget() -> None:
        for known in (statements.statements, statements.homes, statements.by_pair):
            known.cache_clear()

    def state(text: str) -> None:
        (tmp_path / "statements.md").write_text(text, encoding="utf-8")
        monkeypatch.setattr(statements, "STATEMENTS", tmp_path / "statements.md")
        forget()

    yield state
    forget()


@pytest.mark.parametrize("page", handbook())
def test_a_page_says_what_is_so(page: str) -> None:
    found = [*checks.findings(handbook()[page])]
    advice = "Correct it, or show it. What no block can show: tests/prose/named.md."
    assert found == [], "\n".join([*map(str, found), advice])


def test_every_statement_is_shown_by_a_test_or_a_page() -> None:
    shown_by = {source for _, source in statements.statements().values()}
    assert [one for one in shown_by if one not in handbook() and not literals.is_of_the_project(one)] == []


def test_the_workflows_make_what_there_is() -> None:
    assert list(references.check_workflows()) == []


def test_every_exception_is_needed() -> None:
    every = [section for page in handbook().values() for section in page]
    used = {(section.page, one) for section in every for _, one in literals.literals(section)}
    names = {one for _, one in used}
    used |= {(section.page, one) for section in every for _, _, some in figures.said(section) for one in some}
    for reason, some in literals.excepted().items():
        unused = [one for one in some if one not in names and (reason, one) not in used]
        assert unused == [], f"{literals.EXCEPTIONS}: no page names {unused} ({reason})"


@pytest.mark.parametrize(
    ("said", "slip", "check"),
    [
        ("`lock_timeout`", "`statement_timeouts`", "literals"),
        ("`ACCESS SHARE`", "`ROW SHARE`", "literals"),
        ("half a second", "half a minute", "figures"),
        ("half a second", "600 ms", "figures"),
        ("three times", "four times", "figures"),
        ("seven leaves", "eight leaves", "figures"),
        ("seven leaves", "five leaves", "figures"),
        ("14 and newer", "15 and newer", "releases"),
        ("PostgreSQL\n17]", "PostgreSQL\n16]", "releases"),
        ("make check", "make checks", "references"),
        ("#pm12", "#pm11", "references"),
        ("[PM12]", "[PM11]", "references"),
        ("how-to/add-an-index.md", "how-to/add-a-column.md", "references"),
        ("[Add an index](../how-to/add-an-index.md)", "[add an index](../how-to/add-a-column.md)", "references"),
    ],
)
def test_a_slip_is_found_at_its_line(said: str, slip: str, check: str, renderer: Renderer) -> None:
    assert PAGE.count(said) == 1
    altered = PAGE.replace(said, slip)
    for text, expected in ((PAGE, []), (altered, [altered[: altered.index(slip)].count("\n") + 1])):
        page = sections("docs/how-to/ferns.md", text, renderer)
        assert [finding.line for section in page for finding in checks.OF_A_SECTION[check](section)] == expected


LOCKS = """# Locks

**Lock:** `ACCESS EXCLUSIVE` on `plants`, for a moment. Everybody who uses the table waits, but no row is read or
rewritten.

```console
$ make rehearse
  holds     ACCESS EXCLUSIVE on plants, for a moment
  locks     plants  ACCESS EXCLUSIVE  blocks reads and writes
```

## Others

Nobody waits for `ACCESS SHARE`. An index takes a `SHARE` lock, which every writer waits for; readers go on. A check is
validated under `SHARE UPDATE EXCLUSIVE`: readers and writers continue.

**Lock:** none on a table. Nobody waits.
"""


@pytest.mark.parametrize(
    ("said", "slip"),
    [
        *(("for a moment.", "while it reads `plants`."), ("on `plants`", "on `devices`"), ("Everybody", "Nobody")),
        *(("`ACCESS EXCLUSIVE`", "`SHARE`"), ("Everybody", "Only writers"), ("waits, but", "goes on, but")),
        *(("Nobody waits for", "Everybody waits for"), ("every writer", "every reader"), ("readers go", "writers go")),
        *(("readers and writers", "writers and writers"), ("writers continue", "writers wait")),
        *(("none on a table. Nobody", "none on a table. Everybody"),),
    ],
)
def test_another_lock_is_found(said: str, slip: str, renderer: Renderer) -> None:
    assert LOCKS.count(said) == 1
    for text, expected in ((LOCKS, False), (LOCKS.replace(said, slip), True)):
        page = sections("docs/x.md", text, renderer)
        assert any(list(statements.check_locks(section)) for section in page) is expected


STATED = """\
What a *migration* did before it failed is undone, and the next start tries it again.
Each [version](a.md#never) is applied once, however many backends start.
A file whose version is recorded is not read at all.
A migration that has landed is never edited.
It gives up after half a second, lets readers through, and tries again.
A migration keeps each lock until it commits.
A session never waits for its own locks.
It takes all that it finds from 0 to 5.
"""


@pytest.mark.parametrize(
    ("said", "slip"),
    [
        *(("undone", "kept"), ("is undone", "isn't\nundone"), ("before", "after"), ("tries it", "doesn't try it")),
        *(("is never edited", "is edited"), ("half a second", "half a minute"), ("it again", "it twice")),
        *(("keeps each lock until", "releases each lock before"), ("session never", "session"), ("0 to 5", "0 to 9")),
        *(("Each [version", "No [version"), ("applied once", "applied twice"), ("is not read", "is read")),
    ],
)
def test_a_statement_that_is_turned_round_is_found_on_any_page(
    said: str, slip: str, renderer: Renderer, stated: Callable[[str], None]
) -> None:
    stated("## docs/x.md\n\n- " + STATED.rstrip().replace("\n", "\n- "))
    text = f"# Ferns\n\n{STATED}"
    assert text.count(said) == 1
    altered = text.replace(said, slip)
    for page, expected in ((text, set()), (altered, {altered[: altered.index(slip)].count("\n") + 1})):
        (_, section) = sections("docs/y.md", page, renderer)
        assert {finding.line for finding in statements.check_turned(section)} == expected


def test_a_sentence_that_is_written_anew_is_found_where_it_was(
    renderer: Renderer, stated: Callable[[str], None]
) -> None:
    name, said = "docs/explanation/limits.md", "Two databases of one server are migrated at the same time"
    text = (ROOT / name).read_text(encoding="utf-8")
    line = text[: text.index(said)].count("\n") + 1
    stated(f"## {name}\n\n- {said}, independently of each other.\n- Nothing of a failed migration is kept.\n")
    for page, expected in ((text, []), (text.replace(said, "Migrations of two databases exclude each other"), [line])):
        assert [finding.line for finding in statements.check(sections(name, page, renderer))] == expected


def test_a_statement_that_no_page_says_is_found_where_it_is_most_alike(stated: Callable[[str], None]) -> None:
    stated("## docs/x.md\n\n- Two databases of one server are migrated at another time.\n")
    found = [finding for page in handbook().values() for finding in statements.check(page)]
    assert [finding.page for finding in found] == ["docs/explanation/limits.md"]


TABLE = """# Tables

<!-- table: settings; by hand: Value -->

| Variable | Value | Default |
| --- | --- | --- |
| [`DATABASE_URL`](#database_url) | an address | the development server |
| [`PLANTOPS_HOST`](#plantops_host) | a name \\| an address | `127.0.0.1` |
| [`PLANTOPS_PORT`](#plantops_port) | a number | `8080` |

Text between.

<!-- table: settings; by hand: Value -->

| Variable | Default | Value |
| --- | --- | --- |
| [`PLANTOPS_LOG_LEVEL`](#plantops_log_level) | `INFO` | a level |
| [`PLANTOPS_DATA`](#plantops_data) | `.data` | a directory |
| [`TEST_DATABASE_URL`](#test_database_url) | a throw-away server | an address |
"""


@pytest.mark.parametrize(
    ("said", "slip", "expected"),
    [
        ("a number", "another number", []),
        ("`8080`", "`8000`", [(9, "Default of [`PLANTOPS_PORT`](#plantops_port): `8000`, and the code says `8080`")]),
        (
            "`.data`",
            "`data`",
            [(18, "Default of [`PLANTOPS_DATA`](#plantops_data): `data`, and the code says `.data`")],
        ),
        (
            "[`TEST_DATABASE_URL`](#test_database_url)",
            "`TEST_URL`",
            [
                (19, "Variable `TEST_URL`: the code has no such row"),
                (5, "the table has no row [`TEST_DATABASE_URL`](#test_database_url) | a throw-away server"),
            ],
        ),
        ("table: settings", "table: x.py::y", [(5, "no table is 'x.py::y': it is a test, or one of settings")]),
    ],
)
def test_a_cell_that_says_otherwise_is_found(
    said: str, slip: str, expected: list[tuple[int, str]], renderer: Renderer
) -> None:
    page = sections("docs/x.md", TABLE.replace(said, slip, 1), renderer)
    found = [(finding.line, finding.problem) for finding in tables.check(page)]
    assert len(found) >= len(expected)
    assert all(
        line == seen and text.startswith(said) for (seen, text), (line, said) in zip(found, expected, strict=False)
    )


@pytest.mark.parametrize(
    ("page", "state", "shows"),
    [("deadlock", "40P01", True), ("deadlock", "40P02", False), ("lock-timeout", "40P01", False)],
)
def test_a_text_that_leads_to_another_page_is_found(
    page: str, state: str, *, shows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ["`deadlock detected`", f"`{state}`", f"[Deadlock](../troubleshooting/{page}.md)"]
    monkeypatch.setattr(errors, "texts", lambda: [row])
    assert (errors.index() == [row]) is shows


def test_a_page_about_an_error_stands_in_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    named = [row[3] for row in errors.overview()]
    monkeypatch.setattr(errors, "texts", list)
    assert "[…](deadlock.md)" not in named
    assert ["…", "…", "…", "[…](deadlock.md)"] in errors.overview()
    assert ["`40P01`", "`deadlock_detected`", "`DeadlockDetectedError`"] in [row[:3] for row in errors.states()]


def test_what_a_page_is_made_of(renderer: Renderer) -> None:
    page = (
        "---\na: `b`\n---\n\n# `c` 1\n\n1. `d\ne` <!-- `f` 3 -->\n\n    ```text\n    `g` 4\n    ```\n\n## [5](h#6)\n\n"
    )
    page += "`i`. J? k\n"
    found = sections("docs/x.md", page, renderer)
    assert [(one.level, one.anchor, one.line, one.shown) for one in found] == [
        (0, "", 1, ""),
        (1, "c-1", 5, "`g` 4\n"),
        (2, "5", 14, ""),
    ]
    assert [entry for one in found for entry in literals.literals(one)] == [(5, "c"), (7, "d e"), (16, "i")]
    assert found[2].sentences == [(14, "## [5](h#6)"), (16, "`i`."), (16, "J? k")]


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        *(("psql --csv", True), ("psql", True), ("psq", False), ("sql", False), ("--cs", False), ("--csv", True)),
        *(("could not lock … in 12 tries", True), ("could not lock … in 13 tries", False), ("... tries", True)),
    ],
)
def test_what_is_shown(literal: str, *, expected: bool) -> None:
    assert literals.is_shown(literal, "psql --csv could not lock a table in 12 tries") is expected


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        *(("make check", True), ("make checks", False), ("make migration NAME=fern", True), ("make check fern", False)),
        *(('make rehearse ARGS="--fail-on rewrite"', True), ('make rehearse ARGS="--fail-on rewrites"', False)),
        *(("ARGS=--record", True), ("ARGS=--records", False), ("migration_runner", True), ("migration_runners", False)),
        *(("docs/website", True), ("docs/web", False), ("/etc", False), ("build/site", False), ("SHARE", False)),
        ("tests/prose/test_prose.py::test_what_is_shown", True),
        ("tests/prose/test_prosa.py::test_what_is_shown", False),
    ],
)
def test_what_is_of_the_project(literal: str, *, expected: bool) -> None:
    assert literals.is_of_the_project(literal) is expected

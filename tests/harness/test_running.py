"""Running pages: which blocks run for which selection and in which order, what is said of them, and what is proven."""

import json
import re
from pathlib import Path

import pytest

from handbook.postgres import Postgres
from handbook.proof import stale_pages
from harness.project import Project, Run
from website.digest import block_key

pytestmark = pytest.mark.slow

# Each page has a block of every kind that shares something with the others.
GOOD = """# Good

```python
import os

order = ["first"]
```

```console
$ echo "one" > note.txt
```

<!-- not run: needs a sensor -->
```bash
exit 1
```

## Data

```sql
CREATE TABLE note (text text);
INSERT INTO note VALUES ('kept');
```

```python
order.append(await conn.fetchval("SELECT text FROM note"))
print(order, open("note.txt").read().strip())
```

```text title="Output"
['first', 'kept'] one
```

```bash
rm note.txt
```
"""
BAD = """# Bad

```python
ready = True
```

```sql
SELECT 1;
SELECT missing;
```

## After

```python
assert ready
```

<!-- not run: needs a garden -->
```python
raise SystemExit
```

```bash
true
```
"""
PAGES = {"good.md": GOOD, "deep/good.md": GOOD, "deep-good.md": GOOD, "bad.md": BAD}


def made(directory: Path) -> Project:
    project = Project(directory)
    for name, text in PAGES.items():
        project.write(name, text)
    return project


@pytest.fixture
def project(tmp_path: Path, postgres: Postgres) -> Project:
    assert postgres.run
    return made(tmp_path / "project")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> tuple[Project, Run]:
    """All pages, run once; tests that change nothing share it."""
    assert postgres.run
    project = made(tmp_path_factory.mktemp("running") / "project")
    return project, project.pytest("-rA", *BLOCKS, "docs")


def outcomes(run: Run) -> list[str]:
    """What the run says of each item, in an order of its own."""
    found = re.findall(r"(?m)^(PASSED|FAILED|ERROR|SKIPPED)(?: \[\d+\])? (docs/.*?)(?: - .*)?$", run.output)
    return sorted(f"{outcome} {item}" for outcome, item in found)


def of_page(name: str, *lines: str) -> list[str]:
    return [line.replace("PAGE", f"docs/{name}") for line in lines]


EXPECTED = sorted(
    [
        *(
            line
            for name in PAGES
            if name != "bad.md"
            for line in of_page(
                name,
                "PASSED PAGE::good.1",
                "PASSED PAGE::good.2",
                "SKIPPED PAGE:14: not run: needs a sensor",
                "PASSED PAGE::data.1",
                "PASSED PAGE::data.2",
                "PASSED PAGE::data.3",
            )
        ),
        *of_page(
            "bad.md",
            "PASSED PAGE::bad.1",
            "FAILED PAGE::bad.2",
            "SKIPPED PAGE:14: not reached: docs/bad.md:9 failed",
            "SKIPPED PAGE:19: not run: needs a garden",
            "SKIPPED PAGE:23: not reached: docs/bad.md:9 failed",
        ),
    ]
)
# What the linters say of these pages is not the question here.
BLOCKS = ("--deselect=docs/bad.md::examples", *(f"--deselect=docs/{name}::examples" for name in PAGES))


def proof_of(project: Project) -> dict[str, list[dict[str, object]]]:
    proof = json.loads((project.directory / "build" / "proof.json").read_text())
    pages: dict[str, list[dict[str, object]]] = proof["pages"]
    return pages


def settled(project: Project) -> dict[str, list[tuple[object, ...]]]:
    """What a proof says of each block, but for what differs from run to run."""
    keys = ("id", "line", "key", "status", "reason")
    return {name: [tuple(entry[key] for key in keys) for entry in page] for name, page in proof_of(project).items()}


def test_every_block_has_its_outcome(whole: tuple[Project, Run]) -> None:
    _, run = whole
    assert outcomes(run) == EXPECTED
    assert run.status == 1
    assert "handbook: 16 passed, 1 failed, 4 not run, 2 not reached on PostgreSQL " in run.output
    # pytest folds skips of one place and reason into one line; these have places of their own.
    assert len(re.findall(r"(?m)^SKIPPED \[1\]", run.output)) == 6


@pytest.mark.parametrize(
    ("order", "arguments"),
    [
        ("reversed", ()),
        ("interleaved", ()),
        ("1", ()),
        ("", ("-n", "2", "--dist", "loadfile")),
        ("", ("-n", "2", "--dist", "load")),
        ("4", ("-n", "2")),
    ],
)
def test_neither_order_nor_workers_matter(
    order: str, arguments: tuple[str, ...], project: Project, whole: tuple[Project, Run]
) -> None:
    project.environment["HANDBOOK_ORDER"] = order
    run = project.pytest("-rA", *(("-p", "harness.ordering") if order else ()), *arguments, *BLOCKS, "docs")
    assert outcomes(run) == EXPECTED
    assert "handbook: 16 passed, 1 failed, 4 not run, 2 not reached on PostgreSQL " in run.output
    assert settled(project) == settled(whole[0])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["docs/good.md::data.2"], ["PASSED docs/good.md::data.2"]),
        (["-k", "good.md and data and not deep and 2", "docs"], ["PASSED docs/good.md::data.2"]),
        (
            ["docs/good.md::data.3", "docs/bad.md::bad.1", "docs/good.md::data.2"],
            ["PASSED docs/bad.md::bad.1", "PASSED docs/good.md::data.2", "PASSED docs/good.md::data.3"],
        ),
        (["docs/bad.md::after.2"], ["SKIPPED docs/bad.md:19: not run: needs a garden"]),
        (["-x", *BLOCKS, "docs/bad.md", "docs/good.md"], ["FAILED docs/bad.md::bad.2", "PASSED docs/bad.md::bad.1"]),
    ],
    ids=["one", "by keyword", "several", "not run", "up to the first that fails"],
)
def test_blocks_can_be_selected(arguments: list[str], expected: list[str], project: Project) -> None:
    """To run a block is to run those above it first."""
    assert outcomes(project.pytest("-rA", *arguments)) == expected


def test_a_selected_block_fails_with_the_report_of_the_one_above_it(project: Project) -> None:
    run = project.pytest("-rA", "docs/bad.md::after.1")
    assert outcomes(run) == ["FAILED docs/bad.md::after.1"]
    assert "docs/bad.md:9: psql stopped at an error" in run.output
    assert ">    9 | SELECT missing;" in run.output
    assert "assert ready" not in run.output
    assert ".venv/bin/pytest 'docs/bad.md::bad.2'" in run.output


def test_an_unknown_block_is_an_error(project: Project) -> None:
    run = project.pytest("docs/good.md::nonsense.1")
    assert run.status == 4
    assert "not found" in run.output


def test_ids_do_not_move_with_an_edit_above(project: Project) -> None:
    def ids() -> list[str]:
        return re.findall(r"(?m)^docs/.*$", project.pytest("--collect-only", "-q", "docs/good.md").output)

    before = ids()
    project.write("good.md", "Some words first.\n\n" + GOOD.replace("## Data", "More words.\n\n## Data"))
    assert ids() == before
    assert "docs/good.md::data.2" in before


def test_the_proof_says_what_became_of_each_block(whole: tuple[Project, Run]) -> None:
    proof = json.loads((whole[0].directory / "build" / "proof.json").read_text())
    assert re.fullmatch(r"\d+\.\d+", proof["postgresql"])
    assert set(proof["pages"]) == set(PAGES)
    entries = proof["pages"]["good.md"]
    assert [(entry["id"], entry["line"], entry["kind"], entry["status"], entry["reason"]) for entry in entries] == [
        ("good.1", 3, "python", "passed", None),
        ("good.2", 9, "console", "passed", None),
        ("good.3", 14, "bash", "not run", "needs a sensor"),
        ("data.1", 20, "sql", "passed", None),
        ("data.2", 25, "python", "passed", None),
        ("data.2-output", 30, "output", "passed", None),
        ("data.3", 34, "bash", "passed", None),
    ]
    assert entries[3]["key"] == block_key("sql", "CREATE TABLE note (text text);\nINSERT INTO note VALUES ('kept');")
    assert [entry.get("output") for entry in entries[4:6]] == [None, "['first', 'kept'] one\n"]
    assert all(entry["duration"] >= 0 for entry in entries)
    assert [(entry["id"], entry["status"]) for entry in proof["pages"]["bad.md"]] == [
        ("bad.1", "passed"),
        ("bad.2", "failed"),
        ("after.1", "not reached"),
        ("after.2", "not run"),
        ("after.3", "not reached"),
    ]


def test_a_run_of_one_block_keeps_what_is_proven_of_the_others(project: Project) -> None:
    project.pytest(*BLOCKS, "docs")
    before = proof_of(project)
    project.pytest("docs/bad.md::bad.1")
    after = proof_of(project)
    assert [entry["id"] for entry in after["bad.md"]] == [entry["id"] for entry in before["bad.md"]]
    assert after["good.md"] == before["good.md"]


def test_what_did_not_run_as_it_is_stays_stale(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    pages = {name: project.docs / name for name in ("one.md", "other.md", "text.md")}
    project.write("one.md", '```python\na = 1\n```\n\n```python\nprint(a)\n```\n\n```text title="Output"\n1\n```\n')
    project.write("other.md", "```python\nb = 2\n```\n")
    project.write("text.md", "Nothing runs here.\n")

    def stale() -> list[str]:
        return [file.name for file in stale_pages(project.directory, pages)]

    assert stale() == ["one.md", "other.md", "text.md"]
    assert project.pytest("docs/one.md::top.1").status == 0
    assert stale() == ["one.md", "other.md"]
    assert project.pytest("docs/one.md").status == 0
    assert stale() == ["other.md"]
    assert project.pytest("docs").status == 0
    assert stale() == []
    for page in pages.values():
        page.write_text(f"{page.read_text()}\nAnd more.\n")
    assert project.pytest("docs/other.md").status == 0
    assert stale() == ["one.md"]


def test_pages_that_are_proven_can_be_left_out(project: Project) -> None:
    fresh = project.pytest("-n2", "--unproven", *BLOCKS, "docs")
    assert "when they were proven" not in fresh.output
    project.write("good.md", GOOD.replace("# Good", "# Better"))
    run = project.pytest("-rA", "--unproven", *BLOCKS, "docs")
    assert {item.split("::")[0] for item in outcomes(run) if "::" in item} == {
        "PASSED docs/good.md",
        "PASSED docs/bad.md",
        "FAILED docs/bad.md",
    }
    assert "handbook: 2 pages are as they were when they were proven" in run.output
    assert [entry["status"] for entry in proof_of(project)["deep/good.md"]][:2] == ["passed", "passed"]


def test_the_proof_forgets_blocks_and_pages_that_are_gone(project: Project) -> None:
    project.pytest(*BLOCKS, "docs")
    (project.docs / "deep-good.md").unlink()
    project.write("good.md", GOOD.replace("## Data", "## Rows"))
    project.pytest("docs/bad.md::bad.1")
    after = proof_of(project)
    assert "deep-good.md" not in after
    assert [entry["id"] for entry in after["good.md"]] == ["good.1", "good.2", "good.3"]


@pytest.mark.parametrize("arguments", [("test_nothing.py",), ("--collect-only", "docs")])
def test_a_run_that_runs_no_block_proves_nothing(arguments: tuple[str, ...], project: Project) -> None:
    (project.directory / "test_nothing.py").write_text("def test_nothing() -> None:\n    pass\n")
    assert project.pytest(*arguments).status == 0
    assert not (project.directory / "build").exists()


def test_the_files_beside_the_pages_are_tested_like_pages(project: Project) -> None:
    """They have blocks that fail and blocks that are not run, and no place in the proof, which is the site's."""
    for name in ("README.md", "CONTRIBUTING.md"):
        text = "# Fern\n\n<!-- not run: later -->\n```bash\nmake fern\n```\n\n```console\n$ echo fern\nmoss\n```\n"
        (project.directory / name).write_text(text)
    run = project.pytest("-rA", "README.md", "CONTRIBUTING.md")
    assert "FAILED README.md::fern.2" in run.output
    assert "FAILED CONTRIBUTING.md::fern.2" in run.output
    assert run.output.count("not run: later") == 2
    assert "fern" not in (project.directory / "build" / "proof.json").read_text()

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


@pytest.fixture
def project(tmp_path: Path, postgres: Postgres) -> Project:
    assert postgres.run
    made = Project(tmp_path / "project")
    for name, text in PAGES.items():
        made.write(name, text)
    return made


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


def test_every_block_has_its_outcome(project: Project) -> None:
    run = project.pytest("-rA", *BLOCKS, "docs")
    assert outcomes(run) == EXPECTED
    assert run.status == 1
    assert "handbook: 16 passed, 1 failed, 4 not run, 2 not reached on PostgreSQL " in run.output


@pytest.mark.parametrize("order", ["reversed", "interleaved", "1"])
def test_the_order_of_items_does_not_matter(project: Project, order: str) -> None:
    project.environment["HANDBOOK_ORDER"] = order
    assert outcomes(project.pytest("-rA", "-p", "harness.ordering", *BLOCKS, "docs")) == EXPECTED


@pytest.mark.parametrize("arguments", [("--dist", "loadfile"), ("--dist", "load")])
def test_workers_do_not_matter(project: Project, arguments: tuple[str, str]) -> None:
    run = project.pytest("-rA", "-n", "2", *arguments, *BLOCKS, "docs")
    assert outcomes(run) == EXPECTED
    assert "handbook: 16 passed, 1 failed, 4 not run, 2 not reached on PostgreSQL " in run.output


def test_a_shuffled_run_of_workers_has_the_same_outcomes(project: Project) -> None:
    project.environment["HANDBOOK_ORDER"] = "4"
    assert outcomes(project.pytest("-rA", "-p", "harness.ordering", "-n", "2", *BLOCKS, "docs")) == EXPECTED


def test_one_block_runs_those_above_it_first(project: Project) -> None:
    run = project.pytest("-rA", "docs/good.md::data.2")
    assert outcomes(run) == ["PASSED docs/good.md::data.2"]
    assert "1 passed" in run.output


def test_blocks_are_selected_by_keyword(project: Project) -> None:
    run = project.pytest("-rA", "-k", "good.md and data and not deep and 2", "docs")
    assert outcomes(run) == ["PASSED docs/good.md::data.2"]


def test_several_blocks_can_be_selected(project: Project) -> None:
    run = project.pytest("-rA", "docs/good.md::data.3", "docs/bad.md::bad.1", "docs/good.md::data.2")
    assert outcomes(run) == [
        "PASSED docs/bad.md::bad.1",
        "PASSED docs/good.md::data.2",
        "PASSED docs/good.md::data.3",
    ]


def test_a_selected_block_fails_with_the_report_of_the_one_above_it(project: Project) -> None:
    run = project.pytest("-rA", "docs/bad.md::after.1")
    assert outcomes(run) == ["FAILED docs/bad.md::after.1"]
    assert "docs/bad.md:9: psql stopped at an error" in run.output
    assert ">    9 | SELECT missing;" in run.output
    assert "assert ready" not in run.output
    assert ".venv/bin/pytest 'docs/bad.md::bad.2'" in run.output


def test_a_block_that_is_not_run_can_be_selected(project: Project) -> None:
    run = project.pytest("-rs", "docs/bad.md::after.2")
    assert outcomes(run) == ["SKIPPED docs/bad.md:19: not run: needs a garden"]
    assert run.status == 0


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


def test_blocks_do_not_share_a_line_of_the_summary(project: Project) -> None:
    """pytest folds skips of one place and reason into one line; these have places of their own."""
    run = project.pytest("-rs", *BLOCKS, "docs/bad.md")
    assert re.findall(r"(?m)^SKIPPED .*$", run.output) == [
        "SKIPPED [1] docs/bad.md:14: not reached: docs/bad.md:9 failed",
        "SKIPPED [1] docs/bad.md:19: not run: needs a garden",
        "SKIPPED [1] docs/bad.md:23: not reached: docs/bad.md:9 failed",
    ]


def test_the_run_stops_where_it_is_told_to(project: Project) -> None:
    run = project.pytest("-rA", "-x", *BLOCKS, "docs/bad.md", "docs/good.md")
    assert outcomes(run) == ["FAILED docs/bad.md::bad.2", "PASSED docs/bad.md::bad.1"]
    assert "handbook: 1 passed, 1 failed on PostgreSQL " in run.output


def proof_of(project: Project) -> dict[str, list[dict[str, object]]]:
    proof = json.loads((project.directory / "build" / "proof.json").read_text())
    pages: dict[str, list[dict[str, object]]] = proof["pages"]
    return pages


def test_the_proof_says_what_became_of_each_block(project: Project) -> None:
    project.pytest(*BLOCKS, "docs")
    proof = json.loads((project.directory / "build" / "proof.json").read_text())
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
    assert [(entry["id"], entry["status"]) for entry in proof["pages"]["bad.md"]] == [
        ("bad.1", "passed"),
        ("bad.2", "failed"),
        ("after.1", "not reached"),
        ("after.2", "not run"),
        ("after.3", "not reached"),
    ]


def test_workers_write_the_same_proof(project: Project) -> None:
    def settled() -> dict[str, list[tuple[object, ...]]]:
        keys = ("id", "line", "key", "status", "reason")
        return {page: [tuple(entry[key] for key in keys) for entry in es] for page, es in proof_of(project).items()}

    project.pytest(*BLOCKS, "docs")
    alone = settled()
    (project.directory / "build" / "proof.json").unlink()
    project.pytest("-n", "2", "--dist", "loadfile", *BLOCKS, "docs")
    assert settled() == alone
    assert len(alone["good.md"]) == 7


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


def test_a_run_without_pages_leaves_the_proof_alone(project: Project) -> None:
    (project.directory / "test_nothing.py").write_text("def test_nothing() -> None:\n    pass\n")
    assert project.pytest("test_nothing.py").status == 0
    assert not (project.directory / "build").exists()


def test_collecting_proves_nothing(project: Project) -> None:
    project.pytest("--collect-only", "docs")
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

"""The proof on the page: what the hook makes of it, with real runs, real builds and a real server of the site."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from handbook.proof import stale_pages
from harness.project import PATIENCE, Project, visit
from website.digest import block_key
from website.marks.block import Blocks
from website.marks.mark import mark
from website.pages import Page
from website.proof import Proof, read

pytestmark = pytest.mark.slow

GARDEN = """\
# Garden

```python
print("fern")
```

<!-- not run: it takes <an hour> -->
```sql
SELECT pg_sleep(3600);
```

```text
only shown
```

```python title="garden/beds.py"
BEDS = 3
```

=== "SQL"

    ```sql
    SELECT 1 AS one;
    ```

    ```text title="Output"
     one
    -----
       1
    (1 row)
    ```
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project")
    project.become_a_site()
    project.write("index.md", "# Start\n\n[The garden](garden.md)\n\n<!-- verification: totals -->\n")
    project.write("garden.md", GARDEN)
    return project


def prove(project: Project) -> None:
    project.pytest("-q", "docs")


def page(project: Project, name: str = "garden") -> str:
    return (project.directory / "build" / "site" / f"{name}.html").read_text(encoding="utf-8")


def marks(html: str) -> list[str]:
    """The marks of a built page, as a person reads them."""
    found = re.findall(r'<span class="mark[^>]*aria-label="(.*?)"></span>|<p class="note[^>]*>(.*?)</p>', html)
    return [sign or note for sign, note in found]


def test_each_block_of_a_page_has_its_mark(project: Project) -> None:
    prove(project)
    built = project.build("--strict")
    assert (built.returncode, built.stdout) == (0, "")
    html = page(project)
    ran, *others = marks(html)
    assert re.fullmatch(r"Ran on PostgreSQL \d+(\.\d+)+", ran)
    assert others == ["Not run: it takes &lt;an hour&gt;", "Written as shown, for the blocks below", ran]
    assert "<pre>fern</pre>" in html, "the page does not show what the block printed; its cell does"
    assert html.count('<p class="tested"') == 1
    assert "Tested on PostgreSQL" in html


def test_a_block_and_its_output_are_one_cell(project: Project) -> None:
    prove(project)
    project.build("--strict")
    cells = re.findall(r'<div class="cell">.*?(?=<div class="cell">|</article>)', page(project), re.DOTALL)
    assert [cell.count('class="mark') + cell.count('class="note') for cell in cells] == [1, 1, 0, 1, 1]
    assert ("SELECT" in cells[-1], "(1 row)" in cells[-1]) == (True, True)
    assert "cell--output" not in page(project)
    assert "<!--cell-->" not in page(project)


def test_the_page_of_all_blocks_gives_totals_reasons_and_versions(project: Project) -> None:
    parts = ("totals", "not-run", "pages")
    project.write(
        "verification.md", "# Verification\n\n" + "\n\n".join(f"<!-- verification: {name} -->" for name in parts)
    )
    prove(project)
    project.build("--strict")
    assert project.finish().returncode == 0
    start, text = (" ".join(re.sub(r"<[^>]+>", " ", page(project, name)).split()) for name in ("index", "verification"))
    for where in (start, text):
        assert "6 blocks on 1 pages 4 ran and did what their page says 1 not run, for a reason 1 text" in where
    assert re.search(r"garden, line 8 it takes &lt;an hour&gt; Page Ran Not run PostgreSQL garden 4 1 \d+", text)
    markdown = (project.directory / "build" / "site" / "verification.md").read_text(encoding="utf-8")
    assert "it takes &lt;an hour&gt;" in markdown


def test_a_comment_that_asks_for_something_else_is_refused(project: Project) -> None:
    project.write("index.md", "# Start\n\n<!-- verification: sums -->\n")
    prove(project)
    built = project.build("--strict")
    assert built.returncode != 0
    assert "docs/index.md: the comment asks for 'sums', which is none of totals, " in built.stdout


def test_a_strict_build_without_a_proof_names_the_first_block(project: Project) -> None:
    built = project.build("--strict")
    assert built.returncode != 0
    assert 'docs/garden.md:4: no proof for this block; run make docs-test\n\nprint("fern")' in built.stdout


def test_a_strict_build_refuses_a_block_that_has_changed_since_its_proof(project: Project) -> None:
    prove(project)
    project.write("garden.md", GARDEN.replace("SELECT 1 AS", "SELECT 2 AS"))
    built = project.build("--strict")
    assert built.returncode != 0
    assert "garden.md:23: no proof for this block" in built.stdout


def test_a_strict_build_refuses_a_block_that_failed(project: Project) -> None:
    project.write("garden.md", GARDEN.replace("   1\n", "   7\n"))
    prove(project)
    built = project.build("--strict")
    assert built.returncode != 0
    assert "garden.md:22: this block failed when it ran" in built.stdout
    assert project.build().returncode == 0, "a build that is not strict shows the failure instead"
    assert "docs/garden.md:22: this block failed when it ran; run make docs-test\n" in project.finish().stdout
    html = page(project)
    assert (
        marks(html)[-2:] == ["Failed at line 29: the output differs (- is what the page shows, + what was printed)"] * 2
    )
    assert "-    7\n+    1" in html


def test_a_proof_of_another_page_proves_nothing(project: Project) -> None:
    prove(project)
    project.write("copy.md", GARDEN)
    built = project.build("--strict")
    assert "docs/copy.md and docs/garden.md have the same text, so it cannot be told which of them ran" in built.stdout


def test_a_docstring_with_a_block_is_refused(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", copied=("backend",))
    project.become_a_site()
    project.write("index.md", "# Reference\n\n::: src.grow.water\n")
    grow = project.directory / "backend" / "src" / "grow.py"
    grow.write_text('def water() -> None:\n    """Water.\n\n    ```python\n    water()\n    ```\n    """\n')
    built = project.build("--strict")
    assert built.returncode != 0
    assert (
        "A docstring has a code block, and only pages are run. Show it on a page, or indent it as an example."
        in built.stdout
    )
    assert "\n\nwater()" in built.stdout


def test_a_problem_of_the_page_is_shown_and_refused(project: Project) -> None:
    project.write("garden.md", GARDEN + "\n```pyhton\nx\n```\n")
    prove(project)
    built = project.build("--strict")
    assert built.returncode != 0
    assert "garden.md" in built.stdout


def test_a_damaged_proof_is_an_error_with_a_remedy(project: Project) -> None:
    (project.directory / "build").mkdir()
    (project.directory / "build" / "proof.json").write_text('{"pages":')
    built = project.build()
    assert built.returncode != 0
    assert "not a proof" in built.stdout
    assert "delete it and run make docs-test" in built.stdout


@pytest.mark.parametrize("old", [{"digests": {"garden.md": "1f"}}, {"digests": ["1f"]}, {"pages": {"a.md": [{}]}}, []])
def test_a_proof_of_an_older_format_is_none(old: object, tmp_path: Path) -> None:
    """Neither the site nor the harness fails over it: the pages are to run again."""
    file = tmp_path / "build" / "proof.json"
    file.parent.mkdir()
    file.write_text(
        json.dumps({"pages": {"garden.md": [{"status": "passed"}]}, **old} if isinstance(old, dict) else old)
    )
    page = tmp_path / "garden.md"
    page.write_text(GARDEN)
    assert read(tmp_path).staleness("garden.md", page) == ""
    assert read(tmp_path).entries("garden.md") == []
    assert stale_pages(tmp_path, {"garden.md": page}) == [page]


CHANGES = {
    "a title": lambda text: text.replace("garden/beds.py", "garden/paths.py"),
    "a reason": lambda text: text.replace("an hour", "a day"),
    "front matter": lambda text: f"---\ndatabase: empty\n---\n\n{text}",
    "hidden set-up": lambda text: text.replace("# Garden", "# Garden\n\n<!-- invisible-code-block: python\nx = 1\n-->"),
    "the order": lambda text: text.replace("```text\nonly shown\n```\n", "") + "\n```text\nonly shown\n```\n",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_proof_of_the_page_as_it_was_is_stale(change: Callable[[str], str], project: Project) -> None:
    prove(project)
    project.write("garden.md", change(GARDEN))
    built = project.build("--strict")
    assert built.returncode != 0
    assert "docs/garden.md: the page has changed since its blocks ran; run make docs-test" in built.stdout
    assert "Not verified: the page has changed since its blocks ran" in page(project)
    assert "Changed since it ran" in marks(page(project))


def test_a_proof_of_other_code_is_stale(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", copied=("backend",))
    project.become_a_site()
    project.write("index.md", "# Start\n\n```python\nprint(1)\n```\n")
    prove(project)
    assert project.build("--strict").returncode == 0
    with (project.directory / "backend" / "src" / "config.py").open("a") as file:
        file.write("# changed\n")
    built = project.build("--strict")
    assert built.returncode != 0
    message = "docs/index.md: the backend or the harness has changed since its blocks ran; run make docs-test"
    assert message in built.stdout
    assert project.finish().stdout == f"{message}\n"


def test_equal_blocks_of_a_page_have_each_their_own_record() -> None:
    entries = [{"key": block_key("sql", "SELECT 1"), "id": name} for name in ("a.1", "a.2")]
    blocks = Blocks(Page("no page has this text"), Proof({"pages": {"": entries}}))
    taken = [blocks.take("sql", "SELECT 1") for _ in range(3)]
    assert [entry["id"] for entry in taken if entry] == ["a.1", "a.2", "a.2"]


def test_without_a_proof_every_mark_says_so() -> None:
    assert "Not verified yet" in mark(None)


def test_a_served_page_is_proven_again_when_it_is_saved(project: Project, tmp_path: Path) -> None:
    """Save a page, and see that the site tells the browser what its blocks did."""
    prove(project)
    report = tmp_path / "report.txt"
    with project.served(report) as address:
        proof = f"{address}/.proof?page=garden.md"
        visit(f"{address}/garden.html", lambda text: "data-proof-key" in text)
        port = address.rpartition(":")[2]
        for headers in ({"Host": f"example.com:{port}"}, {"Origin": "http://example.com"}, {"Origin": "null"}):
            stranger = urllib.request.Request(proof, headers=headers)  # noqa: S310
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(stranger, timeout=PATIENCE)  # noqa: S310
        with urllib.request.urlopen(f"{address}/garden.md", timeout=PATIENCE) as markdown:  # noqa: S310
            assert markdown.read().decode() == GARDEN, "the link at the title"
        own = urllib.request.Request(proof, headers={"Origin": address})  # noqa: S310
        urllib.request.urlopen(own, timeout=PATIENCE).close()  # noqa: S310
        project.write("garden.md", GARDEN.replace("   1\n", "   7\n"))
        visit(proof, lambda text: "-    7\\n+    1" in text)
        end = time.monotonic() + PATIENCE
        while "docs/garden.md:29: the output differs" not in report.read_text():
            assert time.monotonic() < end, "nothing is told on the terminal"
            time.sleep(0.05)
        # A page that cannot be read does not end the server, and says what is wrong.
        project.write("garden.md", GARDEN + "\n```pyhton\nx\n```\n")
        visit(proof, lambda text: "unknown language" in text)
        project.write("garden.md", GARDEN)
        visit(proof, lambda text: "Failed" not in text and "unknown language" not in text)


def test_a_site_without_a_proof_is_served_at_once_and_proves_the_open_page_first(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.become_a_site()
    names = [f"bed-{number}" for number in range(8)]
    for name in names:
        project.write(f"{name}.md", f"# {name}\n\n```bash\nsleep 1\n```\n")
    project.write("index.md", "# Garden\n")
    with project.served(tmp_path / "report.txt") as address:
        visit(f"{address}/{names[-1]}.html", lambda text: "Not verified yet" in text)
        visit(f"{address}/.proof?page={names[-1]}.md", lambda text: "Ran" in text)
        proven = json.loads((project.directory / "build" / "proof.json").read_text())["pages"]
        late = [name for name in names if proven[f"{name}.md"]]
        visit(f"{address}/.proof?page={names[3]}.md", lambda text: "Ran" in text)
    assert len(late) < len(names), "the open page waited for all the others"


def test_the_proof_records_what_the_issue_of_a_block_needs(project: Project) -> None:
    prove(project)
    proof = json.loads((project.directory / "build" / "proof.json").read_text(encoding="utf-8"))
    first = proof["pages"]["garden.md"][0]
    assert first["key"] == block_key("python", 'print("fern")')
    assert {name: first[name] for name in ("id", "line", "kind", "status", "reason", "output")} == {
        "id": "garden.1",
        "line": 3,
        "kind": "python",
        "status": "passed",
        "reason": None,
        "output": "fern\n",
    }
    assert first["duration"] >= 0
    shown = {entry["id"]: entry for entry in proof["pages"]["garden.md"]}
    assert shown["garden.4-output"]["output"].split() == ["one", "-----", "1", "(1", "row)"]
    assert "output" not in shown["garden.4"]
    assert proof["postgresql"]

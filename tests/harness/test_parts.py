"""One test for each part of the harness, named for what is broken when it fails.

Each asks the part for a failure or for a fact that only real work can give, so that a part which does nothing, or says
yes to everything, is found out: the last test sabotages the harness, and the others have to notice.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from handbook.postgres import Postgres
from harness.project import Project

pytestmark = pytest.mark.slow

WRONG_OUTPUT = """# Wrong

```python
print("one")
```

```text title="Output"
two
```

## Console

```console
$ echo one
two
```
"""
FAILING = {
    "python": "```python\nraise SystemExit\n```\n",
    "session": "```pycon\n>>> raise SystemExit\n```\n",
    "sql": "```sql\nSELECT missing;\n```\n",
    "bash": "```bash\nfalse\n```\n",
    "console": "```console\n$ false\n```\n",
    "json": "```json\n{,}\n```\n",
    "file": '```python title="a/b.py"\nraise SystemExit\n```\n',
    "setup": "<!-- invisible-code-block: python\nraise SystemExit\n-->\n",
}
BLOCKS = """# Top

```python title="Attributes"
x = 1
```

> ```sql
> SELECT 1;
> ```

=== "Tab"

    ~~~{ .bash }
    true
    ~~~
"""
RAN = """# Ran

```python
import uuid
from pathlib import Path

token = uuid.uuid4().hex
print(token)
Path("SEEN").write_text(token)
```

```bash
false
```

```bash
true
```
"""


@pytest.fixture
def project(tmp_path: Path, postgres: Postgres) -> Project:
    assert postgres.run
    return Project(tmp_path / "project")


def test_the_comparison_tells_what_differs(project: Project) -> None:
    text, console = WRONG_OUTPUT.split("## Console")
    project.write("text.md", text)
    project.write("console.md", f"# Console{console}")
    run = project.pytest("-rA", "docs")
    assert "FAILED docs/text.md::wrong.1" in run.output, "output that differs passes"
    assert "FAILED docs/console.md::console.1" in run.output, "a command's output that differs passes"


def test_the_evaluator_runs_every_kind_of_block(project: Project) -> None:
    for name, text in FAILING.items():
        project.write(f"{name}.md", text)
    run = project.pytest("-rA", "docs")
    for name in FAILING:
        assert f"FAILED docs/{name}.md::top." in run.output, f"{name} that fails passes: it was not run"


def test_the_parser_finds_every_block(project: Project) -> None:
    project.write("page.md", BLOCKS)
    run = project.pytest("--collect-only", "-q", "docs")
    for name in ("top.1", "top.2", "top.3"):
        assert f"docs/page.md::{name}\n" in run.output, "a block of the page is not collected"


def test_every_fence_is_accounted_for(project: Project) -> None:
    project.write("page.md", "# Unclosed\n\n```python\nx = 1\n")
    run = project.pytest("-rA", "docs")
    assert "FAILED docs/page.md::line 3" in run.output, "a fence that is no block goes unnoticed"


def test_a_skip_needs_a_reason(project: Project) -> None:
    project.write("page.md", "# Skip\n\n<!-- not run: -->\n```python\nraise SystemExit\n```\n")
    assert project.pytest("docs").status == 1, "a block is kept from running without a reason"


def test_the_proof_is_of_what_ran(project: Project) -> None:
    seen = project.directory / "seen"
    project.write("page.md", RAN.replace("SEEN", str(seen)))
    project.pytest("docs")
    entries = json.loads((project.directory / "build" / "proof.json").read_text())["pages"]["page.md"]
    assert seen.exists(), "the proof is of a block that did not run"
    assert entries[0]["output"].strip() == seen.read_text(), "the proof holds another output than was printed"
    assert [entry["status"] for entry in entries] == ["passed", "failed", "not reached"], (
        "the proof says what is untrue"
    )


# For each sabotage the module and the function that it is put at the start of, and the test that finds it out.
SABOTAGES: dict[str, tuple[str, str, str, Callable[[Project], None]]] = {
    "compare always true": ("output", "compare", "return Comparison(())", test_the_comparison_tells_what_differs),
    "differences are overlooked": ("output", "first_difference", "return None", test_the_comparison_tells_what_differs),
    "the evaluator does nothing": ("run", "evaluate", "return", test_the_evaluator_runs_every_kind_of_block),
    "the run does nothing": (
        "run",
        "_attempt",
        "return Outcome(Status.PASSED)",
        test_the_evaluator_runs_every_kind_of_block,
    ),
    "the parser returns no blocks": ("reading", "_read_blocks", "return", test_the_parser_finds_every_block),
    "the rendering has no fences": ("rendering", "handle_starttag", "return", test_the_parser_finds_every_block),
    "fences that are no blocks are overlooked": (
        "reading",
        "_wrong_fences",
        "return",
        test_every_fence_is_accounted_for,
    ),
    "reasons are not asked for": (
        "directives",
        "_give_reason",
        'directive = Directive(directive.line, directive.end_line, "", "not run", "none")',
        test_a_skip_needs_a_reason,
    ),
    "the proof is written without running": (
        "run",
        "_attempt",
        "return Outcome(Status.PASSED)",
        test_the_proof_is_of_what_ran,
    ),
    "the proof says that all has passed": (
        "proof",
        "entries_of",
        "outcome = Outcome(Status.PASSED, outcome.output)",
        test_the_proof_is_of_what_ran,
    ),
}


def insert(path: Path, function: str, code: str) -> None:
    """Put code at the start of a function, below its docstring."""
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(rf'(?s)(\n( *)def {function}\([^"]*?:\n)((?: *""".*?"""\n)?)')
    assert len(pattern.findall(text)) == 1, f"{path.name} has no {function}"
    path.write_text(pattern.sub(lambda m: f"{m[1]}{m[3]}{m[2]}    {code}\n", text), encoding="utf-8")


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_sabotaged_harness_is_found_out(sabotage: str, tmp_path: Path) -> None:
    module, function, code, found_by = SABOTAGES[sabotage]
    project = Project(tmp_path / "project", copied=("tests",))
    insert(project.directory / "tests" / "handbook" / f"{module}.py", function, code)
    with pytest.raises(AssertionError):
        found_by(project)

"""Blocks that do not end, runs that are interrupted, and pages whose database cannot be made."""

import json
import signal
import time
from pathlib import Path

import pytest

from handbook.postgres import Postgres
from harness.project import PATIENCE, Project

pytestmark = pytest.mark.slow

# The limit of the inner run, in seconds, so that a test need not wait for the usual one.
SHORT = """
import handbook.workspace

handbook.workspace.TIME_LIMIT = 2.0
"""
STUBBORN = """```python
import time

while True:
    try:
        time.sleep(1)
    except BaseException:
        pass
```
"""
ENDLESS = {
    "python": "```python\nimport sys\n\nwhile sys:\n    pass\n```\n",
    "stubborn": STUBBORN,
    "awaits": "```python\nimport asyncio\n\nawait asyncio.sleep(600)\n```\n",
    "session": "```pycon\n>>> import sys\n>>> while sys:\n...     pass\n```\n",
    "console": "```console\n$ echo before\nbefore\n$ sleep 600\n```\n",
    "bash": "```bash\nsleep 600 | cat\n```\n",
    "sql": "```sql\nSELECT pg_sleep(600);\n```\n",
}


# How the block says that it runs.
STARTED = {
    "python": "open('started', 'w').close()",
    "awaits": "open('started', 'w').close()",
    "session": ">>> open('started', 'w').close()",
    "console": "$ touch started",
}


@pytest.fixture
def project(tmp_path: Path, postgres: Postgres) -> Project:
    assert postgres.run
    return Project(tmp_path / "project", copied=("backend",))


def test_a_block_that_does_not_end_fails(project: Project) -> None:
    (project.directory / "conftest.py").write_text(SHORT)
    for name, text in ENDLESS.items():
        project.write(f"{name}.md", text + "\n```python\nafter = 1\n```\n")
    run = project.pytest("-rA", "docs")
    for name in ENDLESS:
        line = 3 if name == "session" else 2  # that of the statement
        assert f"docs/{name}.md:{line}: did not end within " in run.output, run.output
        assert f"FAILED docs/{name}.md::top.1" in run.output
    assert run.output.count(": not reached: docs/") == len(ENDLESS)


@pytest.mark.parametrize("kind", ["python", "console", "awaits", "session"])
def test_a_run_that_is_interrupted_ends_in_order(kind: str, project: Project) -> None:
    project.write("a.md", "```python\nimport pathlib\n```\n")
    fence, rest = ENDLESS[kind].split("\n", 1)
    project.write("b.md", f"{fence}\n{STARTED[kind]}\n{rest}")
    with project.start("-v", "docs") as process:
        pages = project.directory / "scratch" / "pages"
        end = time.monotonic() + PATIENCE
        while not list(pages.glob("*/started")):
            if time.monotonic() > end:
                process.kill()
                pytest.fail(process.communicate()[0])
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert list(pages.iterdir()) == []
    proven = json.loads((project.directory / "build" / "proof.json").read_text())["pages"]
    assert [entry["status"] for entry in proven["a.md"]] == ["passed"]
    assert proven["b.md"] == []


def test_a_migration_that_fails_is_told_at_each_page(project: Project) -> None:
    migration = project.directory / "backend" / "src" / "db" / "migrations" / "000_broken.py"
    migration.write_text("async def up(conn):\n    await conn.execute('SELECT missing')\n")
    project.environment["HANDBOOK_RUN"] += "_broken"
    project.write("page.md", "# Page\n\n```python\nx = 1\n```\n\n```sql\nSELECT 1;\n```\n")
    project.write("other.md", "# Other\n\n```python\nprint(1)\n```\n")
    run = project.pytest("-rA", "docs")
    assert "docs/page.md:3: the page's database cannot be made" in run.output
    assert "000_broken.py" in run.output
    assert 'column "missing" does not exist' in run.output
    assert "docs/other.md:3: the page's database cannot be made" in run.output

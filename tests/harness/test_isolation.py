"""Pages know nothing of each other: not of processes, roles or packages; and what is published is what is tested."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.project import Project

pytestmark = pytest.mark.slow

ROLES = {
    "a-makes": "```sql\nCREATE ROLE gardener;\n```\n",
    "b-looks": "```sql\nSELECT count(*) FROM pg_roles WHERE rolname = 'gardener';\n```\n\n"
    '```text title="Output"\n count\n-------\n     0\n(1 row)\n```\n',
    "c-alters": "```sql\nALTER ROLE plantops SET work_mem = '8MB';\n```\n",
    "d-takes-back": "```sql\nALTER ROLE plantops SET work_mem = '8MB';\n```\n\n"
    "```sql\nALTER ROLE plantops RESET work_mem;\n```\n",
}
LEFT = "```console\n$ env -i setsid sleep 4712.5 &\n$ (setsid nohup sleep 4712.5 > /dev/null 2>&1 &)\n```\n"
INSTALL = """```bash
python -c 'import sys, pathlib; pathlib.Path(sys.prefix, "planted").write_text("fern")'
test -f .venv/planted
```

```python
import sys
from pathlib import Path

Path(sys.prefix, "planted-too").write_text("moss")
```
"""
FAILS = "# Ferns\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n"


def test_what_a_page_does_to_the_server_no_other_page_sees(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", own_server=True)
    for name, text in ROLES.items():
        project.write(f"{name}.md", text)
    run = project.pytest("-rA", *(f"--deselect=docs/{name}.md::examples" for name in ROLES), "docs")
    assert "PASSED docs/a-makes.md::top.1" in run.output, run.output
    assert "PASSED docs/b-looks.md::top.1" in run.output, run.output
    assert "docs/c-alters.md:2: the page leaves the server changed: settings of role plantops" in run.output
    assert "PASSED docs/d-takes-back.md::top.2" in run.output, run.output


def test_no_process_of_a_page_outlives_it(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.write("page.md", LEFT)
    run = project.pytest("docs")
    assert run.status == 0, run.output
    assert not any("4712.5" in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


def test_a_page_has_an_environment_of_its_own(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.write("page.md", INSTALL)
    run = project.pytest("--deselect=docs/page.md::examples", "docs")
    assert run.status == 0, run.output
    assert not list((project.directory / ".venv").glob("planted*"))


@pytest.mark.parametrize("option", ["--lf", "--sw"])
def test_a_block_that_failed_is_found_again(option: str, tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.write("ferns.md", FAILS)
    project.write("moss.md", "# Moss\n\n```python\ny = 1\n```\n")

    def run(*options: str) -> str:
        command = [sys.executable, "-m", "pytest", "-rA", *options, "docs"]  # with the cache, unlike other inner runs
        ended = subprocess.run(
            command, cwd=project.directory, env=project.environment, capture_output=True, text=True, check=False
        )
        return ended.stdout

    first = run("--sw")
    assert "FAILED docs/ferns.md::ferns.2" in first, first
    again = run(option)
    assert "FAILED docs/ferns.md::ferns.2" in again, again
    assert "1 failed" in again
    assert "passed" not in again.splitlines()[-1], again


def test_what_is_published_is_tested(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    names = ["build/water.md", "long.markdown", "short.mkd"]
    for name in [*names, ".hidden/left.md", "templates/out.md"]:
        project.write(name, "# Page\n\n```bash\ntrue\n```\n")
    run = project.pytest("docs")
    assert run.status == 0, run.output
    assert sorted(json.loads((project.directory / "build" / "proof.json").read_text())["pages"]) == names

"""A run leaves nothing: no process, no database, no directory; not when a block fails, and not when it is killed."""

import asyncio
import os
import signal
import time
from pathlib import Path

import asyncpg
import psutil
import pytest

from handbook.postgres import Postgres
from handbook.workspace import PAGE
from harness.project import Project

pytestmark = pytest.mark.slow

# Every way in which a page's blocks start what would outlive them.
LINGERING = """# What lingers

```python
import asyncio
import os
import subprocess
from pathlib import Path

sleeper = subprocess.Popen(["sleep", "600"])
pending = await conn.execute("LISTEN plants")
waiting = asyncio.create_task(asyncio.sleep(600))
```

```console
$ sleep 600 &
$ psql -c 'SELECT pg_sleep(600)' &
$ nohup setsid sleep 600 > /dev/null 2>&1 &
```

```bash
sleep 600 &
```

```python
Path("SEEN").write_text(os.environ["HANDBOOK_PAGE"])
LAST
```
"""
WITHOUT_DATABASE = """# A page without a database

```python
import os
from pathlib import Path

if os.fork() == 0:
    os.execvp("sleep", ["sleep", "600"])
Path("SEEN").write_text(str(Path.cwd()))
```
"""


def processes_below(directory: Path) -> list[psutil.Process]:
    """The processes whose page workspace lies in a directory."""
    found = []
    for process in psutil.process_iter(["environ"]):
        page = (process.info["environ"] or {}).get(PAGE, "")
        if page.startswith(str(directory)):
            found.append(process)
    return found


async def databases_of_pages(server: Postgres, run: str) -> list[str]:
    """The databases that a run made for its pages; its template stays for other processes of the run."""
    conn = await asyncpg.connect(server.url("postgres"))
    try:
        rows = await conn.fetch("SELECT datname FROM pg_database WHERE datname ~ ('^' || $1 || '_[0-9a-f]{12}$')", run)
    finally:
        await conn.close()
    return [row["datname"] for row in rows]


@pytest.mark.parametrize(
    ("text", "last", "status"),
    [(LINGERING, "done = True", 0), (LINGERING, "raise SystemExit", 1), (WITHOUT_DATABASE, "", 0)],
    ids=["passed", "failed", "without a database"],
)
def test_a_run_leaves_nothing(text: str, last: str, status: int, tmp_path: Path, postgres: Postgres) -> None:
    project = Project(tmp_path / "project")
    seen = tmp_path / "seen"
    project.environment["HANDBOOK_RUN"] = f"{postgres.run}_{tmp_path.name[-8:]}"
    project.write("page.md", text.replace("SEEN", str(seen)).replace("LAST", last))
    run = project.pytest("--deselect=docs/page.md::examples", "docs")
    assert run.status == status, run.output
    workspace = Path(seen.read_text())
    assert not workspace.exists()
    assert workspace.parent == project.directory / "scratch" / "pages"
    assert processes_below(project.directory) == []
    assert asyncio.run(databases_of_pages(postgres, project.environment["HANDBOOK_RUN"])) == []


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_run_that_is_killed_leaves_nothing(workers: tuple[str, ...], tmp_path: Path) -> None:
    project = Project(tmp_path / "project", own_server=True)
    seen = tmp_path / "seen"
    wait = "import time\n\ntime.sleep(600)"
    project.write("page.md", LINGERING.replace("SEEN", str(seen)).replace("LAST", wait))
    run = project.start(*workers, "docs")
    try:
        wait_until(lambda: seen.exists() and seen.read_text() != "", "the page's last block runs")
        workspace = Path(seen.read_text())
        scratch = workspace.parent.parent
        assert len(processes_below(scratch)) >= 4
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()
    wait_until(lambda: not scratch.parent.exists(), "the server's directory is gone")
    wait_until(lambda: not processes_below(scratch), "the page's processes are gone")


def wait_until(condition: object, what: str, seconds: float = 120.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.05)

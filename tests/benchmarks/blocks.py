"""What the harness costs: a page's database, and running blocks as against plain test functions.

.venv/bin/python tests/benchmarks/blocks.py

Prints each figure beside its bound, and ends with status 1 if one is missed by far. Processes are timed as a whole, the
kinds in turn. The run of 10,000 blocks lasts through the machine's slow moments and its fast ones, so it is compared
with the mean of the small runs before and after it.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("tests", "backend", "docs")]

import asyncpg  # noqa: E402 - below the paths that the next ones are found on
from figure import Figure, ratio, report  # noqa: E402

from handbook.postgres import Postgres, serve  # noqa: E402
from harness.project import Project, visit  # noqa: E402

BLOCKS_A_PAGE = 20
ROUNDS = 6
BODY = "value_{n} = {n} + 1\nassert value_{n} == {n} + 1\n"


def main() -> int:
    with serve() as server, tempfile.TemporaryDirectory() as scratch:
        server.drop(server.create("migrated"))
        database = min(seconds(lambda: use_database(server)) for _ in range(50))
        small = Project(Path(scratch) / "small")
        write_pages(small, 50)
        write_functions(small, 50)
        large = Project(Path(scratch) / "large")
        write_pages(large, 500)
        run(small, "docs")
        blocks, functions = [], []
        for round_ in range(ROUNDS):
            if round_ == ROUNDS // 2:
                more = seconds(lambda: run(large, "docs"))
            blocks.append(seconds(lambda: run(small, "docs")))
            functions.append(seconds(lambda: run(small, "functions")))
        saved = save(small, Path(scratch) / "report.txt")
    few, plain = statistics.mean(blocks), statistics.mean(functions)
    return report(
        [
            Figure("a page's database", database * 1000, 30, goal=20, unit="ms"),
            Figure(
                "1,000 blocks on 50 pages, as against test functions",
                ratio(blocks, functions),
                3.0,
                f"{few:.2f} s, {plain:.2f} s",
                goal=1.3,
            ),
            Figure("a page of 20 blocks that is saved, until the browser has its marks", saved, 2, unit="s"),
            Figure("10,000 blocks on 500 pages, as against 1,000", more / few, 12, f"{more:.2f} s", goal=11),
        ]
    )


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def use_database(server: Postgres) -> None:
    """Make a page's database, connect to it, close the connection and drop it."""

    async def connect(url: str) -> None:
        await (await asyncpg.connect(url)).close()

    name = server.create("migrated")
    asyncio.run(connect(server.url(name)))
    server.drop(name)


def bodies(page: int) -> list[str]:
    first = page * BLOCKS_A_PAGE
    return [BODY.format(n=number) for number in range(first, first + BLOCKS_A_PAGE)]


def write_pages(project: Project, count: int) -> None:
    for page in range(count):
        blocks = "\n".join(f"Some words.\n\n```python\n{body}```\n" for body in bodies(page))
        project.write(f"page-{page:03}.md", f"# Page {page}\n\n{blocks}")


def write_functions(project: Project, count: int) -> None:
    (project.directory / "functions").mkdir()
    for page in range(count):
        functions = []
        for number, body in enumerate(bodies(page)):
            indented = "".join(f"    {line}\n" for line in body.splitlines())
            functions.append(f"def test_{number}():\n{indented}")
        (project.directory / "functions" / f"test_page_{page:03}.py").write_text("\n\n".join(functions))


def save(project: Project, report: Path) -> float:
    """Save a page while the site is served, and return how many seconds it takes until its marks can be had."""
    project.become_a_site()
    project.write("index.md", "# Start\n")
    failing = "# Page\n\n" + "\n".join(f"```python\n{body}```\n" for body in bodies(1)) + "\n```python\n1 / 0\n```\n"
    with project.served(report) as address:
        visit(f"{address}/page-001.html", lambda text: "data-proof-key" in text)
        project.write("page-001.md", failing)
        return seconds(lambda: visit(f"{address}/.proof?page=page-001.md", lambda text: "ZeroDivisionError" in text))


def run(project: Project, what: str) -> None:
    ended = project.pytest("-q", what)
    if ended.status != 0:
        sys.exit(ended.output)


if __name__ == "__main__":
    sys.exit(main())

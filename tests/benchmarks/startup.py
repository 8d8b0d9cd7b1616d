"""Measure the migration runner against bare asyncpg, in whole processes; ``make bench`` runs it.

1,000 migrations, written as the tutorial writes them, are applied by the runner and by two loops that make the same
transactions with the same records: the floor reads, compiles and executes the same files, and the other loop has the
statements in itself. A start with nothing pending, and the commands ``migrate`` and ``status`` there, are compared
with a process that connects and asks for the versions.

Each is done on the server that development uses, which has what is committed on the disk, and on the throw-away
server of the tests. The processes take turns, and those of one round are compared with each other: the time on the
wall, and the processor's time of the process itself, which the server has no part in. Rounds end when those to come
could change no answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BACKEND = ROOT / "backend"
sys.path[:0] = [str(BACKEND)]

import asyncpg  # noqa: E402 - below the path that the next ones are found on
from figure import Figure, ratio, report, settled  # noqa: E402

from src.db.server import Server, development, throwaway  # noqa: E402

MIGRATIONS = 1000
# At most so many; odd numbers, so that a median is one of the ratios.
APPLY_ROUNDS = 11
START_ROUNDS = 15

RUNNER = """
import asyncio, sys
from src.db.migration_runner import run_migrations
asyncio.run(run_migrations(sys.argv[1], directory=sys.argv[2]))
"""

_LOOP = """
import asyncio, pathlib, sys
import asyncpg
async def main():
    conn = await asyncpg.connect(sys.argv[1])
    await conn.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version TEXT PRIMARY KEY, applied_at TIMESTAMPTZ DEFAULT NOW())"
    )
    for path in sorted(pathlib.Path(sys.argv[2]).glob("*.py"), key=lambda path: int(path.name.partition("_")[0])):
        version = path.name.partition("_")[0]
        {load}
        async with conn.transaction():
            await {up}
            await conn.execute("INSERT INTO schema_migrations (version) VALUES ($1)", version)
    await conn.close()
asyncio.run(main())
"""
FLOOR = _LOOP.format(
    load='module = {}; exec(compile(path.read_bytes(), path, "exec"), module)', up='module["up"](conn)'
)
STATEMENTS = _LOOP.format(
    load="pass", up='conn.execute(f"CREATE TABLE IF NOT EXISTS bench_{int(version)} (id INTEGER)")'
)

ASK = """
import asyncio, sys
import asyncpg
async def main():
    conn = await asyncpg.connect(sys.argv[1])
    await conn.fetch("SELECT version FROM schema_migrations")
    await conn.close()
asyncio.run(main())
"""

COMMAND = """
import sys
from src.db.commands.command_line import main
sys.exit(main(sys.argv[1:]))
"""

MIGRATION = '''"""Make table {number}."""

import asyncpg


async def up(conn: asyncpg.Connection) -> None:
    await conn.execute("CREATE TABLE IF NOT EXISTS bench_{number} (id INTEGER)")
'''


@dataclass
class Times:
    """How long one kind of process took, in seconds."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def add(self, code: str, *arguments: str) -> None:
        """Run a program in a new interpreter, and add what it took."""
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=BACKEND, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        self.wall.append(time.perf_counter() - started)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(process.returncode)
        self.processor.append(used.ru_utime + used.ru_stime)


@dataclass(frozen=True)
class Comparison:
    """One kind of process as against another.

    Arguments:
        name: what is compared.
        ours: the times of the one.
        theirs: the times of the other, taken in turn with them.
        bounds: what the ratio may be, and shall be one day: on the wall and, if there is a second, of the processor.
    """

    name: str
    ours: Times
    theirs: Times
    bounds: Sequence[tuple[float, float | None]]

    def settled(self, rounds: int) -> bool:
        """Whether the answer is known, whatever the rest of so many rounds would be."""
        return all(settled(*times, bound, rounds) for _, times, bound, _ in self._kinds())

    def figures(self) -> Iterator[Figure]:
        """The ratio of each kind of time."""
        for kind, (ours, theirs), bound, goal in self._kinds():
            details = f"{statistics.median(ours):.3f} s, {statistics.median(theirs):.3f} s in {len(ours)} rounds"
            yield Figure(f"{self.name}, {kind}", ratio(ours, theirs), bound, details, goal)

    def _kinds(self) -> Iterator[tuple[str, tuple[list[float], list[float]], float, float | None]]:
        for (bound, goal), kind in zip(self.bounds, ("wall", "processor"), strict=False):
            yield kind, (getattr(self.ours, kind), getattr(self.theirs, kind)), bound, goal


def write_migrations(directory: Path) -> None:
    """Write the migrations."""
    for number in range(1, MIGRATIONS + 1):
        (directory / f"{number:03d}_bench.py").write_text(MIGRATION.format(number=number))


@contextlib.contextmanager
def fresh_database(url: Callable[[str], str]) -> Iterator[str]:
    """Give an empty database, and drop it."""

    async def execute(statement: str) -> None:
        conn = await asyncpg.connect(url("postgres"))
        await conn.execute(statement)
        await conn.close()

    asyncio.run(execute("CREATE DATABASE plantops_benchmark"))
    try:
        yield url("plantops_benchmark")
    finally:
        asyncio.run(execute("DROP DATABASE plantops_benchmark"))


def measure(server: Server, kind: str, directory: str) -> Iterator[Figure]:
    """Measure on one server."""
    runner, floor, statements = Times(), Times(), Times()
    name = f"{MIGRATIONS:,} migrations, {kind} server, as against a loop"
    loops = [
        Comparison(f"{name} that loads the files", runner, floor, BOUNDS["floor"]),
        Comparison(f"{name} of the statements", runner, statements, BOUNDS["statements"]),
    ]
    while not all(comparison.settled(APPLY_ROUNDS) for comparison in loops):
        # The runner stands next to both that it is compared with.
        for times, code in ((floor, FLOOR), (runner, RUNNER), (statements, STATEMENTS)):
            with fresh_database(server.url) as url:
                times.add(code, url, directory)
    ask, start, migrate, status = Times(), Times(), Times(), Times()
    starts = [
        Comparison(f"{label} with nothing pending, {kind} server, as against a query", times, ask, BOUNDS[label])
        for label, times in (("a start", start), ("migrate", migrate), ("status", status))
    ]
    with fresh_database(server.url) as url:
        Times().add(RUNNER, url, directory)
        place = ("--database-url", url, "--directory", directory)
        while not all(comparison.settled(START_ROUNDS) for comparison in starts):
            ask.add(ASK, url)
            start.add(RUNNER, url, directory)
            migrate.add(COMMAND, "migrate", *place)
            status.add(COMMAND, "status", *place)
    for comparison in loops + starts:
        yield from comparison.figures()


# What each may take, and shall take one day: on the wall, and of the processor.
BOUNDS: dict[str, list[tuple[float, float | None]]] = {
    "floor": [(1.25, 1.05), (1.26, 1.10)],
    "statements": [(1.33, 1.15), (1.47, None)],
    "a start": [(1.2, 1.05)],
    "migrate": [(1.2, None)],
    "status": [(2.0, None)],
}


def figures() -> Iterator[Figure]:
    """Measure on both servers."""
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryDirectory() as directory:
        write_migrations(Path(directory))
        with development(Path(data)) as server:
            yield from measure(server, "durable", directory)
        with throwaway() as server:
            yield from measure(server, "throw-away", directory)


if __name__ == "__main__":
    # Python keeps the bytecode of what it imports, which asyncpg's was kept by its installation.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.exit(report(figures()))

"""Measure the migration runner against bare asyncpg, in whole processes; ``make bench`` runs it.

Ratios of medians are printed, and the exit status is 1 when one is over its limit:

- applying 1,000 small migrations, to a loop that sends the same statements in the same transactions;
- a start with nothing pending at 1,000 applied, to a process that connects and asks for the versions;
- the commands ``migrate`` and ``status`` there, to the same process.

The server is the embedded one, as the backend starts it for development: what is committed is on the disk. The
processes of the two sides take turns, so that whatever else the machine does burdens both alike.
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
from pathlib import Path
from typing import TYPE_CHECKING

BACKEND = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BACKEND))

import asyncpg  # noqa: E402 - the import root has to be set first

from src.db.server import development  # noqa: E402 - the import root has to be set first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIGRATIONS = 1000
APPLY_ROUNDS = 7
START_ROUNDS = 21
APPLY_LIMIT = 1.15
START_LIMIT = 1.2
STATUS_LIMIT = 2.0

RUNNER = """
import asyncio, sys
from src.db.migration_runner import run_migrations
asyncio.run(run_migrations(sys.argv[1], directory=sys.argv[2]))
"""

BARE_APPLY = """
import asyncio, sys
import asyncpg
async def main():
    conn = await asyncpg.connect(sys.argv[1])
    await conn.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version TEXT PRIMARY KEY, applied_at TIMESTAMPTZ DEFAULT NOW())"
    )
    for number in range(1, int(sys.argv[2]) + 1):
        async with conn.transaction():
            await conn.execute(f"CREATE TABLE IF NOT EXISTS bench_{number} (id INTEGER)")
            await conn.execute("INSERT INTO schema_migrations (version) VALUES ($1)", f"{number:03d}")
    await conn.close()
asyncio.run(main())
"""

BARE_START = """
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


def write_migrations(directory: Path) -> None:
    """Write the migrations whose statements ``BARE_APPLY`` sends."""
    for number in range(1, MIGRATIONS + 1):
        path = directory / f"{number:03d}_bench.py"
        path.write_text(
            f'async def up(conn):\n    await conn.execute("CREATE TABLE IF NOT EXISTS bench_{number} (id INTEGER)")\n'
        )


def seconds(code: str, *arguments: str) -> float:
    """Run a program in a new interpreter and return how long it took."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, cwd=BACKEND, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


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


def compare(label: str, limit: float, ours: list[float], bare: list[float]) -> bool:
    """Print the ratio of two lists' medians; return whether it is within its limit."""
    ratio = statistics.median(ours) / statistics.median(bare)
    print(
        f"{label}: {statistics.median(ours):.3f} s, bare asyncpg {statistics.median(bare):.3f} s,"
        f" ratio {ratio:.3f} (limit {limit})"
    )
    return ratio <= limit


def main() -> int:
    """Measure the ratios and return the exit status."""
    # Python keeps the bytecode of what it imports, which asyncpg's was kept by its installation.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with (
        tempfile.TemporaryDirectory() as data,
        development(Path(data)) as server,
        tempfile.TemporaryDirectory() as name,
    ):
        write_migrations(Path(name))
        ours, bare = [], []
        for _ in range(APPLY_ROUNDS):
            with fresh_database(server.url) as url:
                bare.append(seconds(BARE_APPLY, url, str(MIGRATIONS)))
            with fresh_database(server.url) as url:
                ours.append(seconds(RUNNER, url, name))
        applied = compare(f"{MIGRATIONS} migrations", APPLY_LIMIT, ours, bare)
        ours, bare, migrate, status = [], [], [], []
        with fresh_database(server.url) as url:
            seconds(RUNNER, url, name)
            place = ("--database-url", url, "--directory", name)
            for _ in range(START_ROUNDS):
                bare.append(seconds(BARE_START, url))
                ours.append(seconds(RUNNER, url, name))
                migrate.append(seconds(COMMAND, "migrate", *place))
                status.append(seconds(COMMAND, "status", *place))
        within = [
            applied,
            compare("a start with nothing pending", START_LIMIT, ours, bare),
            compare("migrate with nothing pending", START_LIMIT, migrate, bare),
            compare(f"status of {MIGRATIONS} migrations", STATUS_LIMIT, status, bare),
        ]
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())

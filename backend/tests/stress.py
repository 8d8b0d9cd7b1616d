"""Stress the migration runner: many runners at once, kills and cut connections among them, round after round.

``python backend/tests/stress.py --rounds 100`` ends with 0 when each round ended with every version applied exactly
once, and with the schema that a single quiet run makes. A failing round is repeated with its seed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

BACKEND = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BACKEND))

import asyncpg  # noqa: E402 - the import root has to be set first

from src.db.migration_runner import get_applied_migrations, run_migrations  # noqa: E402 - likewise
from src.db.server import Server, binary, throwaway  # noqa: E402 - likewise

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RUNNERS = 8
MIGRATIONS = 30
PATIENCE = 120
# Between two kills or cuts, in seconds.
PAUSES = (0.0, 0.2)
# At most so many of a round's runners are killed or cut, so that some have all the work to do.
MOST_TROUBLED = 6

RUN = """
import asyncio, sys
from src.db.errors import ConnectionLostError, DatabaseUnavailableError
from src.db.migration_runner import run_migrations
try:
    asyncio.run(run_migrations(sys.argv[1], directory=sys.argv[2]))
except (ConnectionLostError, DatabaseUnavailableError):
    sys.exit(3)
"""
CUT = 3

TABLE = """
async def up(conn):
    await conn.execute("CREATE TABLE t{number} (id SERIAL PRIMARY KEY, name TEXT NOT NULL)")
    await conn.execute("INSERT INTO audit (version) VALUES ($1)", "{number:03d}")
    await conn.execute("INSERT INTO t{number} (name) SELECT 'row ' || n FROM generate_series(1, 200) AS n")
"""
CHANGE = """
async def up(conn):
    await conn.execute("ALTER TABLE t{before} ADD COLUMN extra{number} INTEGER NOT NULL DEFAULT {number}")
    await conn.execute("INSERT INTO audit (version) VALUES ($1)", "{number:03d}")
    await conn.execute("SELECT pg_sleep(0.03)")
    await conn.execute("CREATE INDEX i{number} ON t{before} (extra{number})")
"""
# Outside a transaction a migration may be run again from its top, and has to put up with it.
OUTSIDE = """
transactional = False

async def up(conn):
    await conn.execute("DROP INDEX CONCURRENTLY IF EXISTS c{number}")
    await conn.execute("CREATE INDEX CONCURRENTLY c{number} ON t{table} (name)")
"""


_ACTIVITY = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'plantops-migrations'"
_RUNNERS = "SELECT count(*) " + _ACTIVITY
_CUT = f"SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid {_ACTIVITY} ORDER BY random() LIMIT 1) AS one"  # noqa: S608 - constants


class Difference(Exception):  # noqa: N818 - what was found
    """A round did not end as it has to; the text says how."""


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def write_migrations(directory: Path) -> list[str]:
    """Write the migrations; return the versions of those that leave one row in the table audit."""
    audited = []
    (directory / "001_audit.py").write_text(
        'async def up(conn):\n    await conn.execute("CREATE TABLE audit (version TEXT)")\n'
    )
    for number in range(2, MIGRATIONS + 1):
        template = OUTSIDE if number in {11, 23} else CHANGE if number % 2 else TABLE
        text = template.format(number=number, before=number - 1, table=number - 1)
        (directory / f"{number:03d}_step.py").write_text(text)
        if template is not OUTSIDE:
            audited.append(f"{number:03d}")
    return audited


@contextlib.asynccontextmanager
async def fresh_database(server: Server) -> AsyncIterator[str]:
    """Give an empty database, and drop it."""
    admin = await asyncpg.connect(server.url("postgres"))
    await admin.execute("CREATE DATABASE plantops_stress")
    try:
        yield server.url("plantops_stress")
    finally:
        await admin.execute("DROP DATABASE plantops_stress WITH (FORCE)")
        await admin.close()


async def schema_of(url: str) -> list[str]:
    """Return the statements that make the schema, without the lines that differ from dump to dump."""
    process = await asyncio.create_subprocess_exec(
        str(binary("pg_dump")), "--schema-only", "--dbname", url, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        problem = "pg_dump failed"
        raise Difference(problem)
    return [line for line in output.decode().splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


async def trouble(url: str, processes: list[asyncio.subprocess.Process], dice: random.Random) -> tuple[int, int]:
    """Kill runners and cut their connections until all have ended; return how many of each."""
    conn = await asyncpg.connect(url)
    kills = cuts = 0
    while not await conn.fetchval(_RUNNERS):  # noqa: ASYNC110 - until the first of them is at work
        await asyncio.sleep(0.01)
    most = dice.randint(2, MOST_TROUBLED)
    while any(process.returncode is None for process in processes):
        await asyncio.sleep(dice.uniform(*PAUSES))
        if kills + cuts >= most:
            continue
        if dice.random() < 0.5:
            running = [process for process in processes if process.returncode is None]
            with contextlib.suppress(IndexError, ProcessLookupError):
                # Not Process.kill, which may reap the process before asyncio's own watcher and lose its status.
                os.kill(dice.choice(running).pid, signal.SIGKILL)
                kills += 1
        else:
            cuts += await conn.fetchval(_CUT)
    await conn.close()
    return kills, cuts


async def play(server: Server, directory: Path, audited: list[str], expected: list[str], seed: int) -> str:
    """Play one round and say what happened in it.

    Raises:
        Difference: it did not end as it has to.
    """
    dice = random.Random(seed)  # noqa: S311 - a round that can be repeated
    async with fresh_database(server) as url:
        processes = [
            await asyncio.create_subprocess_exec(sys.executable, "-c", RUN, url, str(directory), cwd=BACKEND)
            for _ in range(RUNNERS)
        ]
        kills, cuts = await asyncio.wait_for(trouble(url, processes, dice), PATIENCE)
        codes = [process.returncode for process in processes]
        if not {0, CUT, -9}.issuperset(codes):
            problem = f"runners ended with {codes}"
            raise Difference(problem)
        rest = await asyncio.wait_for(run_migrations(url, directory=directory), PATIENCE)
        conn = await asyncpg.connect(url)
        applied = await get_applied_migrations(conn)
        rows = [row["version"] for row in await conn.fetch("SELECT version FROM audit ORDER BY version")]
        await conn.close()
        if applied != [f"{number:03d}" for number in range(1, MIGRATIONS + 1)]:
            problem = f"these versions are applied: {applied}"
            raise Difference(problem)
        if rows != audited:
            problem = f"these migrations were applied, each time that they are named: {rows}"
            raise Difference(problem)
        if await schema_of(url) != expected:
            problem = "the schema is not that of a quiet run"
            raise Difference(problem)
    return f"{kills} killed, {cuts} cut, {codes.count(0)} of {RUNNERS} done, {len(rest)} migrations left for the last"


async def stress(server: Server, rounds: int, seed: int) -> int:
    """Play the rounds and return the exit status."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        audited = write_migrations(directory)
        async with fresh_database(server) as url:
            await run_migrations(url, directory=directory)
            expected = await schema_of(url)
        for number in range(rounds):
            started = time.monotonic()
            try:
                report = await play(server, directory, audited, expected, seed + number)
            except Difference as difference:
                say(f"round {number + 1}: {difference}\nRepeat it: --rounds 1 --seed {seed + number}")
                return 1
            say(f"round {number + 1}: {report}, {time.monotonic() - started:.1f} s")
    say(f"{rounds} rounds: every version applied exactly once, the schema is that of a quiet run")
    return 0


def main() -> int:
    """Read the command line, play the rounds and return the exit status."""
    parser = argparse.ArgumentParser(description="Stress the migration runner with kills and cut connections.")
    parser.add_argument("--rounds", type=int, default=100, help="how many rounds (100)")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next has the next (1)")
    arguments = parser.parse_args()
    with throwaway() as server:
        os.environ.update(server.environment)
        return asyncio.run(stress(server, arguments.rounds, arguments.seed))


if __name__ == "__main__":
    sys.exit(main())

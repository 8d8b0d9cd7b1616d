"""The embedded server under surroundings that it did not choose: what a caller's shell, script or cron job hands on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.db.server import installation, problem, throwaway

BACKEND = Path(__file__).parents[1]
# Starts a development server, and asks it as the backend does and as psql does; it writes to a file, since the standard
# streams may be closed.
CLIENT = """
import asyncio, asyncpg, os, subprocess, sys
from pathlib import Path
from src.db.server import binary, development
with development(Path(sys.argv[1])) as server:
    async def ask():
        connection = await asyncpg.connect(server.url())
        answer = await connection.fetchval("SELECT current_setting('timezone')")
        await connection.close()
        return answer
    psql = [str(binary("psql")), "-XAt", "-d", server.url(), "-c", "SHOW timezone"]
    told = subprocess.check_output(psql, text=True, stdin=subprocess.DEVNULL)
    Path(sys.argv[2]).write_text(asyncio.run(ask()) + " " + told)
"""
SHELLS = {
    "in a script's background": "trap '' INT QUIT; exec \"$@\"",
    "without standard streams": 'exec "$@" <&- >&- 2>&-',
    "umask 000": 'umask 000; exec "$@"',
    "umask 077": 'umask 077; exec "$@"',
    "no HOME": 'unset HOME; exec "$@"',
    "variables of PostgreSQL's clients": "export PGSSLMODE=verify-full PGTARGETSESSIONATTRS=read-only PGSERVICE=none "
    'PGTZ=Asia/Tokyo PGHOST=none.invalid PGPORT=1 PGUSER=none PGOPTIONS=--none; exec "$@"',
    "variables of Python": 'export PYTHONSAFEPATH=1 PYTHONWARNINGS=error PYTHONOPTIMIZE=2; exec "$@"',
    "a language that is not installed": 'export LC_ALL=xx_XX.UTF-8 LANG=xx_XX.UTF-8; exec "$@"',
}


@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
def test_serves_whatever_it_inherits(shell: str, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    program = tmp_path / "client.py"
    program.write_text(f"import sys; sys.path.insert(0, {str(BACKEND)!r})\n{CLIENT}")
    subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, str(program), str(tmp_path / "data"), str(answer)],
        cwd=BACKEND,
        env=dict(os.environ),
        check=True,
        timeout=120,
    )
    assert answer.read_text() == "UTC UTC\n"


def test_a_temporary_directory_may_have_spaces() -> None:
    place = Path(os.environ.get("TMPDIR", "/tmp"), "a b")  # noqa: S108 - the run's own
    place.mkdir(exist_ok=True)
    place.chmod(0o755)
    with throwaway([place]) as server:
        assert server.url()


def test_a_user_id_without_a_name_is_told_what_to_do() -> None:
    report = "initdb: error: could not look up effective user ID 12345: user does not exist"
    told = problem.with_remedy(report)
    assert "/etc/passwd" in told
    assert "TEST_DATABASE_URL" in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_user_id_without_a_name_cannot_make_data(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 12345, 12345)
    initdb = installation.binary("initdb")
    copy = installation.copy_programs(initdb.parents[1], tmp_path)
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.geteuid() and directory.stat().st_mode & 0o001 == 0:
            pytest.skip("the user id cannot reach this place")
    failed = subprocess.run(
        [copy / "bin" / "initdb", "-D", home / "data", "-U", "plantops"],
        user=12345,
        group=12345,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"LC_ALL": "C", "PATH": os.defpath},
    )
    assert failed.returncode != 0
    assert "/etc/passwd" in problem.with_remedy(failed.stderr)

"""The colors of a rehearsal's report."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from src.db.rehearsal.color import colored, is_wanted

if TYPE_CHECKING:
    from collections.abc import Callable

BACKEND = Path(__file__).parents[1]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "wanted"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
    ],
)
def test_color_is_for_terminals(stream: io.StringIO, environment: dict[str, str], wanted: bool) -> None:
    assert is_wanted(stream, environment) is wanted


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("007_it.py  12 ms", "<1>007_it.py</>  12 ms"),
        (
            "  holds     ACCESS EXCLUSIVE on plants, for a moment",
            "<2>  holds</>     <31>ACCESS EXCLUSIVE</> on plants, <32>for a moment</>",
        ),
        (
            "  locks     beds  SHARE ROW EXCLUSIVE  blocks writes",
            "<2>  locks</>     beds  <33>SHARE ROW EXCLUSIVE</>  <33>blocks writes</>",
        ),
        (
            "            beds  SHARE UPDATE EXCLUSIVE  blocks other DDL only",
            "            beds  SHARE UPDATE EXCLUSIVE  <32>blocks other DDL only</>",
        ),
        ("  failed    007_it.py, line 3: no", "<31>  failed    007_it.py, line 3: no</>"),
        ("Nothing is pending.", "Nothing is pending."),
    ],
)
def test_what_is_colored(line: str, shown: str) -> None:
    assert colored(line) == shown.replace("</>", "\x1b[0m").replace("<", "\x1b[").replace(">", "m")


def test_a_terminal_gets_color_and_a_pipe_none(
    database_url: str, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write("001_it.py", "SELECT 1")
    command = [sys.executable, "-m", "src.db", "rehearse", "--directory", str(tmp_path)]
    environment = {**os.environ, "DATABASE_URL": database_url, "TERM": "xterm"}
    for name in ("NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    ours, theirs = pty.openpty()
    subprocess.run(command, cwd=BACKEND, env=environment, stdout=theirs, check=True)
    assert os.read(ours, 4096).startswith(b"\x1b[1m001_it.py\x1b[0m")
    for end in (ours, theirs):
        os.close(end)
    piped = subprocess.run(command, cwd=BACKEND, env=environment, stdout=subprocess.PIPE, check=True)
    assert piped.stdout.startswith(b"001_it.py  ")

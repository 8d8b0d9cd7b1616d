"""A few rounds of the stress that ``python backend/tests/stress.py --rounds 100`` puts on the runner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from handbook.postgres import Postgres

STRESS = Path(__file__).with_name("stress.py")


@pytest.mark.slow
def test_five_rounds(postgres: Postgres) -> None:
    done = subprocess.run(
        [sys.executable, str(STRESS), "--rounds", "5"],
        env={**os.environ, **postgres.environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "5 rounds: every version applied exactly once, the schema is that of a quiet run"
    # There was trouble: somebody was killed, and a connection was cut.
    assert any(not line.startswith(f"round {number}: 0 killed") for number, line in enumerate(lines[:-1], 1))
    assert any(" 0 cut," not in line for line in lines[:-1])

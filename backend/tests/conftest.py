"""What the tests of the backend share."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# Whose processes run what nothing else does: a measured process takes twice as long to start.
MEASURED = {
    f"test_{name}.py" for name in ("command", "main", "migrate", "psql", "rehearsal", "server", "service", "shell")
}


@pytest.fixture(autouse=True)
def measurement(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.path.name not in MEASURED:
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a migration file to the test's directory; one line is the SQL of a whole migration."""

    def write(name: str, text: str) -> Path:
        if "\n" not in text:
            text = f"async def up(conn):\n    await conn.execute({text!r})\n"
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the migrations 001 to 006, whatever has landed since."""
    from handbook.baseline import copy_baseline  # noqa: PLC0415 - as above
    from src.db.runner.files import MIGRATIONS_DIRECTORY  # noqa: PLC0415 - as above

    directory = tmp_path_factory.mktemp("baseline")
    copy_baseline(MIGRATIONS_DIRECTORY, directory)
    return directory

"""What the tests of the backend share."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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

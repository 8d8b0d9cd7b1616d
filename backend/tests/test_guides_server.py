"""The embedded server's settings, as its reference lists them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from src.db.server import binary, development, throwaway

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "embedded-server.md"
SETTINGS = "SELECT name, current_setting(name) FROM pg_settings WHERE source = 'command line' OR name = ANY ('{%s}')"


def settings(url: str, *names: str) -> dict[str, str]:
    """The settings that a server was started with, and those of these names, as the page writes them."""
    command = [str(binary("psql")), "-XAt", "-d", url, "-c", SETTINGS % ",".join(names)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    values = dict(line.split("|") for line in lines)
    return {name: f"`{value}`" if value else "(empty)" for name, value in values.items()}


def test_the_reference_lists_the_settings_of_both_servers(tmp_path: Path) -> None:
    with throwaway() as server:
        shown = settings(server.url())
        shown.pop("unix_socket_directories")
    with development(tmp_path / "data") as server:
        durable = settings(server.url(), *shown)
    _, _, table = PAGE.read_text(encoding="utf-8").partition("| Setting | Development | Throw-away |")
    rows = re.findall(r"(?m)^\| `(\w+)` \| (\S+) \| (\S+) \|$", table.partition("\n## ")[0])
    assert {name: (first, second) for name, first, second in rows} == {
        name: (durable[name], value) for name, value in shown.items()
    }

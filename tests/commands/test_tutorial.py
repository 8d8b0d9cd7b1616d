"""The tutorial, followed from its first line on a terminal by a person who has the project's address and the page."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from commands.terminal import Terminal, terminal
from handbook.block import Block, Kind
from handbook.document import PageDocument
from handbook.exchange import exchanges_of
from handbook.output import compare, lines_of
from handbook.rendering import Renderer

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = "docs/tutorial.md"
SHELL, PSQL = r"fern:\S+ \$ ", r"\w+[=-][#>] "


def publish(place: Path) -> None:
    """Make a repository of this checkout's files as they are, which can be cloned."""
    listed = subprocess.check_output(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], text=True
    )
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    author = ("-c", "user.name=Fern", "-c", "user.email=fern@example.com")
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*author, "commit", "-qm", "Begin"]):
        subprocess.run(["git", *command], cwd=place, check=True)


def follow(block: Block, shell: Terminal, address: Path) -> list[tuple[list[str], str]]:
    """Do what a person does with a block; give what the page shows, and what was shown, for each of its parts."""
    if block.kind is Kind.FILE:
        shell.ask(f"cat > {block.path} <<'END'\n{block.text}\nEND", SHELL)
    elif block.kind is Kind.BASH:
        for line in block.text.replace("ADDRESS", str(address)).split("\n"):
            shell.ask(line, SHELL)
    elif block.text == "$ make psql":
        shell.ask("make psql", PSQL)
    elif block.kind is Kind.CONSOLE:
        return [(command.expected.lines, shell.ask(command.text, SHELL)) for command in exchanges_of(block)]
    elif block.kind is Kind.SQL and block.output:
        shown = "".join(shell.ask(line, PSQL) for line in block.text.split("\n"))
        return [(lines_of(block.output.text), shown)]
    return []


@pytest.mark.slow
def test_the_tutorial_is_followed_by_hand(renderer: Renderer, tmp_path: Path) -> None:
    address, home = tmp_path / "address", tmp_path / "home"
    address.mkdir()
    home.mkdir()
    publish(address)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    # What a new account has; the port is another one, and the packages are not downloaded once more.
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "PS1": r"fern:\w $ ",
        "PLANTOPS_PORT": port,
        "VENV": str(ROOT / ".venv"),
    }
    blocks = [example.parsed for example in PageDocument(ROOT / TUTORIAL, renderer).examples()]
    with terminal(["bash", "--noprofile", "--norc"], tmp_path, environment) as shell:
        shell.read(SHELL)
        in_psql = False
        try:
            for block in blocks:
                if block.setup or block.text == "make lint":
                    continue
                if in_psql and block.kind is not Kind.SQL:
                    shell.ask("\\q", SHELL)
                for expected, shown in follow(block, shell, address):
                    comparison = compare(expected, lines_of(shown))
                    assert comparison.matches, "\n".join([f"{TUTORIAL}:{block.line}", *comparison.difference()])
                in_psql = block.text == "$ make psql" or (in_psql and block.kind is Kind.SQL)
            assert shell.ask("git status --short; ls -A .data", SHELL).startswith("ls: "), "nothing is left"
        finally:
            subprocess.run(["make", "stop-backend"], cwd=tmp_path / "plantops", env=environment, check=False)

"""The sandbox of a page: pages followed in it on a terminal, as a person would, and what is left of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from commands import sandbox
from commands.terminal import Terminal, terminal
from handbook.block import Block, Kind
from handbook.document import PageDocument
from handbook.exchange import exchanges_of
from handbook.output import compare, lines_of
from handbook.rendering import Renderer

ROOT = Path(__file__).resolve().parents[2]
INDEX = "docs/how-to/add-an-index.md"
PSQL, PYTHON = r"plantops\S+[#>] ", ">>> "
# A person can follow them in one terminal: all guides but one without steps, and one for another system.
GUIDES = sorted(f"docs/how-to/{path.name}" for path in (ROOT / "docs" / "how-to").glob("*.md"))
FOLLOWED = [page for page in GUIDES if not page.endswith(("choose-a-safe-way.md", "windows-wsl.md"))]


@contextmanager
def opened(*arguments: str, page: str = INDEX) -> Iterator[tuple[Terminal, str]]:
    """A sandbox on a terminal, and its prompt."""
    prompt = rf"\({re.escape(Path(page).stem)}\) \$ "
    with terminal(["make", "sandbox", f"PAGE={page}", *arguments], ROOT, os.environ) as shell:
        shell.read(prompt)
        yield shell, prompt


def follow(block: Block, shell: Terminal, prompt: str) -> list[tuple[list[str], str]]:
    """Do what a person does with a block; give what the page shows, and what was shown, for each of its parts."""
    if block.kind is Kind.FILE:
        shell.ask(f"mkdir -p $(dirname {block.path}); cat > {block.path} <<'END'\n{block.text}\nEND", prompt)
        return []
    if block.kind is Kind.CONSOLE:
        return [(command.expected.lines, typed(command.text, shell, prompt)) for command in exchanges_of(block)]
    if block.kind is Kind.BASH:
        shown = typed(f"({block.text})", shell, prompt)
        return [(lines_of(block.output.text), shown)] if block.output else []
    if block.kind is Kind.SQL:
        shell.ask("psql", PSQL)
        shown = "".join(shell.ask(line, PSQL) for line in block.text.split("\n"))
        shell.ask("\\q", prompt)
        return [(lines_of(block.output.text), shown)] if block.output else []
    shell.ask("make python", PYTHON)
    if block.kind is Kind.PYCON:
        parts = [(exchange.expected.lines, shell.ask(exchange.text, PYTHON)) for exchange in exchanges_of(block)]
    else:
        shown = shell.ask(block.text, PYTHON)
        # The prompt shows the lines after the first as they are, but for those that are empty.
        for line in filter(None, block.text.split("\n")[1:]):
            shown = shown.lstrip("\n").removeprefix(f"{line}\n")
        parts = [(lines_of(block.output.text), shown)] if block.output else []
    shell.ask("exit()", prompt)
    return parts


def typed(command: str, shell: Terminal, prompt: str) -> str:
    """What is shown after a command, without what bash shows of its lines after the first."""
    shown = shell.ask(command, prompt)
    for line in command.split("\n")[1:]:
        shown = shown.removeprefix(f"> {line}\n")
    return shown


@pytest.mark.slow
@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_is_followed_by_hand(page: str, renderer: Renderer) -> None:
    document = PageDocument(ROOT / page, renderer)
    done = {example.parsed.id for example in sandbox.chosen(document, None)}
    with opened(page=page) as (shell, prompt):
        for block in (example.parsed for example in document.examples()):
            if block.id in done or block.setup or block.reason:
                continue
            for expected, shown in follow(block, shell, prompt):
                comparison = compare(expected, lines_of(shown))
                assert comparison.matches, "\n".join([f"{page}:{block.line}", *comparison.difference()])
        shell.send("exit\n")
        assert shell.end() == 0


@pytest.mark.slow
def test_a_sandbox_has_the_sample_data_and_leaves_nothing() -> None:
    with opened() as (shell, prompt):
        assert shell.ask("psql -Atc 'SELECT count(*) FROM alerts'", prompt) == "20000\n"
        directory = Path(shell.ask("pwd", prompt).strip())
        left = shell.ask("sleep 1000 & echo $!; touch made; false", prompt)
        shell.send("exit\n")
        assert shell.end() == 0
    assert gone(directory, int(left.split()[-1]))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_a_sandbox_that_is_killed_leaves_nothing(number: signal.Signals) -> None:
    with opened() as (shell, prompt):
        directory = Path(shell.ask("pwd", prompt).strip())
        left = shell.ask("sleep 1000 & echo $!", prompt)
        [python] = [
            process
            for process in [*psutil.Process(shell.pid).children(recursive=True), psutil.Process(shell.pid)]
            if "commands.sandbox" in process.cmdline() and process.name().startswith("python")
        ]
        python.send_signal(number)
        assert gone(directory, int(left.split()[-1]))


def gone(directory: Path, pid: int) -> bool:
    """Whether a sandbox, with its server and a process that ran in it, is gone, or goes within some seconds."""
    run = next(parent for parent in directory.parents if parent.name.startswith("plantops-"))
    for _ in range(600):
        left = [p for p in psutil.process_iter(["environ"]) if str(run) in (p.info["environ"] or {}).values()]
        if not left and not run.exists() and not psutil.pid_exists(pid):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_a_sandbox_starts_above_a_block() -> None:
    with opened("BLOCK=If it fails") as (shell, prompt):
        assert "applied" in shell.ask("make status | tail -n 1", prompt)
        assert "0 pending" in shell.ask("make status", prompt)
        assert shell.ask("grep -c 007 backend/src/db/migrations/CHECKSUMS", prompt) == "1\n"


@pytest.mark.parametrize(
    ("arguments", "sentence", "known"),
    [
        (["docs"], "PAGE names the page.", f"make sandbox PAGE={INDEX}"),
        (["docs/how-to/fly.md"], "PAGE is docs/how-to/fly.md, which is no page.", f"make sandbox PAGE={INDEX}"),
        (
            [INDEX, "fly"],
            "BLOCK is fly, which is no block of add-an-index.md, and no heading above one.",
            "rehearse-it.1",
        ),
        (["docs/verification.md"], "verification.md has no blocks to try.", ""),
    ],
)
def test_a_sandbox_that_there_is_not(arguments: list[str], sentence: str, known: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "commands.sandbox", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "backend:tests:docs"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(sentence)
    assert known in told.stderr


def test_sample_data_alone_is_loaded(renderer: Renderer, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n<!-- invisible-code-block: python\nfirst = 1\n-->\n\n```python\nshown = 1\n```\n\n"
        '??? example "Sample data"\n\n    ```sql\n    SELECT 1;\n    ```\n\nText.\n\n```sql\nSELECT 2;\n```\n\n'
        "<!-- invisible-code-block: python\nlast = 1\n-->\n\n"
        '!!! example "Other"\n\n    ```sql\n    SELECT 3;\n    ```\n'
    )
    document = PageDocument(page, renderer)
    assert [example.parsed.text for example in sandbox.chosen(document, None)] == ["first = 1", "SELECT 1;"]

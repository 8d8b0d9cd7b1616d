"""Whatever a reader may call, type, set or meet stands on a page, in a block that runs.

The lists of names come from the code, so that a new name without a page fails here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from handbook.block import Kind
from handbook.page import Page
from handbook.postgres import OWN_SERVER
from handbook.reading import read, text_of
from handbook.rendering import Renderer
from handbook.session import pages_of
from prose.code import commands, makes, options, targets
from src.db import errors, migration_runner

ROOT = Path(__file__).resolve().parents[2]
# Any value that is read from the environment by its name; PATH is the system's, PYTHONPATH is Python's.
VARIABLE = re.compile(r"""(?:environ(?:\.get\(|\[)|getenv\()["'](?!(?:PYTHON)?PATH\b)(\w+)["']""")

PROMPTS = {Kind.CONSOLE: re.compile(r"[$>] (.*)"), Kind.PYCON: re.compile(r"(?:>>>|\.\.\.) (.*)")}


@dataclass(frozen=True, repr=False)
class Shown:
    """What the blocks that run show: the commands that are typed, the code that is written, and what is printed."""

    typed: str
    written: str
    printed: str

    @property
    def given(self) -> str:
        """What a reader gives to a program."""
        return f"{self.typed}\n{self.written}"


def shown(pages: Iterable[Page]) -> Shown:
    """What the blocks of some pages show, but for those that do not run."""
    typed: list[str] = []
    written: list[str] = []
    printed: list[str] = []
    for block in (block for page in pages for block in page if block.reason is None and block.kind is not Kind.SHOWN):
        lines = block.text.split("\n")
        prompt = PROMPTS.get(block.kind)
        inputs = [found[1] if (found := prompt.match(line)) else "" for line in lines] if prompt else lines
        (typed if block.kind in {Kind.CONSOLE, Kind.BASH} else written).append("\n".join(inputs))
        printed += [line for line, entered in zip(lines, inputs, strict=True) if not entered]
        printed += [block.output.text] if block.output else []
    return Shown("\n".join(typed).replace("\\\n", " "), "\n".join(written), "\n".join(printed))


def uses(command: str) -> str:
    """A pattern for the command lines of a command, typed as such or by way of its make target."""
    return rf"(?:src\.db {command}|make {makes(command)})(?![\w-])[^\n|;&]*"


def functions_without_a_page(blocks: Shown) -> list[str]:
    return [name for name in migration_runner.__all__ if not re.search(rf"\b{name}\b", blocks.written)]


def commands_without_a_page(blocks: Shown) -> list[str]:
    return [
        f"{use} {command}"
        for command in commands()
        for use, pattern in (("use of", uses(command)), ("--help of", rf"src\.db {command} --help\b"))
        if not re.search(pattern, blocks.typed)
    ]


def options_without_a_page(blocks: Shown) -> list[str]:
    """The options that no command line has; one that several commands share needs one of them."""
    return [
        f"{option} of {', '.join(names)}"
        for option, names in options(values=False).items()
        if not any(re.search(rf"{uses(name)}{option}(?![\w-])", blocks.typed) for name in names)
    ]


def targets_without_a_page(blocks: Shown) -> list[str]:
    """The targets that no command line has, and that no `make help` lists: some would run these very pages."""
    return [
        name
        for name in targets()
        if not re.search(rf"\bmake (?:[\w./=-]+ )*{name}(?![\w-])", blocks.typed)
        and not re.search(rf"(?m)^  {name}  ", blocks.printed)
    ]


def settings_without_a_page(blocks: Shown) -> list[str]:
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "backend" / "src").rglob("*.py"))
    names = {*VARIABLE.findall(code), OWN_SERVER}
    return sorted(name for name in names if not re.search(rf"\b{name}\b", blocks.given))


def errors_without_a_page(blocks: Shown) -> list[str]:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.MigrationError)
    ]
    names = [kind.__name__ for kind in kinds]
    codes = [f"[{kind.code}]" for kind in kinds if kind is not errors.MigrationError]
    both = f"{blocks.given}\n{blocks.printed}"
    return [name for name in names if not re.search(rf"\b{name}\b", both)] + [
        code for code in codes if code not in blocks.printed
    ]


WITHOUT_A_PAGE: dict[str, Callable[[Shown], list[str]]] = {
    "functions": functions_without_a_page,
    "commands": commands_without_a_page,
    "options": options_without_a_page,
    "make targets": targets_without_a_page,
    "settings": settings_without_a_page,
    "errors": errors_without_a_page,
}


@pytest.fixture(scope="module")
def handbook(renderer: Renderer) -> Shown:
    return shown(read(text_of(file), renderer) for file in pages_of(ROOT).values())


@pytest.mark.parametrize("kind", WITHOUT_A_PAGE)
def test_every_name_stands_on_a_page_in_a_block_that_runs(kind: str, handbook: Shown) -> None:
    missing = WITHOUT_A_PAGE[kind](handbook)
    assert missing == [], f"no block that runs shows these {kind}: {', '.join(missing)}"


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("functions", "run_migrations"),
        ("commands", "--help of rehearse"),
        ("options", "--fail-on of rehearse"),
        ("make targets", "verify-migrations"),
        ("settings", "PLANTOPS_LOG_LEVEL"),
        ("errors", "[PM12]"),
    ],
)
def test_prose_and_blocks_that_do_not_run_are_no_page(kind: str, some: str, renderer: Renderer) -> None:
    """What stands nowhere else is missing, and so is every other name of its kind."""
    text = f"# {some}\n\n`make verify-migrations`, `python -m src.db rehearse --help --fail-on=rewrite`\n"
    text += "\n<!-- not run: a sample -->\n```python\nrun_migrations(PLANTOPS_LOG_LEVEL)\n```\n"
    text += "\n```text\n[PM12] LockTimeoutError\n```\n"
    missing = WITHOUT_A_PAGE[kind](shown([read(text, renderer)]))
    assert some in missing
    assert len(missing) > 1


@pytest.mark.parametrize(
    ("kind", "name", "block"),
    [
        ("functions", "run_migrations", "```pycon\n>>> await run_migrations(url)\n[]\n```"),
        ("functions", "apply_migration", '```python title="a/b.py"\nfrom x import apply_migration\n```'),
        ("commands", "use of status", "```console\n$ cd backend && python -m src.db status\n```"),
        ("commands", "use of new", "```console\n$ make migration NAME=add_room\n```"),
        ("commands", "--help of seal", "```console\n$ python -m src.db seal --help\n```"),
        ("options", "--check of status", "```console\n$ make status ARGS=--check\n```"),
        ("options", "--wait of migrate", "```console\n$ python -m src.db migrate \\\n>     --wait 3\n```"),
        ("make targets", "check", "```console\n$ make --dry-run check\n```"),
        ("make targets", "lies", "```console\n$ make help\n  lies              alter\n```"),
        ("settings", "PLANTOPS_PORT", "```bash\nPLANTOPS_PORT=1 true\n```"),
        ("errors", "[PM03]", "```console\n$ make migrate\n[PM03] Background\n```"),
    ],
)
def test_a_block_that_runs_is_a_page(kind: str, name: str, block: str, renderer: Renderer) -> None:
    page = read(f"# Title\n\n{block}\n", renderer)
    assert page.problems == []
    assert name not in WITHOUT_A_PAGE[kind](shown([page]))

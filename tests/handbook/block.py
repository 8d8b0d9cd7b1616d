"""Blocks: what each fence of a page does when the page is tested."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from pathlib import PurePosixPath

from handbook.rendering import Fence

OUTPUT_TITLE = "Output"
PATH = re.compile(r"[\w.@+-]+(/[\w.@+-]+)*")
# A title can be nothing but a file where it starts so, ends so, or is one of these names.
HERE = "./"
PLAIN_FILES = {"Makefile", "Dockerfile", "CHECKSUMS"}
ENDING = re.compile(
    r"\.(bash|bat|c|cfg|conf|css|csv|env|html|ini|js|json|lock|log|md|patch|pem|pyi?|rst|service|sh|sql|svg|toml|tsv|txt"
    r"|xml|ya?ml)"
)


class Kind(Enum):
    """What is done with a block; the value is its name in the proof."""

    FILE = "file"
    PYTHON = "python"
    PYCON = "pycon"
    SQL = "sql"
    CONSOLE = "console"
    BASH = "bash"
    DATA = "data"
    OUTPUT = "output"
    SHOWN = "shown"


LANGUAGES = {
    "python": Kind.PYTHON,
    "pycon": Kind.PYCON,
    "sql": Kind.SQL,
    "console": Kind.CONSOLE,
    "bash": Kind.BASH,
    "json": Kind.DATA,
    "toml": Kind.DATA,
    "yaml": Kind.DATA,
    "text": Kind.SHOWN,
    "mermaid": Kind.SHOWN,
}
ALIASES = {
    "py": "python",
    "python3": "python",
    "pycon3": "pycon",
    "ipython": "pycon",
    "postgresql": "sql",
    "postgres": "sql",
    "psql": "sql",
    "sh": "bash",
    "shell": "bash",
    "zsh": "bash",
    "shell-session": "console",
    "sh-session": "console",
    "terminal": "console",
    "yml": "yaml",
    "txt": "text",
    "plain": "text",
    "plaintext": "text",
    "output": f'text title="{OUTPUT_TITLE}"',
}
WRITTEN = {*LANGUAGES, *ALIASES.values()}
# A block that would run is a file only with an ending of its language.
RUNNABLE = {
    "python": {".py", ".pyi"},
    "sql": {".sql"},
    "bash": {".sh", ".bash"},
}
# These show what they print themselves, or print nothing.
WITHOUT_OUTPUT = {Kind.FILE, Kind.CONSOLE, Kind.PYCON, Kind.DATA}


class UnknownBlockError(ValueError):
    """A fence that does nothing that the harness knows; the text says which languages there are."""


class BlockError(Exception):
    """A block that did not do what its page says.

    Arguments:
        line: the line of the page.
        summary: one sentence: what is wrong.
        details: lines that show it: a difference, a traceback, what a command printed.
        outdated: whether the page's expected output alone is wrong, so that it can be brought up to date.
    """

    def __init__(self, line: int, summary: str, details: Iterable[str] = (), *, outdated: bool = False) -> None:
        super().__init__(summary)
        self.line = line
        self.summary = summary
        self.details = list(details)
        self.outdated = outdated


@dataclass
class Block:
    """One block of a page.

    `id` is its test id on the page. `reason` says why it does not run, where it does not. `output` is the fence of its
    expected output. `setup` marks hidden set-up, which the reader does not see. `allowed` names the lint rules that the
    page says this block breaks on purpose.
    """

    fence: Fence
    kind: Kind
    id: str = ""
    reason: str | None = None
    output: Fence | None = None
    setup: bool = False
    allowed: set[str] = field(default_factory=set)

    @property
    def line(self) -> int:
        return self.fence.line

    @property
    def text(self) -> str:
        return self.fence.text

    @property
    def path(self) -> str:
        """The file of a titled block, below the page workspace."""
        return str(self.fence.title).removeprefix(HERE)

    @property
    def first_line(self) -> int:
        """The line of the page on which the block's text starts."""
        return self.fence.line + 1


def classify(fence: Fence) -> Kind:
    """What a fence does, from its language and its title.

    Raises:
        UnknownBlockError: no such language, or a title that leads out of the page workspace.
    """
    language, title = fence.language, fence.title
    if title == OUTPUT_TITLE:
        if language != "text":
            raise UnknownBlockError(f'expected output is written ```text title="{OUTPUT_TITLE}"')
        return Kind.OUTPUT
    if title is not None and is_file(language, title):
        return Kind.FILE
    if language == "text" and title is not None and get_close_matches(title.capitalize(), [OUTPUT_TITLE], cutoff=0.8):
        raise UnknownBlockError(f'title {title!r}; expected output is written ```text title="{OUTPUT_TITLE}"')
    if language in LANGUAGES:
        return LANGUAGES[language]
    if not language:
        raise UnknownBlockError("a fence without a language; write ```text for text that is only shown")
    known = ", ".join(sorted(LANGUAGES))
    meant = ALIASES.get(language.lower(), language.lower())
    hint = f"the languages are {known}" if meant == language or meant not in WRITTEN else f"write {meant}"
    raise UnknownBlockError(f"unknown language {language!r}; {hint}, or give the block a path as its title")


def is_file(language: str, title: str) -> bool:
    """Whether a block with this title is a file of the page workspace.

    Raises:
        UnknownBlockError: it may be one, or the file would lie outside the workspace.
    """
    kind = LANGUAGES.get(language)
    if kind in (Kind.CONSOLE, Kind.PYCON):
        return False
    if title.startswith(("/", "~")) or ".." in title.split("/"):
        raise UnknownBlockError(f"title {title!r} leads out of the page workspace; give a path below it")
    if not PATH.fullmatch(title.removeprefix(HERE)):
        return False
    ending = PurePosixPath(title).suffix
    if title.startswith(HERE) or title in PLAIN_FILES:
        return True
    if language not in RUNNABLE:
        return ENDING.fullmatch(ending) is not None or ("/" in title and kind is not Kind.DATA)
    if ending in RUNNABLE[language]:
        return True
    if "/" in title or ENDING.fullmatch(ending) is not None:
        endings = " or ".join(sorted(RUNNABLE[language]))
        raise UnknownBlockError(
            f"title {title!r} may be a file or a name: a file has the ending {endings}, or starts with {HERE}; "
            f"the name of a block that runs is no path"
        )
    return False

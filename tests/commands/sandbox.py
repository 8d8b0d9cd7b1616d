"""The sandbox of a page: ``python -m commands.sandbox PAGE [BLOCK]``.

It is what the page is tested in, opened for a person: the scratch copy of the project and the page's database. What the
page's sample data and hidden set-up do is done there already, or all that the blocks above one do.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from markdown.extensions.toc import slugify
from sybil import Example

from handbook.block import Block, BlockError
from handbook.document import CONFIGURATION, PageDocument
from handbook.output import bounded
from handbook.postgres import DatabaseError, serve_alone
from handbook.rendering import Renderer
from handbook.run import PageRun
from handbook.session import pages_of
from handbook.workshop import DOCS, Workshop

SAMPLE_DATA = re.compile(r'( *)[?!]{3}\+? example "Sample data"')
# What belongs to the person's terminal, and not to the run.
TERMINAL = ("TERM", "COLORTERM", "NO_COLOR")
# The name of the page's database is long.
PSQL_SETTINGS = "\\set PROMPT1 'plantops%R%x%# '\n\\set PROMPT2 'plantops%R%x%# '\n"
GREETING = """\
The sandbox of {page}: a copy of the project, and a database with {data}.

  psql           for the page's SQL
  make python    for its Python; `conn` is a connection to the database
  anything else  here, files in an editor

`exit` leaves. All of this is deleted then; nothing here touches your project or your databases.
"""


class SandboxError(Exception):
    """There is no such sandbox; the text says which there are."""


def find_page(project: Path, name: str) -> Path:
    """The file of a page.

    Arguments:
        project: the checkout.
        name: the page's path in the checkout.

    Raises:
        SandboxError: there is no such page.
    """
    pages = {f"{DOCS}/{path}": file for path, file in pages_of(project).items()}
    if name not in pages:
        asked = f"PAGE is {name}, which is no page." if name != DOCS else "PAGE names the page."
        known = "\n".join(f"  make sandbox PAGE={path}" for path in pages if "/contributing/" not in path)
        raise SandboxError(f"{asked} The pages are:\n{known}")
    return pages[name]


def chosen(document: PageDocument, name: str | None) -> list[Example]:
    """The blocks that run before the sandbox opens.

    Arguments:
        document: the page.
        name: the id of the block above which the sandbox starts, or the heading above that block; None to load only
            the sample data, and what the hidden set-up above it does.

    Raises:
        SandboxError: the page has no blocks that run, or none of this name.
    """
    examples = list(document.examples())
    blocks = [example.parsed for example in examples]
    page = Path(document.path).name
    if not blocks:
        raise SandboxError(f"{page} has no blocks to try.")
    if name is None:
        sample = _sample_lines(document.text)
        shown = [block.line for block in blocks if not block.setup and block.line not in sample]
        return [
            example
            for example in examples
            if example.parsed.line in sample or (example.parsed.setup and example.parsed.line < min(shown, default=0))
        ]
    for number, block in enumerate(blocks):
        if name == block.id or slugify(name, "-") == block.fence.heading:
            return examples[:number]
    known = "\n".join(f"  {_described(block)}" for block in blocks if not block.setup)
    raise SandboxError(
        f"BLOCK is {name}, which is no block of {page}, and no heading above one. Its blocks are:\n{known}"
    )


@contextmanager
def opened(project: Path, page: str, block: str | None = None) -> Iterator[PageRun]:
    """The sandbox of a page, until the end of the block.

    Arguments:
        project: the checkout.
        page: the page's path in the checkout.
        block: as for `chosen`.

    Raises:
        SandboxError: there is no such page or block, or one that runs first does not do what the page says.
    """
    path = find_page(project, page)
    document = PageDocument(path, Renderer(project / CONFIGURATION))
    if document.page.problems:
        problem = document.page.problems[0]
        raise SandboxError(f"{page}:{problem.line}: {problem.message}")
    with serve_alone() as postgres:
        workshop = Workshop(project, postgres)
        run = PageRun(document, document.page.database, lambda: workshop, chosen(document, block))
        try:
            run.advance()
            for outcome in run.outcomes.values():
                if outcome.failure is not None:
                    raise SandboxError(_failed(page, outcome.failure))
            yield run
        except DatabaseError as error:
            raise SandboxError(f"the page's database cannot be made: {error}") from error
        finally:
            run.close()
            workshop.close()


def environment(run: PageRun, page: str, terminal: Mapping[str, str]) -> dict[str, str]:
    """The environment of the sandbox's shell: that of the page's blocks, on a person's terminal."""
    own = {name: value for name, value in run.workspace.environment.items() if name not in {"COLUMNS", "LINES"}}
    settings = run.workspace.postgres.scratch / "psqlrc"
    settings.write_text(PSQL_SETTINGS)
    return {
        **own,
        **{name: value for name, value in terminal.items() if name in TERMINAL},
        "PS1": f"({Path(page).stem}) $ ",
        "HISTFILE": os.devnull,
        "PSQLRC": str(settings),
    }


def main(arguments: Sequence[str]) -> int:
    """Open a sandbox, and return the exit status.

    Arguments:
        arguments: the page, and the block if one is named.
    """
    page, *rest = arguments
    project, terminal = Path.cwd(), dict(os.environ)
    # Ctrl-C is for what runs in the shell, and the end of the terminal is an end in order.
    signal.signal(signal.SIGINT, lambda *_: None)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        with opened(project, page, *rest) as run:
            if sys.stdin.isatty():
                data = f"what stands above {rest[0]} done" if rest else "what the page starts with"
                sys.stderr.write(GREETING.format(page=page, data=data))
            shell = ("bash", "--noprofile", "--norc")
            subprocess.call(shell, cwd=run.workspace.directory, env=environment(run, page, terminal))
    except SandboxError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _sample_lines(text: str) -> set[int]:
    """The lines of a page that stand in its sample data."""
    found: set[int] = set()
    width: int | None = None
    for number, line in enumerate(text.split("\n"), 1):
        if match := SAMPLE_DATA.match(line):
            width = len(match[1])
        elif width is not None and line.strip() and len(line) - len(line.lstrip()) <= width:
            width = None
        if width is not None:
            found.add(number)
    return found


def _described(block: Block) -> str:
    first = next((line for line in block.text.split("\n") if line.strip()), "")
    return f"{block.id:40} {block.fence.title or first:.60}".rstrip()


def _failed(page: str, failure: BlockError) -> str:
    return "\n".join([f"{page}:{failure.line}: {failure.summary}", *bounded(failure.details)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

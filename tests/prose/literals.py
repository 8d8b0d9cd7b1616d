"""What prose puts in backticks: the section's blocks show it, or those that it links to, or it is the project's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import asyncpg

from prose.code import TARGETS
from prose.sections import LITERAL, ROOT, Finding, Section, everything, handbook, page_shown, plain
from src.db.rehearsal.lock import MODES

# What differs from time to time, or what a reader puts in.
LEFT_OPEN = re.compile(r"…|\.\.\.")
# Words that blocks of so many pages show belong to the reader's everyday language.
EVERYDAY = 10

# A name of more than one word, or of a file: it may stand anywhere on its page.
NAME = re.compile(r"[a-z]\w*_\w*|[A-Z]+_[A-Z_]+|\w[\w/.-]*\.(?:py|json|md)")

EXCEPTIONS = Path(__file__).with_name("named.md")


def literals(section: Section) -> Iterator[tuple[int, str]]:
    """What stands in backticks, and in which line of the page."""
    for found in LITERAL.finditer(section.prose):
        yield section.line_of(found.start()), plain(found[2])


def is_shown(literal: str, blocks: str) -> bool:
    """Whether blocks hold a literal, and not as a part of a word."""
    pattern = ".{1,80}?".join(re.escape(part) for part in LEFT_OPEN.split(literal))
    return any(
        not (literal[0].isalnum() and blocks[found.start() - 1 : found.start()].isalnum())
        and not (literal[-1].isalnum() and blocks[found.end() : found.end() + 1].isalnum())
        for found in re.finditer(pattern, blocks)
    )


@cache
def is_everyday(literal: str) -> bool:
    """Whether the blocks of many pages show it, or it is a whole sentence that the project shows or says somewhere."""
    if literal in MODES:
        return False
    if literal.count(" ") > 1 and is_shown(literal, f"{everything()} {code()[0]}"):
        return True
    return sum(is_shown(literal, page_shown(page)) for page in handbook()) >= EVERYDAY


@cache
def code() -> tuple[str, set[str]]:
    """The backend's code with the tests of its guides, and the names and strings that stand in it."""
    files = [*(ROOT / "backend" / "src").rglob("*.py"), *(ROOT / "backend" / "tests").glob("test_guides_*.py")]
    texts = [file.read_text(encoding="utf-8") for file in files]
    names: set[str] = set()
    for node in (node for text in texts for node in ast.walk(ast.parse(text))):
        names |= {
            str(value)
            for name in ("id", "attr", "name", "arg", "value")
            if isinstance(value := getattr(node, name, None), str)
        }
    return plain("\n".join(texts)), names - set(MODES)


@cache
def is_of_the_project(literal: str) -> bool:
    """Whether the project has a file, a module, a name, a make target, a test or an option of this name."""
    if found := re.fullmatch(r"((?:backend/)?tests/[\w/]+\.py)::(\w+)(?:\[(\w+)\])?", literal):
        text = (ROOT / found[1]).read_text(encoding="utf-8") if (ROOT / found[1]).exists() else ""
        return f"def {found[2]}(" in text and (found[3] or "") in text
    if found := re.fullmatch(r"make ([a-z-]+)(?: ARGS=\"?(.*?)\"?| [A-Z]+=.*)?", literal):
        given = found[2]
        known = not given or is_of_the_project(f"ARGS={given}") or is_shown(given, f"{everything()} {code()[0]}")
        return found[1] in TARGETS and known
    if found := re.fullmatch(r"ARGS=(--[a-z-]+)", literal):
        programs = (ROOT / "tests").glob("*/__main__.py")
        return any(f'"{found[1]}"' in program.read_text(encoding="utf-8") for program in programs)
    places = (
        ROOT,
        ROOT / "docs",
        ROOT / "requirements",
        *(ROOT / "backend" / "src" / part for part in ("", "db", "db/migrations")),
    )
    names = (literal.rstrip("/"), f"{literal}.py")
    # What is in build depends on what was run.
    return literal in code()[1] or (
        literal.strip("./") != ""
        and not re.search(r"\s|^/|^build/|\.\.", literal)
        and any(any(place.glob(name)) for place in places for name in names)
    )


@cache
def postgresql_errors() -> Mapping[str, tuple[str, str]]:
    """By the SQLSTATE: asyncpg's class for it, and the condition, from whose name that of the class is made."""
    found: dict[str, tuple[str, str]] = {}
    for name, kind in vars(asyncpg).items():
        if isinstance(kind, type) and issubclass(kind, asyncpg.PostgresError) and "sqlstate" in vars(kind):
            words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.removesuffix("Error"))
            found.setdefault(str(kind.sqlstate), (name, words.lower()))
    return found


@cache
def is_of_postgresql(literal: str) -> bool:
    """Whether it is a SQLSTATE, the name of its condition, or asyncpg's class for it."""
    return literal in postgresql_errors() or any(literal in names for names in postgresql_errors().values())


@cache
def excepted() -> Mapping[str, frozenset[str]]:
    """What prose may name though no block shows it: for each reason, or for each page."""
    parts = re.split(r"(?m)^- ([^`]*):(?= `|$)", EXCEPTIONS.read_text(encoding="utf-8"))[1:]
    return {
        name: frozenset(plain(found[2]) for found in LITERAL.finditer(text))
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def is_known(literal: str, section: Section) -> bool:
    """Whether the section's reader has it in view, or it is the project's, PostgreSQL's or everybody's."""
    view = f"{section.top.scope if NAME.fullmatch(literal) else ''}\n{section.view}"
    return is_shown(literal, view) or any(one(literal) for one in (is_of_the_project, is_of_postgresql, is_everyday))


def check(section: Section) -> Iterator[Finding]:
    """What is in backticks is known to the section's reader, or is an exception."""
    pages = handbook()
    named = {one for name, some in excepted().items() if name not in pages or name == section.page for one in some}
    for line, literal in literals(section):
        if literal not in named and not is_known(literal, section):
            yield Finding(
                section.page, line, f"`{literal}` is in no block of this section, nor of one that it links to"
            )

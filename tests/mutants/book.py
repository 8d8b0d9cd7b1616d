"""The handbook as tests of the backend: its pages with their blocks, and the code that they are tests of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from handbook.block import Block, Kind
from handbook.page import Page, read, text_of
from handbook.rendering import Renderer
from handbook.suite import CONFIGURATION, DOCS, pages_of
from website.digest import code_digest

SOURCE = Path("backend") / "src"
# Migrations are sealed: `make verify-migrations` notices every change of one.
SEALED = SOURCE / "db" / "migrations"


def file_in(path: str | None) -> str | None:
    """The path below `backend/src` of a file in any copy of the checkout; None of a file that is elsewhere."""
    _, inside, file = (path or "").rpartition(f"/{SOURCE.as_posix()}/")
    return file if inside else None


@dataclass(frozen=True)
class TestedPage:
    """One page: its name below `docs`, its file, what it holds, and the blocks that do something."""

    __test__ = False

    name: str
    path: Path
    page: Page
    blocks: list[Block]

    def place(self, index: int) -> str:
        """Where a block stands, as a person looks for it."""
        return f"{DOCS}/{self.name}:{self.blocks[index].line}"


class Book:
    """The pages and the backend's code of one checkout.

    Args:
        project: the checkout.
    """

    def __init__(self, project: Path) -> None:
        self.project = project

    @cached_property
    def sources(self) -> dict[str, bytes]:
        """What each file of the backend holds, by its path below `backend/src`; without the migrations."""
        top = self.project / SOURCE
        return {
            file.relative_to(top).as_posix(): file.read_bytes()
            for file in sorted(top.rglob("*.py"))
            if self.project / SEALED not in file.parents
        }

    @cached_property
    def pages(self) -> dict[str, TestedPage]:
        """The pages that have a block to run, by their names."""
        renderer = Renderer(self.project / CONFIGURATION)
        found = {}
        for name, path in pages_of(self.project).items():
            page = read(text_of(path), renderer)
            blocks = [block for block in page if block.kind is not Kind.SHOWN and block.reason is None]
            if blocks and not page.problems:
                found[name] = TestedPage(name, path, page, blocks)
        return found

    @cached_property
    def backend(self) -> str:
        """A number for the backend's code: what a page shows of it can have changed when this has."""
        return code_digest(self.project)

    def text(self, page: str) -> str:
        """A number for the text of a page."""
        return digest([self.pages[page].path.read_bytes()])


def digest(parts: Iterable[bytes]) -> str:
    """A number for some bytes."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part + b"\n")
    return total.hexdigest()[:16]

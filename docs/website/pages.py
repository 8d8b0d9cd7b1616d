"""The handbook's pages: which one a text is, where it is on the site, and how it is kept from being published.

A Python-Markdown extension is given the text of a page and not its name. The names are in the directory ``docs``: the
page is the file that holds this text. So an extension needs nothing of the generator that runs it.
"""

from __future__ import annotations

import logging
import posixpath
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from markdown import Markdown
from markdown.preprocessors import Preprocessor

from website.proof import DOCS

FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*\n", re.DOTALL | re.MULTILINE)
REFUSED = re.compile(r"<!-- refused: (.*?) -->")
# MkDocs counts the errors of loggers with names like this one, even if it is told to be quiet, and its strict build
# refuses a site that has any.
log = logging.getLogger("mkdocs.website")


def body(text: str) -> str:
    """Return what a page says: its text without front matter, surrounding blank lines and Windows line ends."""
    return FRONT_MATTER.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def metadata(text: str) -> dict[str, Any]:
    """Return what a page's front matter says; nothing if the page has none."""
    found = FRONT_MATTER.match(text)
    data = yaml.safe_load(found[1]) if found else None
    return data if isinstance(data, dict) else {}


def all_pages(docs: Path = DOCS) -> dict[str, Path]:
    """Return the file of each page, by its path below docs."""
    return {file.relative_to(docs).as_posix(): file for file in sorted(docs.rglob("*.md"))}


def names_of(text: str) -> list[str]:
    """Return the paths below docs of the pages with this text: none for a docstring, and more than one for copies."""
    files = tuple((name, file, file.stat().st_mtime_ns) for name, file in all_pages().items())
    return _names(files).get(body(text), [])


@lru_cache(maxsize=1)
def _names(files: tuple[tuple[str, Path, int], ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, file, _ in files:
        found.setdefault(body(file.read_text(encoding="utf-8")), []).append(name)
    return found


def address(page: str, seen_from: str) -> str:
    """Return the relative address of a page's HTML, as seen from that of another; both are paths below docs."""
    return posixpath.relpath(page.removesuffix(".md") + ".html", posixpath.dirname(seen_from) or ".")


def refusal(message: str) -> str:
    """Log that a page must not be published, and return a comment for its HTML that says so.

    ``python -m website`` refuses a site that has such a comment, whatever has built it.
    """
    log.error(message)
    return f"<!-- refused: {message.splitlines()[0].replace('--', '- -')} -->"


class Page:
    """The page that a Markdown instance renders.

    Arguments:
        text: what it is given to render.
    """

    def __init__(self, text: str) -> None:
        self.names = names_of(text)

    @property
    def name(self) -> str:
        """Its path below docs; nothing if none or more than one has this text: no proof can be told to be its own."""
        return self.names[0] if len(self.names) == 1 else ""

    @property
    def file(self) -> Path:
        return DOCS / self.name


class PageFinder(Preprocessor):
    """Notes which page is being rendered, before anything changes its text."""

    NAME = "website-page"

    @classmethod
    def register(cls, md: Markdown) -> None:
        """Have an instance of Markdown note its pages, once for all extensions that ask for it."""
        if cls.NAME not in md.preprocessors:
            md.preprocessors.register(cls(md), cls.NAME, 1000)

    def run(self, lines: list[str]) -> list[str]:
        self.page = Page("\n".join(lines))
        return lines


def page_of(md: Markdown) -> Page:
    """Return the page that an instance of Markdown renders."""
    finder = md.preprocessors[PageFinder.NAME]
    assert isinstance(finder, PageFinder)  # noqa: S101 - for the type checker
    return finder.page

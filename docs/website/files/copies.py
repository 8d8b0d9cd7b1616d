"""Each page as Markdown too, at its path below docs: `how-to/add-a-column.md`.

The copies lie as the pages do, so the links between them hold. They hold the docstrings and the totals that the page
shows, and not the front matter.
"""

from __future__ import annotations

import re

from griffe import Alias, Class, Function, GriffeLoader, Object

from website.files.site import Site
from website.marks import totals
from website.pages import all_pages, body
from website.proof import DOCS, PROJECT, Proof

DIRECTIVE = re.compile(r"(?m)^::: (?P<name>[\w.]+)\n(?: +.*\n)*")


def write(site: Site) -> None:
    """Write the copies.

    Raises:
        KeyError: a page asks for the docstring of a function or a class that does not exist.
    """
    loader = source_loader()
    for page in all_pages():
        path = site.directory / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(copy(page, site.proof, loader), encoding="utf-8")


def source_loader() -> GriffeLoader:
    """Return what reads the backend's source; it reads each package once."""
    return GriffeLoader(search_paths=[PROJECT / "backend"], allow_inspection=False)


def copy(page: str, proof: Proof, loader: GriffeLoader) -> str:
    """Return a page as Markdown.

    Arguments:
        page: its path below docs.
        proof: what became of the blocks.
        loader: what reads the source.

    Raises:
        KeyError: the page asks for the docstring of a function or a class that does not exist.
    """
    text = body((DOCS / page).read_text(encoding="utf-8"))
    text = DIRECTIVE.sub(lambda found: docstring(found["name"], loader), f"{text}\n")
    return totals.replace(text, proof, page)


def docstring(name: str, loader: GriffeLoader) -> str:
    """Return the docstring of a function or a class as Markdown, below its name and its signature.

    Arguments:
        name: where it can be imported from, such as `src.db.migration_runner.run_migrations`.
        loader: what reads the source.

    Raises:
        KeyError: there is no such function or class.
    """
    found = _member(name, loader)
    signature = ""
    if isinstance(found, Function):
        signature = f"{'async ' if 'async' in found.labels else ''}def {found.signature()}"
    elif isinstance(found, Class):
        signature = f"class {found.name}({', '.join(str(base) for base in found.bases)})"
    return f"### {found.name}\n\n`{signature}`\n\n{found.docstring.value if found.docstring else ''}\n"


def _member(name: str, loader: GriffeLoader) -> Object:
    """What a name stands for, in the place of its definition."""
    package = name.partition(".")[0]
    if package not in loader.modules_collection:
        loader.load(package)
        loader.resolve_aliases()
    member = loader.modules_collection[name]
    return member.final_target if isinstance(member, Alias) else member

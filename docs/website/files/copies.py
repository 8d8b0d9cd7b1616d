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
from website.proof import PROJECT

DIRECTIVE = re.compile(r"(?m)^::: (?P<name>[\w.]+)\n(?: +.*\n)*")


def write(site: Site) -> None:
    """Write the copies.

    Raises:
        KeyError: a page asks for the docstring of a function or a class that does not exist.
    """
    loader = GriffeLoader(search_paths=[PROJECT / "backend"], allow_inspection=False)
    for page, file in all_pages().items():
        text = body(file.read_text(encoding="utf-8"))
        text = DIRECTIVE.sub(lambda found: docstring(found["name"], loader), f"{text}\n")
        text = totals.replace(text, site.proof, page)
        path = site.directory / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def docstring(name: str, loader: GriffeLoader) -> str:
    """Return the docstring of a function or a class as Markdown, below its name and its signature.

    Arguments:
        name: where it can be imported from, such as `src.db.migration_runner.run_migrations`.
        loader: what reads the source, each package once.

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

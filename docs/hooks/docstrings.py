"""The MkDocs hook around mkdocstrings, which puts docstrings of the backend into pages at lines like `::: src.db.x`.

It takes off what this handbook has no use for, and puts the docstrings into the Markdown of the pages as well.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from griffe import Alias, Class, Function, GriffeLoader, Object

from figures import Figures, links
from proof import PROOF, Proof
from verification import ids_of

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

STYLE = "assets/_mkdocstrings.css"
SIGNATURE = re.compile(r'<div class="language-python doc-signature highlight">.*?</div>', re.DOTALL)
# The lines of every signature are numbered alike, and like those of the page's first block.
LINE = re.compile(r'<span id="__span-[\d-]+"><a id="__codelineno-[^>]*></a>')
_loaders: list[GriffeLoader] = []
DIRECTIVE = re.compile(r"(?m)^::: (?P<name>[\w.]+)\n(?: +.*\n)*")


def on_config(config: MkDocsConfig) -> None:
    """Take mkdocstrings' style sheet off the pages: what they need of it is in the handbook's own."""
    config.extra_css[:] = [file for file in config.extra_css if str(file) != STYLE]
    _loaders.clear()


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str | None:
    """Say below each docstring which blocks fail when the function or the error changes."""
    if not DIRECTIVE.search(markdown):
        return None
    project = Path(config.config_file_path).parent
    found = Figures.read(project)
    urls = {file.src_uri: file.url_relative_to(page.file) for file in files.documentation_pages()}
    known = ids_of(Proof.read(project / PROOF).pages)

    def with_blocks(directive: re.Match[str]) -> str:
        member = _member(directive["name"], _loader(config))
        kind, subject = ("functions", member.path) if isinstance(member, Function) else ("errors", member.name)
        shown = links(found.blocks(kind, subject), urls, known)
        return f'{directive[0]}\n<p class="shown-in">Shown in: {shown}</p>\n' if shown else directive[0]

    return DIRECTIVE.sub(with_blocks, markdown)


def on_page_content(html: str, **_: object) -> str:
    """Take the ids off the lines of signatures."""
    return SIGNATURE.sub(lambda signature: LINE.sub("<span>", signature[0]), html)


def on_post_build(config: MkDocsConfig) -> None:
    """Put the docstrings into the pages' Markdown."""
    site = Path(config.site_dir)
    (site / STYLE).unlink(missing_ok=True)
    for path in site.rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        if DIRECTIVE.search(text):
            path.write_text(
                DIRECTIVE.sub(lambda found: as_markdown(found["name"], _loader(config)), text), encoding="utf-8"
            )


def _loader(config: MkDocsConfig) -> GriffeLoader:
    """What reads the backend's source, once a build."""
    if not _loaders:
        top = Path(config.config_file_path).parent / "backend"
        _loaders.append(GriffeLoader(search_paths=[top], allow_inspection=False))
    return _loaders[0]


def _member(name: str, loader: GriffeLoader) -> Object:
    """What a name stands for, where it is defined.

    Raises:
        KeyError: there is no such function or class.
    """
    package = name.partition(".")[0]
    if package not in loader.modules_collection:
        loader.load(package)
        loader.resolve_aliases()
    member = loader.modules_collection[name]
    return member.final_target if isinstance(member, Alias) else member


def as_markdown(name: str, loader: GriffeLoader) -> str:
    """The docstring of a function or a class as Markdown, below its name and its signature.

    Args:
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

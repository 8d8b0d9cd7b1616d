"""The MkDocs hook that publishes each page as Markdown too, at its path below docs: `how-to/add-a-column.md`.

The copies lie as the pages do, so the links between them hold. What stands in a page's front matter is left out.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mkdocs.utils import get_relative_url

import verification
from figures import Figures
from proof import PROOF, VERIFICATION, Proof

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

TYPE = "text/markdown"

_texts: dict[str, str] = {}


def on_files(files: Files, **_: Any) -> None:
    """Forget the pages of an earlier build."""
    _texts.clear()


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Keep the page's Markdown, and tell the theme where it is going to be."""
    uri = page.file.src_uri
    _texts[uri] = _with_tables(markdown, config, files) if uri == VERIFICATION else markdown
    page.meta["markdown_url"] = get_relative_url(quote(uri), page.url)


def _with_tables(markdown: str, config: MkDocsConfig, files: Files) -> str:
    """The page of all blocks, with links to the other pages' Markdown."""
    project = Path(config.config_file_path).parent
    urls = {uri: uri for uri in files.src_uris}
    return verification.with_tables(markdown, Proof.read(project / PROOF).pages, urls, Figures.read(project))


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Name the Markdown in the page's head, where programs look for it."""
    # With the space, because the theme takes a link whose rel is "alternate" and no more for another language of the
    # site, and asks for that one's sitemap as each page opens.
    link = f'<link rel="alternate " type="{TYPE}" href="{escape(page.meta["markdown_url"])}">'
    return output.replace("</head>", f"{link}</head>", 1)


def on_post_build(config: MkDocsConfig) -> None:
    """Write the Markdown."""
    for uri, text in _texts.items():
        path = Path(config.site_dir) / uri
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.strip() + "\n", encoding="utf-8")

"""The MkDocs hook that writes what programs read: `llms.txt`, `sitemap.xml` and `verification.json`.

`llms.txt` is in the form of https://llmstxt.org/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from mkdocs.structure.pages import Page

import verification
from proof import PROOF, Proof

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import File, Files
    from mkdocs.structure.nav import Navigation

SITEMAP = "sitemap.xml"
SITEMAP_NAMES = "http://www.sitemaps.org/schemas/sitemap/0.9"
LLMS = "llms.txt"
DATA = "verification.json"
# Sections of the navigation that hold one page are listed under this heading.
ALONE = "Start"
# A paragraph of the page's own: marks have a class.
PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
TAG = re.compile(r"<[^>]+>")
SENTENCE = re.compile(r".+?[.!?](?=\s|$)", re.DOTALL)

_nav: Navigation
_files: Sequence[File] = ()


def on_nav(nav: Navigation, files: Files, **_: Any) -> None:
    """Keep the pages, and their order."""
    global _nav, _files  # noqa: PLW0603 - MkDocs calls functions of this module, which share what they know here
    _nav = nav
    _files = files.documentation_pages()


def on_page_content(html: str, page: Page, **_: Any) -> None:
    """Describe the page by its first sentence, unless its front matter describes it."""
    page.meta.setdefault("description", first_sentence(html))


def first_sentence(html: str) -> str:
    """The first sentence of a page's first paragraph, without markup; nothing where there is no paragraph."""
    for paragraph in PARAGRAPH.findall(html):
        text = " ".join(unescape(TAG.sub("", paragraph)).split())
        if text:
            found = SENTENCE.match(text)
            return found[0] if found else text
    return ""


def on_post_template(output: str, template_name: str, **_: Any) -> str:
    """Write the sitemap: that of MkDocs holds no address where the site's own is not known."""
    return sitemap() if template_name == SITEMAP else output


def sitemap() -> str:
    """Each page with the day of its last commit, as far as git knows it.

    The addresses are whole where the site's own is known, and otherwise seen from the sitemap.
    """
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<urlset xmlns="{SITEMAP_NAMES}">']
    for page in (file.page for file in _files if file.page is not None):
        lines += ["  <url>", f"    <loc>{escape(page.canonical_url or page.url)}</loc>"]
        if "revision_date" in page.meta:
            lines.append(f"    <lastmod>{page.update_date}</lastmod>")
        lines.append("  </url>")
    return "\n".join([*lines, "</urlset>", ""])


def on_post_build(config: MkDocsConfig) -> None:
    """Write both files."""
    proof = Proof.read(Path(config.config_file_path).parent / PROOF)
    site = Path(config.site_dir)
    (site / LLMS).write_text(llms(config), encoding="utf-8")
    data = verification.data(proof.pages, proof.postgresql, {file.src_uri: file.url for file in _files})
    (site / DATA).write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def llms(config: MkDocsConfig) -> str:
    """The list of the pages: their titles, the addresses of their Markdown, and what each is about."""
    # With mike the address has no slash at its end.
    base = f"{config.site_url.rstrip('/')}/" if config.site_url else ""
    note = (
        "Each page is Markdown at the address that stands here. Its fenced code blocks are run as tests: "
        f"[{DATA}]({urljoin(base, DATA)}) holds what became of each of them."
    )
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", "", note]
    for section, pages in _sections():
        lines += ["", f"## {section}", ""]
        for page in pages:
            description = page.meta.get("description")
            link = f"- [{page.title}]({urljoin(base, quote(page.file.src_uri))})"
            lines.append(f"{link}: {description}" if description else link)
    return "\n".join(lines) + "\n"


def _sections() -> Iterator[tuple[str, list[Page]]]:
    """The sections of the navigation, each with all its pages; first those that stand for themselves."""
    alone = [item for item in _nav.items if isinstance(item, Page)]
    if alone:
        yield ALONE, alone
    for item in _nav.items:
        if item.is_section:
            yield item.title, list(_pages(item.children))


def _pages(items: list[Any]) -> Iterator[Page]:
    for item in items:
        if isinstance(item, Page):
            yield item
        else:
            yield from _pages(item.children or [])

"""The site that a generator has built, and its pages in the order of the navigation."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import yaml

from website.files.history import last_changes
from website.pages import address, all_pages, body
from website.proof import DOCS, PROJECT, Proof

TITLE = re.compile(r"(?m)^# (.+?)(?: *\{.*\})?$")
# A paragraph of the page's own: marks and other additions have a class.
PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
ARTICLE = re.compile(r"<article.*?</article>", re.DOTALL)
TAG = re.compile(r"<[^>]+>")
SENTENCE = re.compile(r".+?[.!?](?=\s|$)", re.DOTALL)
# Sections of the navigation that hold one page are listed under this heading.
ALONE = "Start"


class SiteError(Exception):
    """The site must not be published; the message says why, in a line for each reason."""


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags mean nothing here but for their default values."""


def _tagged(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node)[-1]
    return None


_Loader.add_multi_constructor("!", _tagged)
_Loader.add_multi_constructor("tag:yaml.org,2002:python/", _tagged)


@dataclass(frozen=True)
class Site:
    """A built site.

    Arguments:
        directory: where its pages are.
        url: the address at which it is published, if that is known; it ends with a slash.
        proof: what became of the blocks.
    """

    directory: Path
    url: str
    proof: Proof

    @property
    def settings(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = yaml.load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8"), _Loader)  # noqa: S506
        return found

    def html(self, page: str) -> Path:
        """Return the file of a page, which is named by its path below docs."""
        return self.directory / (page.removesuffix(".md") + ".html")

    def address(self, page: str) -> str:
        """Return the address of a page as seen from the site's first one."""
        return address(page, "index.md")

    def sections(self) -> dict[str, list[tuple[str, str]]]:
        """Return the pages by the sections of the navigation, each with its title and its path below docs."""
        found: dict[str, list[tuple[str, str]]] = {ALONE: []}
        nav: Sequence[Any] = self.settings.get("nav") or list(all_pages())
        for item in nav:
            title, content = next(iter(item.items())) if isinstance(item, dict) else ("", item)
            found.setdefault(title if isinstance(content, list) else ALONE, []).extend(_flat(title, content))
        return {section: [(name or title_of(page), page) for name, page in pages] for section, pages in found.items()}

    def dates(self) -> dict[str, str]:
        """Return the day on which each page was last changed, as far as git knows, as YYYY-MM-DD."""
        return {page: day.isoformat() for page, day in last_changes(DOCS).items()}


def _flat(title: str, content: Any) -> Iterator[tuple[str, str]]:
    """The pages of an item of the navigation; a page without a name there has an empty one."""
    if isinstance(content, str):
        yield title, content
        return
    for item in content:
        if isinstance(item, str):
            yield "", item
        else:
            for name, inner in item.items():
                yield from _flat(name, inner)


def title_of(page: str) -> str:
    """Return the title of a page, without markup."""
    found = TITLE.search(body((DOCS / page).read_text(encoding="utf-8")))
    return found[1].replace("`", "") if found else page


def first_sentence(html: str) -> str:
    """Return the first sentence of a page's first paragraph, without markup; nothing if there is no paragraph."""
    article = ARTICLE.search(html)
    for paragraph in PARAGRAPH.findall(article[0] if article else html):
        text = " ".join(unescape(TAG.sub("", paragraph)).split())
        if text:
            found = SENTENCE.match(text)
            return found[0] if found else text
    return ""


def site_url() -> str:
    """Return the address at which the site is to be published, from the environment, with a slash at its end."""
    url = os.environ.get("SITE_URL", "")
    return f"{url.rstrip('/')}/" if url else ""

"""The words that a page is searched by, from its front matter, put into the search index of the site.

    ---
    keywords: downgrade, roll back, revert
    ---

Material's search weighs a page's tags by themselves, so the words become tags there; how much they weigh is said in
mkdocs.yml. Zensical's looks for words in a page's text.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from website.files.site import Site
from website.pages import address, all_pages, metadata

# Each index is there twice: as a script too, for a site that is opened as files.
MATERIAL = ("search/search_index.json", "search/search_index.js")
ZENSICAL = ("search.json", "search.js")


def complete(site: Site) -> None:
    """Put the words of each page into the index that the site's generator has written."""
    words = {address(page, "index.md"): keywords(file) for page, file in all_pages().items()}
    for name in (*MATERIAL, *ZENSICAL):
        path = site.directory / name
        if path.is_file():
            path.write_text(_completed(path.read_text(encoding="utf-8"), words), encoding="utf-8")


def keywords(file: Path) -> list[str]:
    """Return the words and phrases that a page's front matter lists; none if it lists none."""
    listed = str(metadata(file.read_text(encoding="utf-8")).get("keywords") or "")
    return [word.strip() for word in listed.split(",") if word.strip()]


def _completed(index: str, words: dict[str, list[str]]) -> str:
    start = index.index("{")
    data, end = json.JSONDecoder().raw_decode(index, start)
    for entry in data.get("docs") or data["items"]:
        # A page's sections have entries of their own.
        if found := words.get(entry["location"]):
            _add(entry, found, tags="docs" in data)
    return index[:start] + json.dumps(data, separators=(",", ":"), ensure_ascii=False) + index[end:]


def _add(entry: dict[str, Any], words: list[str], *, tags: bool) -> None:
    if tags:
        entry["tags"] = words
    else:
        entry["text"] += f"<p>{escape(', '.join(words))}</p>"

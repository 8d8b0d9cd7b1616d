"""What each built page says about itself to programs: its description, its Markdown, and when it was changed."""

from __future__ import annotations

import re
from datetime import date
from html import escape

from website.files.site import Site, first_sentence
from website.pages import all_pages, metadata

DESCRIPTION = re.compile(r'<meta name="?description"? content=(?:"[^"]*"|[^ >]*)/?>')
# What the theme's template leaves to be filled in.
REVISED = "<!-- revised -->"
# mkdocstrings' own style sheet: what the pages need of it is in the handbook's.
STYLE = "assets/_mkdocstrings.css"
STYLE_LINK = re.compile(rf'<link rel="?stylesheet"? href="?[^">]*{re.escape(STYLE)}"?>')


def complete(site: Site) -> dict[str, str]:
    """Complete the head and the foot of each page, and return the pages' descriptions.

    A page is described by its front matter, and otherwise by its first sentence.
    """
    dates = site.dates()
    found = {}
    for page, file in all_pages().items():
        path = site.html(page)
        html = path.read_text(encoding="utf-8")
        found[page] = metadata(file.read_text(encoding="utf-8")).get("description") or first_sentence(html)
        html = _described(html, found[page])
        html = html.replace(REVISED, _revised(dates.get(page, "")), 1)
        path.write_text(html, encoding="utf-8")
    _unlink_style(site)
    return found


def _unlink_style(site: Site) -> None:
    for path in site.directory.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        path.write_text(STYLE_LINK.sub("", html), encoding="utf-8")
    (site.directory / STYLE).unlink(missing_ok=True)


def _described(html: str, text: str) -> str:
    return (
        DESCRIPTION.sub(lambda _: f'<meta name="description" content="{escape(text)}">', html, count=1)
        if text
        else html
    )


def _revised(day: str) -> str:
    if not day:
        return ""
    when = date.fromisoformat(day)
    return f'<p class="revised">Last changed <time datetime="{day}">{when.day} {when:%B %Y}</time></p>'

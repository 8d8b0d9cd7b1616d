"""The lists that programs read: `llms.txt` as https://llmstxt.org/ has it, the sitemap, and `verification.json`."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import quote, urljoin

from website.files.site import Site
from website.marks import totals

SITEMAP = "sitemap.xml"
SITEMAP_NAMES = "http://www.sitemaps.org/schemas/sitemap/0.9"
LLMS = "llms.txt"
DATA = "verification.json"
# What the data holds of a block: nothing that differs from run to run.
PUBLISHED = ("id", "line", "kind", "status", "reason", "versions")


def write(site: Site, descriptions: Mapping[str, str]) -> None:
    """Write the lists.

    Arguments:
        site: the site.
        descriptions: what each page is about, by its path below docs.
    """
    mapped = sitemap(site)
    (site.directory / SITEMAP).write_text(mapped, encoding="utf-8")
    (site.directory / f"{SITEMAP}.gz").write_bytes(gzip.compress(mapped.encode(), mtime=0))
    (site.directory / LLMS).write_text(llms(site, descriptions), encoding="utf-8")
    text = json.dumps(verification(site), indent=1, ensure_ascii=False)
    (site.directory / DATA).write_text(f"{text}\n", encoding="utf-8")


def sitemap(site: Site) -> str:
    """Return each page's address with the day of its last change, as far as git knows it.

    The addresses are whole if the site's own is known, and otherwise seen from the sitemap.
    """
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<urlset xmlns="{SITEMAP_NAMES}">']
    dates = site.dates()
    for pages in site.sections().values():
        for _, page in pages:
            lines += ["  <url>", f"    <loc>{escape(urljoin(site.url, site.address(page)))}</loc>"]
            if page in dates:
                lines.append(f"    <lastmod>{dates[page]}</lastmod>")
            lines.append("  </url>")
    return "\n".join([*lines, "</urlset>", ""])


def llms(site: Site, descriptions: Mapping[str, str]) -> str:
    """Return the list of the pages: their titles, the addresses of their Markdown, and what each is about."""
    note = (
        "Each page is Markdown at the address that stands here. Its fenced code blocks are run as tests: "
        f"[{DATA}]({urljoin(site.url, DATA)}) holds what became of each of them."
    )
    lines = [f"# {site.settings['site_name']}", "", f"> {site.settings['site_description']}", "", note]
    for section, pages in site.sections().items():
        lines += ["", f"## {section}", ""]
        for title, page in pages:
            link = f"- [{title}]({urljoin(site.url, quote(page))})"
            lines.append(f"{link}: {descriptions[page]}" if descriptions[page] else link)
    return "\n".join(lines) + "\n"


def verification(site: Site) -> dict[str, Any]:
    """Return what became of every block: nothing in it differs between two runs that found the same."""
    found = totals.counts(site.proof)
    return {
        "postgresql": site.proof.postgresql,
        "blocks": {status: found[status] for status in sorted(found)},
        "pages": [
            {
                "source": page,
                "url": site.address(page),
                "blocks": [{name: entry[name] for name in PUBLISHED} | {"sha256": entry["key"]} for entry in entries],
            }
            for page, entries in totals.listed(site.proof).items()
        ],
    }

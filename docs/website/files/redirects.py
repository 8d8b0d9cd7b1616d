"""Pages at the addresses that pages had, which lead to those that they have.

`docs/redirects.yml` holds both, as paths below docs; the new one may end with an anchor:

    how-to/old-name.md: how-to/new-name.md#a-section
"""

from __future__ import annotations

import json
from html import escape
from urllib.parse import urljoin

import yaml

from website.files.site import Site, SiteError, title_of
from website.pages import address, all_pages
from website.proof import DOCS

REDIRECTS = DOCS / "redirects.yml"
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="canonical" href="{canonical}">
<meta name="robots" content="noindex">
<meta name="viewport" content="width=device-width,initial-scale=1">
{script}<meta http-equiv="refresh" content="0; url={url}">
</head>
<body>
<p>This page is now <a href="{url}">{title}</a>.</p>
</body>
</html>
"""
# What the address ends with, and no server sees, leads to the same place of the page.
SCRIPT = "<script>location.replace({url} + location.hash)</script>\n"


def write(site: Site) -> None:
    """Write a page for each old address.

    Raises:
        SiteError: an old address is that of a page, or a new one leads nowhere.
    """
    if not REDIRECTS.exists():
        return
    found = yaml.safe_load(REDIRECTS.read_text(encoding="utf-8")) or {}
    if not isinstance(found, dict) or not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise SiteError("docs/redirects.yml: each line must be OLD.md: NEW.md")
    pages = all_pages()
    problems = []
    for old, new in found.items():
        target, _, anchor = new.partition("#")
        if old in pages:
            problems.append(f"{old} is a page, and cannot lead to {new}")
        elif target not in pages:
            problems.append(f"{old} leads to {target}, and there is no such page")
        elif anchor and f'id="{anchor}"' not in site.html(target).read_text(encoding="utf-8"):
            problems.append(f"{old} leads to {new}, and that page has no such anchor")
        else:
            place = site.html(old)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(_page(site, old, target, anchor), encoding="utf-8")
    if problems:
        raise SiteError("\n".join(f"docs/redirects.yml: {problem}" for problem in problems))


def _page(site: Site, old: str, target: str, anchor: str) -> str:
    url = address(target, old)
    return PAGE.format(
        title=escape(title_of(target)),
        canonical=escape(urljoin(site.url, site.address(target)) if site.url else url),
        url=escape(f"{url}#{anchor}" if anchor else url),
        script="" if anchor else SCRIPT.format(url=json.dumps(url).replace("<", "\\u003c")),
    )

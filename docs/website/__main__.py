"""Complete a site that a generator has built, or refuse it: ``python -m website build/site``.

It refuses a page with a block that is not proven, and otherwise writes what programs read beside the pages.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from website import proof
from website.files import copies, head, lists, redirects, search, unknown
from website.files.site import Site, SiteError, site_url
from website.pages import REFUSED


def refuse(site: Site) -> None:
    """Look for what a page says against its being published.

    Raises:
        SiteError: a page says something.
    """
    found = [
        message
        for page in sorted(site.directory.rglob("*.html"))
        for message in REFUSED.findall(page.read_text(encoding="utf-8"))
    ]
    if found:
        raise SiteError("\n".join(found))


def finish(directory: Path, url: str) -> None:
    """Complete a site.

    Arguments:
        directory: where its pages are.
        url: the address at which it is to be published, or nothing.

    Raises:
        SiteError: it must not be published.
    """
    site = Site(directory, url, proof.read())
    refuse(site)
    descriptions = head.complete(site)
    copies.write(site)
    lists.write(site, descriptions)
    redirects.write(site)
    search.complete(site)
    unknown.complete(site)


def main() -> int:
    """Return 0 if the site is complete, and 1 if it is refused."""
    parser = argparse.ArgumentParser(prog="python -m website", description=__doc__)
    parser.add_argument("site", type=Path, help="the directory of the built site")
    try:
        finish(parser.parse_args().site, site_url())
    except SiteError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

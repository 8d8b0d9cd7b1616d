"""The MkDocs hook that leads from the addresses that pages had to those that they have.

`docs/redirects.yml` holds both, as paths below docs; the new one may end with an anchor:

    how-to/old-name.md: how-to/new-name.md#a-section
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.exceptions import PluginError
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File
from mkdocs.utils.yaml import yaml_load

if TYPE_CHECKING:
    from jinja2 import Environment
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

REDIRECTS = "redirects.yml"
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

log = get_plugin_logger("redirects")

_pages: dict[str, str] = {}


def redirects(directory: Path) -> dict[str, str]:
    """The new address of each old one, as `redirects.yml` in a directory holds them; none where it does not exist.

    Raises:
        PluginError: the file holds something else.
    """
    path = directory / REDIRECTS
    if not path.exists():
        return {}
    with path.open("rb") as file:
        found = yaml_load(file)
    if not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise PluginError(f"{path}: each line must be OLD.md: NEW.md")  # noqa: TRY003
    return found


def on_env(env: Environment, config: MkDocsConfig, files: Files) -> None:
    """Make a page for each old address, now that all pages and their anchors are known."""
    _pages.clear()
    for old, new in redirects(Path(config.docs_dir)).items():
        uri, _, anchor = new.partition("#")
        target = files.get_file_from_path(uri)
        if files.get_file_from_path(old) is not None:
            log.warning("%s: %s is a page, and cannot lead to %s", REDIRECTS, old, new)
        elif target is None or target.page is None:
            log.warning("%s: %s leads to %s, and there is no such page", REDIRECTS, old, uri)
        elif anchor and anchor not in (target.page.present_anchor_ids or ()):
            log.warning("%s: %s leads to %s, and that page has no such anchor", REDIRECTS, old, new)
        else:
            place = File(old, None, config.site_dir, config.use_directory_urls)
            _pages[place.abs_dest_path] = _page(place, target, anchor)


def _page(place: File, target: File, anchor: str) -> str:
    assert target.page is not None  # noqa: S101 - the caller has looked
    url = target.url_relative_to(place)
    return PAGE.format(
        title=escape(str(target.page.title)),
        canonical=escape(target.page.canonical_url or url),
        url=escape(f"{url}#{anchor}" if anchor else url),
        script="" if anchor else SCRIPT.format(url=json.dumps(url).replace("<", "\\u003c")),
    )


def on_post_build(**_: Any) -> None:
    """Write the pages for the old addresses."""
    for place, html in _pages.items():
        path = Path(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(html, encoding="utf-8")

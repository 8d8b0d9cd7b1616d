"""The page for unknown addresses, `404.html`, made to work below any path.

A server answers with it at every depth, so a generator gives it addresses that begin at the site's own, or at the root
of the host if the site has none. Then they are made to begin at the place that the site is found to have.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from website.files.site import Site

PAGE = "404.html"
CHARSET = '<meta charset="utf-8">'
ADDRESS = re.compile(r'\b(href|src|action)="/(?!/)')
SETTINGS = re.compile(r'(<script id="__config" type="application/json">)(.*?)(</script>)', re.DOTALL)
# The theme's script reads the addresses in its settings as seen from the page's own.
RESOLVE = """<script>{
const place = document.currentScript.previousElementSibling;
const settings = JSON.parse(place.textContent);
for (const name of ["base", "search"]) settings[name] = new URL(settings[name], document.baseURI).href;
place.textContent = JSON.stringify(settings);
}</script>"""


def complete(site: Site) -> None:
    """Let the addresses of the page, and those that it tells the theme's script, start from a `base` element."""
    path = site.directory / PAGE
    if site.url or not path.exists():
        return
    script = (Path(__file__).parent / "unknown.js").read_text(encoding="utf-8")
    html = ADDRESS.sub(r'\1="./', path.read_text(encoding="utf-8"))
    html = SETTINGS.sub(_relative, html)
    path.write_text(
        html.replace(CHARSET, f'{CHARSET}<base href="/"><script>{{{script}}}</script>', 1), encoding="utf-8"
    )


def _relative(match: re.Match[str]) -> str:
    settings = json.loads(match[2])
    for key in ("base", "search"):
        settings[key] = f"./{settings[key].lstrip('/')}"
    return f"{match[1]}{json.dumps(settings)}{match[3]}{RESOLVE}"

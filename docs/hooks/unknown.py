"""The MkDocs hook that lets the page for unknown addresses work below any path.

A server answers with `404.html` at every depth, so MkDocs gives it addresses that begin at the site's own, or at the
root of the host where the site has none. There they are made to begin where the site is found to lie.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

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


def on_post_template(output: str, template_name: str, config: MkDocsConfig, **_: Any) -> str | None:
    """Let the addresses of the page, and those that it tells the theme's script, start from a `base` element."""
    if template_name != PAGE or config.site_url:
        return None
    script = (Path(__file__).parent / "unknown.js").read_text(encoding="utf-8")
    output = ADDRESS.sub(r'\1="./', output)
    output = SETTINGS.sub(_relative, output)
    return output.replace(CHARSET, f'{CHARSET}<base href="/"><script>{{{script}}}</script>', 1)


def _relative(match: re.Match[str]) -> str:
    settings = json.loads(match[2])
    for key in ("base", "search"):
        settings[key] = f"./{settings[key].lstrip('/')}"
    return f"{match[1]}{json.dumps(settings)}{match[3]}{RESOLVE}"

"""The MkDocs hook of `mkdocs serve`: an open page asks for the marks that its blocks have by now, and has its Markdown.

mike, which publishes versions, starts MkDocs itself: for it the hook completes the site as `make site` does.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from website import __main__ as command
from website import proof
from website.files import copies
from website.marks.mark import marks_of
from website.pages import all_pages

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

# Where a page that is being served asks for its marks.
LIVE = "/.proof"
# The page that a browser has asked for last: the prover of `make serve` runs it first.
OPENED = Path("build") / "opened"
# Set by mike while it builds: https://github.com/jimporter/mike
VERSION = "MIKE_DOCS_VERSION"

_commands: list[str] = []


def on_startup(command: str, **_: Any) -> None:
    """Note what MkDocs was started for."""
    _commands[:] = [command]


def on_config(config: MkDocsConfig) -> None:
    """Let served pages follow the proof, and let a reader choose among versions if there are several."""
    if _commands == ["serve"]:
        config.mdx_configs["website.marks"] = {"live": True}
    # A page asks its server for the versions, so a site that stands alone must not have the choice.
    if VERSION in os.environ:
        config.extra["version"] = {"provider": "mike"}


def on_page_content(html: str, **_: Any) -> str | None:
    """Add the script that asks to a served page."""
    if _commands != ["serve"]:
        return None
    script = (Path(__file__).parent / "live.js").read_text(encoding="utf-8")
    return f"{html}<script>{script}</script>"


def on_serve(server: Any, **_: Any) -> None:
    """Answer the open pages."""
    site = server.get_app()

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        asked = environ["PATH_INFO"]
        if asked.removeprefix("/") in all_pages():
            start_response("200 OK", [("Content-Type", "text/markdown; charset=utf-8"), ("Cache-Control", "no-store")])
            return [copies.copy(asked.removeprefix("/"), proof.read(), copies.source_loader()).encode()]
        if asked != LIVE:
            return site(environ, start_response)
        if not _is_own(environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"Only pages of this site may ask.\n"]
        page = parse_qs(environ["QUERY_STRING"]).get("page", [""])[0]
        _note(page)
        body = json.dumps(marks_of(proof.read(), page)).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        return [body]

    server.set_app(answer)


def _note(page: str) -> None:
    """Note that a page is open."""
    with suppress(OSError):
        (proof.PROJECT / OPENED).parent.mkdir(exist_ok=True)
        (proof.PROJECT / OPENED).write_text(page, encoding="utf-8")


def _is_own(host: str, origin: str | None) -> bool:
    """Tell whether a page of this site asks: another site could give a name of its own to this machine's address."""
    name = urlsplit(f"//{host}").hostname or ""
    if origin not in (None, f"http://{host}"):
        return False
    try:
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False


def on_post_build(config: MkDocsConfig) -> None:
    """Complete what mike is about to publish."""
    if VERSION in os.environ:
        url = config.site_url or ""
        command.finish(Path(config.site_dir), f"{url.rstrip('/')}/" if url else "")

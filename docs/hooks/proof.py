"""The MkDocs hook that shows the proof: what became of each block when the handbook's tests ran it.

It reads `build/proof.json`, which the tests write, and the proofs beside it, and nothing else of them. Each block gets
a mark below it; the page `verification.md` lists them all. A strict build refuses a page with a block that has no proof
for its present text.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from pymdownx.superfences import highlight_validator

import verification
from figures import Figures
from versions import add_versions, in_words

if TYPE_CHECKING:
    from markdown import Markdown
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

PROOF = Path("build") / "proof.json"
VERIFICATION = "verification.md"
# Where a page that is being served asks for its marks.
LIVE = "/.proof"


def block_key(language: str, text: str) -> str:
    """The key of a block in the proof: the sha256, in hexadecimal, of its language and its text."""
    return hashlib.sha256(f"{language}\n{text}".encode()).hexdigest()


class Proof:
    """What the proof file holds, and which blocks of the page being rendered it holds nothing of.

    Args:
        content: the proof file's; without any, nothing is proven.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.postgresql: str = content.get("postgresql") or ""
        self.pages: dict[str, list[dict[str, Any]]] = content.get("pages", {})
        self._left: dict[str, list[dict[str, Any]]] = {}
        self.unproven: list[str] = []

    @classmethod
    def read(cls, path: Path) -> Proof:
        """The proof in a file, or an empty one where there is no such file, with what those beside it add.

        Raises:
            PluginError: a file is not a proof.
        """
        content = _load(path)
        add_versions(content, [_load(other) for other in sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))])
        return cls(content)

    def start(self, page: str) -> None:
        """Begin a page, named by its path below docs."""
        self.unproven = []
        self._left = defaultdict(list)
        for entry in self.pages.get(page, []):
            self._left[entry["key"]].append(entry)

    def take(self, language: str, text: str) -> dict[str, Any] | None:
        """What became of the next block with this text on the page; nothing where there is no proof of it."""
        entries = self._left[block_key(language, text)]
        if not entries:
            self.unproven.append(text)
            return None
        # Where more blocks of one text are rendered than ran, the last record is all there is.
        return entries.pop(0) if len(entries) > 1 else entries[0]


def _load(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise PluginError(f"{path}: not a proof ({error}); delete it and run make docs-test") from None  # noqa: TRY003
    return content


_proof = Proof({})
_figures = Figures()
_live = False


def on_config(config: MkDocsConfig) -> None:
    """Read the proof, and have SuperFences put a mark below each block."""
    global _proof, _figures  # noqa: PLW0603 - MkDocs calls functions of this module, which share what they know here
    project = Path(config.config_file_path).parent
    _proof = Proof.read(project / PROOF)
    _figures = Figures.read(project)
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences[:] = [fence for fence in fences if fence["name"] != "*"]
    fences.append({"name": "*", "class": "", "format": format_block, "validator": highlight_validator})


def on_startup(command: str, **_: Any) -> None:
    """Note whether the site is being served: then its pages follow the proof while they are open."""
    global _live  # noqa: PLW0603 - as above
    _live = command == "serve"


def on_serve(server: Any, config: MkDocsConfig, **_: Any) -> None:
    """Answer the open pages' question for the marks that their blocks have by now."""
    path = Path(config.config_file_path).parent / PROOF
    site = server.get_app()

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] != LIVE:
            return site(environ, start_response)
        page = parse_qs(environ["QUERY_STRING"]).get("page", [""])[0]
        body = json.dumps(marks_of(Proof.read(path), page)).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        return [body]

    server.set_app(answer)


def marks_of(proof: Proof, page: str) -> dict[str, list[str]]:
    """The marks of a page's blocks as HTML, by their keys, each key's in the order of the page."""
    marks: dict[str, list[str]] = defaultdict(list)
    for entry in proof.pages.get(page, []):
        marks[entry["key"]].append(mark(entry))
    return marks


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the page that lists every block."""
    content = verification.text(_proof.pages, _proof.postgresql, _figures)
    files.append(File.generated(config, VERIFICATION, content=content))


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Note which page's blocks come next, and put the totals where the page wants them."""
    _proof.start(page.file.src_uri)
    if verification.TOTALS not in markdown:
        return markdown  # The totals are counted over all pages, which is too much to do on each of them.
    return markdown.replace(verification.TOTALS, verification.totals(_proof.pages, _proof.postgresql))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str | None:
    """Refuse a page with a block that is not proven, where the build is strict; let a served one follow the proof."""
    if page.file.src_uri == VERIFICATION:
        urls = {file.src_uri: file.url_relative_to(page.file) for file in files.documentation_pages()}
        return verification.with_tables(html, _proof.pages, urls, _figures)
    if config.strict:
        _refuse_unproven(page)
    if not _live:
        return None
    script = (Path(__file__).parent / "live.js").read_text(encoding="utf-8")
    return f'<div data-proof-page="{escape(page.file.src_uri)}"></div>{html}<script>{script}</script>'


def _refuse_unproven(page: Page) -> None:
    uri = page.file.src_uri
    if _proof.unproven:
        text = _proof.unproven[0]
        raise PluginError(f"{uri}:{_line_of(text, page)}: no proof for this block; run make docs-test\n\n{text}")  # noqa: TRY003
    for entry in _proof.pages.get(uri, []):
        if entry["status"] in _BECAME:
            raise PluginError(f"{uri}:{entry['line']}: this block {_BECAME[entry['status']]}; run make docs-test")  # noqa: TRY003


_BECAME = {"failed": "failed when it ran", "not reached": "was not reached, because one above it failed"}


def _line_of(text: str, page: Page) -> int:
    """The line of a page on which a block's text starts: that of its fence where the text is not found."""
    lines = [line.strip(" \t>") for line in page.file.content_string.split("\n")]
    wanted = [line.strip(" \t>") for line in text.split("\n")]
    for number in range(len(lines)):
        if lines[number : number + len(wanted)] == wanted:
            return number + 1
    return 1


def format_block(
    source: str, language: str, class_name: str, options: dict[str, Any], md: Markdown, **keywords: Any
) -> str:
    """Highlight a block as SuperFences does, and put its mark below it."""
    fences: Any = md.preprocessors["fenced_code_block"]
    block: str = fences.highlight(src=source, language=language, options=options, md=md, **keywords)
    below = mark(_proof.take(language, source))
    return block + (f'<div data-proof-key="{block_key(language, source)}">{below}</div>' if _live else below)


def mark(entry: dict[str, Any] | None) -> str:
    """The mark of a block, as HTML: what became of it, in words that a screen reader reads too."""
    if entry is None:
        return _mark("unverified", "Not verified yet")
    status, kind = entry["status"], entry["kind"]
    if status == "failed":
        failure = entry["failure"]
        text = f"Failed at line {failure['line']}: {escape(failure['summary'])}"
        return _mark("failed", text, "\n".join(failure["details"]), opened=True)
    if status == "not run":
        return _mark("not-run", f"Not run: {escape(entry['reason'])}")
    if status == "passed":
        postgresql = f" on PostgreSQL {escape(in_words(entry['versions']))}" if entry["versions"] else ""
        # The page shows that of an expected output itself.
        printed = "" if kind == "output" else entry.get("output", "")
        return _mark("passed", _PASSED[kind].format(postgresql=postgresql), printed)
    name, text = _WITHOUT_DETAILS[status]
    return _mark(name, text)


_WITHOUT_DETAILS = {
    "shown": ("shown", "Shown only, not run"),
    "not reached": ("unverified", "Not reached: a block above it failed"),
}
_PASSED = {
    "file": "Written as shown, for the blocks below",
    "data": "Parsed",
    "output": "Printed by the block above",
} | dict.fromkeys(("python", "pycon", "sql", "console", "bash"), "Ran{postgresql}")


def _mark(name: str, text: str, details: str = "", *, opened: bool = False) -> str:
    """A mark. It holds no fence's characters and no line that Markdown could read: SuperFences takes it as it is."""
    if not details.strip():
        return f'<p class="proof proof--{name}">{text}</p>'
    body = escape(details.rstrip("\n"))
    return (
        f'<details class="proof proof--{name}"{" open" if opened else ""}><summary>{text}'
        f"<span> · {'what differs' if opened else 'what it printed'}</span></summary><pre>{body}</pre></details>"
    )

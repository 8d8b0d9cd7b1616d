"""What references lead to where MkDocs does not look: from the files beside the pages, from errors, and to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import markdown
import pytest
from mkdocs.config import load_config
from mkdocs.utils import meta

from handbook.session import pages_of
from src.db import errors

ROOT = Path(__file__).resolve().parents[2]
BESIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
# `[text][reference]`, `[reference][]`, `[text](address` and `[^note]` are shown as they are where they lead nowhere.
UNDEFINED = re.compile(r"\[[^\[\]]+\]\s?\[[^\[\]]*\]|\]\(|\[\^\w+\]")
ELSEWHERE = re.compile(r"[a-z]+:")


@dataclass
class Text(HTMLParser):
    """What a rendered file shows outside code, where it leads, and what leads to it."""

    html: str
    prose: str = ""
    addresses: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    in_code: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.addresses += [values[name] for name in ("href", "src") if name in values]
        self.anchors |= {values["id"]} if "id" in values else set()
        self.in_code += tag in {"code", "pre"}

    def handle_endtag(self, tag: str) -> None:
        self.in_code -= tag in {"code", "pre"}

    def handle_data(self, data: str) -> None:
        self.prose += "`code`" if self.in_code else data


@pytest.fixture(scope="module")
def renderer() -> markdown.Markdown:
    config = load_config(str(ROOT / "mkdocs.yml"))
    return markdown.Markdown(extensions=config.markdown_extensions, extension_configs=config.mdx_configs)


class Texts(dict[Path, Text]):
    """The files, each rendered when it is first asked for."""

    def __init__(self, renderer: markdown.Markdown) -> None:
        super().__init__()
        self.renderer = renderer

    def __missing__(self, file: Path) -> Text:
        self[file] = rendered(self.renderer, file.read_text(encoding="utf-8"))
        return self[file]


@pytest.fixture
def texts(renderer: markdown.Markdown) -> Texts:
    return Texts(renderer)


def rendered(renderer: markdown.Markdown, text: str) -> Text:
    renderer.reset()
    return Text(renderer.convert(meta.get_data(text)[0]))


def undefined(text: Text) -> list[str]:
    return UNDEFINED.findall(text.prose)


def broken(file: Path, texts: Texts) -> Iterator[str]:
    """The addresses within the checkout that a file beside the pages leads to, and that are not there."""
    for address in texts[file].addresses:
        path, _, anchor = address.partition("#")
        target = (file.parent / path).resolve() if path else file
        if ELSEWHERE.match(address):
            continue
        if not target.is_relative_to(ROOT) or not target.exists() or (anchor and anchor not in texts[target].anchors):
            yield address


def test_no_page_shows_a_reference_that_leads_nowhere(texts: Texts) -> None:
    files = [*pages_of(ROOT).values(), *(ROOT / name for name in BESIDE)]
    assert {str(file.relative_to(ROOT)): found for file in files if (found := undefined(texts[file]))} == {}


@pytest.mark.parametrize("name", BESIDE)
def test_a_file_beside_the_pages_leads_to_what_is_there(name: str, texts: Texts) -> None:
    assert texts[ROOT / name].addresses
    assert list(broken(ROOT / name, texts)) == []


def test_each_error_leads_to_its_section(texts: Texts) -> None:
    codes = [kind.code.lower() for kind in errors.MigrationError.__subclasses__()]
    anchors = texts[ROOT / errors.HANDBOOK_PAGE].anchors
    assert len(codes) > 1
    assert [code for code in codes if code not in anchors] == []


@pytest.mark.parametrize(
    "text",
    ["See [the runner][runner].", "See [the runner] [].", "See [the runner](runner.md.", "As measured.[^locks]"],
)
def test_a_reference_that_leads_nowhere_is_seen(text: str, renderer: markdown.Markdown) -> None:
    assert undefined(rendered(renderer, f"{text}\n\n```text\n[a][b]\n```\n"))


def test_code_is_no_reference(renderer: markdown.Markdown) -> None:
    assert (
        undefined(rendered(renderer, "`rows[0][1]`, [a link](a.md) and [another][a]\n\n    x[0][1]\n\n[a]: b.md\n"))
        == []
    )


@pytest.mark.parametrize(
    "address", ["docs/nowhere.md", "docs/errors.md#pm99", "#nowhere", "../outside.md", "docs/assets/missing.png"]
)
def test_an_address_that_leads_nowhere_is_seen(address: str, texts: Texts) -> None:
    file = ROOT / "README.md"
    texts[file] = rendered(texts.renderer, f"[here]({address})")
    assert list(broken(file, texts)) == [address]


def test_every_test_that_a_page_names_exists() -> None:
    texts = [page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md")]
    # A page may also name a test that it writes itself.
    named = {
        (file, test)
        for text in texts
        for file, test in re.findall(r"((?:backend/)?tests/[\w/]+\.py)::(\w+)", text)
        if f'title="{file}"' not in text
    }
    assert named
    missing = [
        f"{file}::{test}"
        for file, test in sorted(named)
        if not re.search(rf"(?m)^\s*(async )?def {test}\b|^class {test}\b", (ROOT / file).read_text(encoding="utf-8"))
    ]
    assert missing == []

"""The built site: it builds without a warning, every reference leads somewhere, and nothing asks another host."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from website.pages import body

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

# Attributes that hold an address, and the elements in which a browser only goes there when the reader does.
ADDRESSES = frozenset({"action", "background", "data", "formaction", "href", "ping", "poster", "src", "xlink:href"})
FOLLOWED = frozenset({"a", "area"})
UNLOADED_LINKS = frozenset({"canonical", "edit", "license", "next", "prev"})
CSS_ADDRESS = re.compile(r"""url\(\s*["']?(.*?)["']?\s*\)|@import\s+["'](.*?)["']""")
# Around each token of a code block, with nothing to look at but a color: most of a page's elements.
TOKEN = re.compile(r'<span class="\w{1,3}">|</span>')
# `//host` and `scheme:`, but not `data:`, which holds its content itself.
FOREIGN = re.compile(r"(?!data:)[a-z][a-z0-9+.-]*:|[/\\]{2}", re.IGNORECASE)
# The hosts that the script of the theme knows, and when it asks them: `test_the_theme_asks_no_host` rules that out.
CONDITIONAL = {
    "api.github.com": "a repository link that shows stars and releases",
    "unpkg.com": "a Mermaid diagram, or a browser without ResizeObserver, which all have had since 2020",
}


@dataclass
class Document(HTMLParser):
    """What one page refers to, and what can be referred to in it."""

    path: Path
    loaded: list[str] = field(default_factory=list)
    followed: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    elements: list[dict[str, str]] = field(default_factory=list)
    in_style: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(TOKEN.sub("", self.path.read_text(encoding="utf-8")))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.elements.append({"": tag, **values})
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.in_style = tag == "style"
        self.loaded += css_addresses(values.get("style", ""))
        self.loaded += [part.split()[0] for part in values.get("srcset", "").split(",") if part.strip()]
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self.loaded.append(values["content"].partition("=")[2])
        if tag == "link" and values.get("rel") in UNLOADED_LINKS:
            return
        addresses = [value for name, value in values.items() if name in ADDRESSES]
        (self.followed if tag in FOLLOWED else self.loaded).extend(addresses)

    def handle_endtag(self, tag: str) -> None:
        self.in_style = self.in_style and tag != "style"

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self.loaded += css_addresses(data)


def is_moved(document: Document) -> bool:
    """Whether a page only leads to another one."""
    return any(element.get("http-equiv") == "refresh" for element in document.elements)


def css_addresses(css: str) -> list[str]:
    return [found[1] or found[2] for found in CSS_ADDRESS.finditer(css)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # `make check` keeps the site where `make site` puts it.
    if kept := os.environ.get("HANDBOOK_SITE"):
        return ROOT / kept
    directory = tmp_path_factory.mktemp("site") / "site"
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(DOCS)}
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", directory],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stdout
    told = [line for line in build.stdout.splitlines() if line and not line.startswith("INFO ")]
    assert told == [], "the strict build warns"
    subprocess.run([sys.executable, "-m", "website", directory], env=environment, check=True)
    return directory


@pytest.fixture(scope="module")
def documents(site: Path) -> dict[Path, Document]:
    found = {path: Document(path) for path in sorted(site.rglob("*.html"))}
    assert site / "index.html" in found
    return found


def references(site: Path, documents: dict[Path, Document]) -> Iterator[tuple[Path, str]]:
    """Each file of the site with each address that it loads or leads to."""
    for path, document in documents.items():
        yield from ((path, address) for address in document.loaded + document.followed)
    for path in site.rglob("*.css"):
        yield from ((path, address) for address in css_addresses(path.read_text(encoding="utf-8")))


def is_broken(address: str, *, path: Path, site: Path, documents: dict[Path, Document]) -> bool:
    """Whether an address within the site leads to no file, or to no element of a page."""
    base = f"http://site/{path.relative_to(site).as_posix()}"
    parts = urlsplit(urljoin(base, address))
    target = site / unquote(parts.path).lstrip("/")
    if target.is_dir():
        target /= "index.html"
    if not target.resolve().is_relative_to(site) or not target.is_file():
        return True
    fragment = unquote(parts.fragment)
    return bool(fragment) and target in documents and fragment not in documents[target].anchors


def test_every_reference_within_the_site_leads_somewhere(site: Path, documents: dict[Path, Document]) -> None:
    # The pages of one directory share the addresses of the navigation.
    distinct = {
        (path if address.startswith("#") else path.parent, address): path
        for path, address in references(site, documents)
        if not address.startswith("data:") and not FOREIGN.match(address)
    }
    broken = [
        f"{path.relative_to(site)}: {address}"
        for (_, address), path in distinct.items()
        if is_broken(address, path=path, site=site, documents=documents)
    ]
    assert broken == []


def test_a_page_loads_nothing_from_another_host(site: Path, documents: dict[Path, Document]) -> None:
    css = {path: css_addresses(path.read_text(encoding="utf-8")) for path in site.rglob("*.css")}
    loaded = {path: document.loaded for path, document in documents.items()} | css
    assert len(css) > 1, "the theme's style sheets and the handbook's own are looked at"
    foreign = [
        f"{path.relative_to(site)}: {address}"
        for path, addresses in loaded.items()
        for address in addresses
        if FOREIGN.match(address)
    ]
    assert foreign == []


def test_a_program_finds_every_page_in_each_list(site: Path, documents: dict[Path, Document]) -> None:
    pages = {path.relative_to(site) for path, document in documents.items() if not is_moved(document)}
    pages.remove(Path("404.html"))
    sources = {file.relative_to(DOCS) for file in DOCS.rglob("*.md")}
    assert pages == {source.with_suffix(".html") for source in sources}
    listed = re.findall(r"^- \[.+?\]\((.+?)\): .", (site / "llms.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(Path(address) for address in listed) == sorted(sources)
    mapped = re.findall(r"<loc>(.+?)</loc>", (site / "sitemap.xml").read_text(encoding="utf-8"))
    assert sorted(Path(address) for address in mapped) == sorted(pages)


def test_each_page_leads_to_its_markdown(site: Path, documents: dict[Path, Document]) -> None:
    for source in DOCS.rglob("*.md"):
        markdown = (site / source.relative_to(DOCS)).read_text(encoding="utf-8")
        assert markdown.startswith("# "), "the front matter is left out"
        paragraphs = body(source.read_text(encoding="utf-8")).split("\n\n")
        missing = [text for text in paragraphs if not text.startswith(("<!-- verification: ", "::: "))]
        assert [text for text in missing if text not in markdown] == []
        page = documents[(site / source.relative_to(DOCS)).with_suffix(".html")]
        links = [element for element in page.elements if element.get("type") == "text/markdown"]
        assert [link["href"] for link in links] == [source.name]
        assert source.name in page.followed, "the button at the title"


def test_the_data_of_the_verification_is_that_of_its_page(site: Path) -> None:
    text = (site / "verification.json").read_text(encoding="utf-8")
    data = json.loads(text)
    blocks = [block for page in data["pages"] for block in page["blocks"]]
    assert sum(data["blocks"].values()) == len(blocks)
    totals = f"<strong>{len(blocks):,}</strong> blocks on <strong>{len(data['pages'])}</strong> pages"
    assert totals in (site / "verification.md").read_text(encoding="utf-8")
    assert all((site / page["url"]).is_file() for page in data["pages"])
    assert "duration" not in text, "nothing that differs from run to run"


def test_the_theme_asks_no_host(site: Path, documents: dict[Path, Document]) -> None:
    """The theme's script knows addresses; the pages hold nothing that makes it ask for them."""
    (bundle,) = site.glob("assets/javascripts/bundle.*.min.js")
    # A fixed address in code; a comment's and a licence's are preceded by other things than a quote.
    known = set(re.findall(r"""["'`]https?://([\w.-]+)""", bundle.read_text(encoding="utf-8")))
    assert known == CONDITIONAL.keys(), "the theme's script knows other hosts than were examined"
    for document in documents.values():
        for element in document.elements:
            assert "mermaid" not in element.get("class", "").split(), f"{document.path.name}: a Mermaid diagram"
            assert element.get("data-md-component") != "source", f"{document.path.name}: a repository link"


@pytest.mark.parametrize(
    ("page", "loaded"),
    [
        ('<img src="https://example.org/a.png">', "https://example.org/a.png"),
        ('<img srcset="a.png 1x, //example.org/b.png 2x">', "//example.org/b.png"),
        ('<p style="background: url(https://example.org/a.png)">', "https://example.org/a.png"),
        ('<style>@import "https://example.org/a.css";</style>', "https://example.org/a.css"),
        ('<link rel="preconnect" href="https://example.org">', "https://example.org"),
        ('<svg><use xlink:href="//example.org/a.svg#b"/></svg>', "//example.org/a.svg#b"),
        ('<meta http-equiv="refresh" content="0; url=https://example.org/">', "https://example.org/"),
    ],
)
def test_what_a_browser_would_load_is_seen(page: str, loaded: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(page)
    found = [address for address in Document(file).loaded if FOREIGN.match(address)]
    assert found == [loaded]


@pytest.mark.parametrize(
    ("address", "broken"),
    [
        ("other/", False),
        ("other/#there", False),
        ("#here", False),
        ("/style.css?v=1", False),
        ("other/#nowhere", True),
        ("missing/", True),
        ("other/missing.png", True),
        ("../outside.html", True),
    ],
)
def test_a_broken_reference_is_seen(address: str, *, broken: bool, tmp_path: Path) -> None:
    site = (tmp_path / "site").resolve()
    (site / "other").mkdir(parents=True)
    (site / "index.html").write_text('<h1 id="here">')
    (site / "other" / "index.html").write_text('<h1 id="there">')
    (site / "style.css").touch()
    documents = {path: Document(path) for path in site.rglob("*.html")}
    assert is_broken(address, path=site / "index.html", site=site, documents=documents) is broken

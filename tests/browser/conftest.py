"""The built site in a browser: one server and one browser for the tests of a process, and pages that are watched."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    ViewportSize,
    WebError,
    expect,
    sync_playwright,
)

from browser import chromium, reaper
from browser.server import served

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("SITE", ROOT / "build" / "site"))
# Zensical's search is another program than Material's, with an index of its own, this file.
ZENSICAL = (SITE / "search.json").is_file()
FIELD = "dialog [role=combobox]" if ZENSICAL else ".md-search__input"
# What the search has found, each with a link.
FOUND = "[role=listbox] [role=option]" if ZENSICAL else ".md-search-result__item > a"
NOT_BUILT = f"{SITE} holds no site: make site builds it."
PATIENCE = 30_000.0  # milliseconds, for what a page has to do; on a busy machine the search takes some of them
DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
SMALL_PHONE: ViewportSize = {"width": 320, "height": 640}


def pytest_configure() -> None:
    expect.set_options(timeout=PATIENCE)
    if chromium.find() is None:
        raise pytest.UsageError(chromium.MISSING)
    if not (SITE / "index.html").is_file():
        raise pytest.UsageError(NOT_BUILT)


def paths() -> list[str]:
    """The pages of the site by their paths in it; not those that stand in for all addresses that lead elsewhere."""
    pages = (path for path in SITE.rglob("*.html") if 'http-equiv="refresh"' not in path.read_text(encoding="utf-8"))
    return sorted(path.relative_to(SITE).as_posix() for path in pages if path != SITE / "404.html")


def search(page: Page, words: str, key: str = "/") -> None:
    """Turn to the search of a page, and type words when it hears them."""
    page.keyboard.press(key)
    expect(page.locator(FIELD)).to_be_focused()
    page.keyboard.type(words)
    expect(page.locator(FOUND).first).to_be_visible()


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A directory for all that the browser writes, which goes away however the tests end."""
    directory = Path(tempfile.mkdtemp(prefix="plantops-site-"))
    with subprocess.Popen(
        [sys.executable, "-I", reaper.__file__, directory], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        yield directory
        process.communicate()


@pytest.fixture(scope="session")
def browser(scratch: Path) -> Iterator[Browser]:
    """The system's Chromium."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(scratch))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium.find(),
                args=chromium.FLAGS,
                # Chromium refuses to run as root in its sandbox.
                chromium_sandbox=os.geteuid() != 0,
                env={**os.environ, "HOME": str(scratch)},
            )
            yield browser
            browser.close()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the site is served: below a path, as on a host that has other sites."""
    with served(SITE) as address:
        yield address


@dataclass
class Traffic:
    """What the pages of a context asked for, and what they complained of."""

    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> Callable[[], None]:
        """Note everything from now on, until what this returns is called."""
        context.on("request", self.note)
        context.on("requestfailed", self.fail)
        context.on("console", self.hear)
        context.on("weberror", self.stumble)

        def forget() -> None:
            context.remove_listener("request", self.note)
            context.remove_listener("requestfailed", self.fail)
            context.remove_listener("console", self.hear)
            context.remove_listener("weberror", self.stumble)

        return forget

    def note(self, request: Request) -> None:
        """Note what a page asks for."""
        self.requests.append(request)

    def fail(self, request: Request) -> None:
        """Note what a page asks for in vain."""
        self.complaints.append(f"{request.url}: {request.failure}")

    def hear(self, message: ConsoleMessage) -> None:
        """Note what a page writes to the console as an error or a warning."""
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def stumble(self, error: WebError) -> None:
        """Note what a page's script did not catch."""
        self.complaints.append(str(error.error))

    def foreign(self) -> list[str]:
        """The addresses on other hosts that were asked for."""
        return [request.url for request in self.requests if urlsplit(request.url).hostname not in {"127.0.0.1", None}]


@pytest.fixture
def traffic() -> Traffic:
    """What `page` asks for and complains of."""
    return Traffic()


@pytest.fixture
def page(browser: Browser, traffic: Traffic) -> Iterator[Page]:
    """A page in a context of its own, as wide as a desk's screen."""
    context = browser.new_context(viewport=DESK, color_scheme="light")
    context.set_default_timeout(PATIENCE)
    traffic.watch(context)
    yield context.new_page()
    context.close()

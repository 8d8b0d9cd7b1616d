"""Nothing that axe can find at WCAG 2.2 AA; the colors follow the system; a narrow phone shows all of a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import DESK, FOUND, PHONE, ROOT, SMALL_PHONE, ZENSICAL, paths

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RUN = """(contrast) => axe.run(
  // The rows of a long table are alike.
  { exclude: ["tbody tr:nth-child(n+20)"] },
  {
    resultTypes: ["violations"],
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    rules: {
      "target-size": { enabled: true },
      "color-contrast": { enabled: contrast },
      // No requirement of WCAG: the theme's buttons are labels, which work without scripts too.
      "aria-allowed-role": { enabled: false },
    },
  },
)"""
PICTURES = ROOT / "build" / "screenshots"
# One page of each kind, and what differs from them.
KINDS = (
    "index.html",
    "development.html",
    "how-to/choose-a-safe-way.html",
    "how-to/add-an-index.html",
    "troubleshooting/index.html",
    "troubleshooting/lock-timeout.html",
    "reference/schema.html",
    "reference/runner.html",
    "explanation/how-a-start-up-migrates.html",
    "contributing/tested-pages.html",
    "nowhere.html",
)
SCREENS = {"light": ("light", DESK), "dark": ("dark", DESK), "320": ("light", SMALL_PHONE), "390": ("dark", PHONE)}
SCHEMES = {"light": "default", "dark": "slate"}


@pytest.fixture(scope="module")
def screens(browser: Browser) -> Iterator[dict[str, Page]]:
    """A page on each kind of screen, in one of the schemes."""
    contexts = {
        name: browser.new_context(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
        for name, (scheme, viewport) in SCREENS.items()
    }
    yield {name: context.new_page() for name, context in contexts.items()}
    for context in contexts.values():
        context.close()


def findings(page: Page, *, contrast: bool = True) -> list[str]:
    """What axe finds on a page as it is now; looking at the contrast of each word takes it the most of the time."""
    page.evaluate(AXE)
    return [
        f"{violation['id']}: {node['target']} {node['html'][:120]}"
        for violation in page.evaluate(RUN, contrast)["violations"]
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("path", paths())
def test_nothing_is_found_on_a_page_and_it_fits_a_phone(path: str, screens: dict[str, Page], address: str) -> None:
    page = screens["light"]
    page.set_viewport_size(DESK)
    page.goto(address + path)
    assert findings(page, contrast=path in KINDS) == []
    page.set_viewport_size(SMALL_PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= SMALL_PHONE["width"]


@pytest.mark.parametrize("screen", ["dark", "320", "390"])
@pytest.mark.parametrize("path", KINDS)
def test_nothing_is_found_on_another_screen(path: str, screen: str, screens: dict[str, Page], address: str) -> None:
    screens[screen].goto(address + path)
    assert findings(screens[screen]) == []


@pytest.mark.skipif(
    ZENSICAL, reason="Zensical's dialog has findings in a shadow tree, which no style sheet of ours reaches"
)
@pytest.mark.parametrize("screen", SCREENS)
def test_nothing_is_found_in_the_open_search(screen: str, screens: dict[str, Page], address: str) -> None:
    page = screens[screen]
    page.goto(address + "?q=deadlock")
    expect(page.locator(FOUND).first).to_be_visible()
    assert findings(page) == []


@pytest.mark.parametrize("screen", ["320", "390"])
def test_nothing_is_found_in_the_open_drawer(screen: str, screens: dict[str, Page], address: str) -> None:
    page = screens[screen]
    page.goto(address + "how-to/add-an-index.html")
    page.get_by_role("button", name="Navigation").click()
    expect(page.locator(".md-sidebar--primary")).to_be_in_viewport()
    assert findings(page) == []


def test_axe_finds_what_is_wrong(page: Page, address: str) -> None:
    page.goto(address)
    page.add_style_tag(content="article p { color: #aaa; }")
    assert any(found.startswith("color-contrast") for found in findings(page))


@pytest.mark.parametrize("preferred", SCHEMES)
def test_the_colors_follow_the_system(preferred: str, screens: dict[str, Page], address: str) -> None:
    page = screens[preferred]
    page.goto(address)
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", SCHEMES[preferred])
    other = next(scheme for scheme in ("light", "dark") if scheme != preferred)
    page.emulate_media(color_scheme=other)
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", SCHEMES[other])
    page.emulate_media(color_scheme=preferred)


@pytest.mark.parametrize("screen", ["light", "dark", "390"])
@pytest.mark.parametrize("path", KINDS[:-1])
def test_a_picture_is_kept_to_look_at(screen: str, path: str, screens: dict[str, Page], address: str) -> None:
    picture = PICTURES / f"{path.removesuffix('.html').replace('/', '-')}-{screen}.png"
    picture.unlink(missing_ok=True)
    screens[screen].set_viewport_size(SCREENS[screen][1])
    screens[screen].goto(address + path)
    screens[screen].screenshot(path=picture)
    assert picture.read_bytes().startswith(b"\x89PNG")

"""A keyboard reaches everything that a mouse does, and its focus can be seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import FIELD, PATIENCE, SMALL_PHONE, ZENSICAL, search

# What the keyboard is on: its name, or its text.
FOCUSED = """() => {
  const element = document.activeElement;
  return element.getAttribute("aria-label") ?? (element.textContent.trim() || element.title);
}"""
# Whether the place of the focus can be seen: within the window, not covered, and drawn otherwise than without focus.
SEEN = """() => {
  const element = document.activeElement;
  const target = element.matches(".md-option") ? element.nextElementSibling : element;
  const box = target.getBoundingClientRect();
  const style = getComputedStyle(target);
  return box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth
    && (style.outlineStyle !== "none" || element.matches("input[type=text]"));
}"""

OPEN_SEARCH = "dialog[open]" if ZENSICAL else "#__search:checked"


@pytest.fixture
def phone(browser: Browser, address: str) -> Iterator[Page]:
    with browser.new_context(viewport=SMALL_PHONE) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(address + "development.html")
        yield page


def tab_to(page: Page, name: str, most: int = 60) -> None:
    """Press Tab until the focus is on what has this name."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED) == name:
            return
    pytest.fail(f"{most} times Tab do not lead to {name!r}")


def test_the_first_stop_skips_to_the_content(page: Page, address: str) -> None:
    page.goto(address + "development.html")
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "Skip to content"
    expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('article') !== null")


def test_each_stop_can_be_seen(page: Page, address: str) -> None:
    page.goto(address + "how-to/add-an-index.html")
    unseen = []
    stops = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            # The last one is behind us.
            break
        stops.add(page.evaluate(FOCUSED))
        if not page.evaluate(SEEN):
            unseen.append(page.evaluate("document.activeElement.outerHTML.slice(0, 120)"))
    assert unseen == []
    assert {"Copy to clipboard", "Search", "Switch to light mode"} <= stops


def test_the_search_is_opened_read_and_left(page: Page, address: str) -> None:
    page.goto(address)
    tab_to(page, "Search")
    search(page, "deadlock detected", key="Enter")
    if not ZENSICAL:  # whose first result is chosen from the start
        page.keyboard.press("ArrowDown")
        assert "deadlock detected" in page.evaluate(FOCUSED)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("deadlock detected")
    page.wait_for_load_state("networkidle")  # its script hears the key from then on
    page.keyboard.press("/")
    expect(page.locator(FIELD)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(OPEN_SEARCH)).to_have_count(0)


def test_the_colors_are_switched(page: Page, address: str) -> None:
    page.goto(address)
    tab_to(page, "Switch to light mode")
    assert page.locator("body").get_attribute("data-md-color-scheme") == "default"
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")


def test_a_block_is_copied(page: Page, address: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(address + "development.html")
    page.locator("article .md-code__nav button").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".md-dialog")).to_contain_text("Copied to clipboard")
    assert page.evaluate("navigator.clipboard.readText()") == "ls backend/src/db/migrations"


def test_a_wide_block_is_scrolled(phone: Page) -> None:
    wide = phone.locator("article pre > code[tabindex='0']").first
    wide.focus()
    phone.keyboard.press("ArrowRight")
    expect(wide).to_be_focused()
    phone.wait_for_function("code => code.scrollLeft > 0", arg=wide.element_handle())


@pytest.mark.parametrize("key", ["Enter", " "])
def test_the_drawer_of_a_phone_opens_and_closes(key: str, phone: Page) -> None:
    assert "Tutorial" not in phone.locator(".md-sidebar--primary").aria_snapshot(), "closed, it is out of the way"
    tab_to(phone, "Navigation", 4)
    phone.keyboard.press(key)
    drawer = phone.locator(".md-sidebar--primary")
    expect(phone.get_by_role("button", name="Navigation")).to_have_attribute("aria-expanded", "true")
    expect(drawer).to_be_in_viewport()
    assert phone.evaluate("document.activeElement.closest('.md-sidebar--primary') !== null")
    phone.keyboard.press("Escape")
    expect(phone.get_by_role("button", name="Navigation")).to_have_attribute("aria-expanded", "false")
    assert phone.evaluate(FOCUSED) == "Navigation"
    phone.keyboard.press("Tab")
    assert not phone.evaluate("document.activeElement.closest('.md-sidebar--primary') !== null")


def test_the_drawer_leads_to_a_page_of_another_part(phone: Page) -> None:
    tab_to(phone, "Navigation", 4)
    phone.keyboard.press("Enter")
    tab_to(phone, "Explanation")
    phone.keyboard.press("Enter")
    tab_to(phone, "Why no ORM")
    phone.keyboard.press("Enter")
    expect(phone.get_by_role("heading", level=1)).to_contain_text("Why no ORM")


def test_the_search_of_a_phone_opens(phone: Page) -> None:
    tab_to(phone, "Search", 6)
    search(phone, "deadlock detected", key="Enter")

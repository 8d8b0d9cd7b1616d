"""What a page shows can be read whole: on a desk nothing is clipped, on a phone nothing is out of reach."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import DESK, PATIENCE, PHONE, paths

SCREENS = {"desk": DESK, "phone": PHONE}
SCROLL_BAR = 15  # pixels; the browser that runs the tests lays it over the page
# The words of a block, or its name, that a button covers.
COVERED = """() => {
  const covered = [];
  for (const cell of document.querySelectorAll("article .cell")) {
    const buttons = [...cell.querySelectorAll(".md-code__button")].map((button) => button.getBoundingClientRect());
    const words = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (words.nextNode()) {
      if (!words.currentNode.parentElement.closest("code, .filename")) continue;
      const range = document.createRange();
      range.selectNodeContents(words.currentNode);
      for (const box of range.getClientRects()) {
        const under = ({ left, right, top, bottom }) =>
          box.right > left + 1 && box.left < right - 1 && box.bottom > top + 2 && box.top < bottom - 2;
        if (box.width && buttons.some(under)) covered.push(words.currentNode.textContent);
      }
    }
  }
  return covered;
}"""
# What a reader can open is open.
OPEN = """() => {
  for (const details of document.querySelectorAll("article details")) details.open = true;
}"""
# Of the tables that psql draws, the lines under the heads that go on in the next line.
TORN = """tables => tables.flatMap((table) => {
  const torn = [];
  const words = document.createTreeWalker(table, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) {
    for (const line of words.currentNode.data.matchAll(/^.*-[+]-.*$/gm)) {
      const range = document.createRange();
      range.setStart(words.currentNode, line.index);
      range.setEnd(words.currentNode, line.index + line[0].length);
      if (new Set([...range.getClientRects()].map((box) => box.top)).size > 1) torn.push(line[0]);
    }
  }
  return torn;
})"""
SHOWN = "article :is(pre > code, .printed > pre, .md-typeset__scrollwrap, figure.diagram)"
CLIPPED = "found => found.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent)"

BROKEN = "found => found.filter((one) => one.getClientRects().length > 1).map((one) => one.textContent)"


@pytest.fixture(scope="module")
def screens(browser: Browser) -> Iterator[dict[str, Page]]:
    contexts = {name: browser.new_context(viewport=screen) for name, screen in SCREENS.items()}
    for context in contexts.values():
        context.set_default_timeout(PATIENCE)
    yield {name: context.new_page() for name, context in contexts.items()}
    for context in contexts.values():
        context.close()


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("path", ["development.html", "how-to/add-an-index.html", "troubleshooting/lock-timeout.html"])
def test_no_word_of_a_block_is_under_a_button(path: str, screen: str, screens: dict[str, Page], address: str) -> None:
    page = screens[screen]
    page.goto(address + path)
    expect(page.locator("article .md-code__button").first).to_be_attached()
    assert page.evaluate(COVERED) == []


def test_nothing_is_clipped_or_torn_on_a_desk(screens: dict[str, Page], address: str) -> None:
    page = screens["desk"]
    page.set_viewport_size({**DESK, "width": DESK["width"] - SCROLL_BAR})
    clipped, tables = {}, 0
    for path in paths():
        page.goto(address + path)
        page.evaluate(OPEN)
        drawn = page.locator("article .table code")
        tables += drawn.count()
        clipped[path] = page.locator(SHOWN).evaluate_all(CLIPPED) + drawn.evaluate_all(TORN)
    page.set_viewport_size(DESK)
    assert {path: found for path, found in clipped.items() if found} == {}
    assert tables > 50


@pytest.mark.parametrize("path", ["index.html", "how-to/rehearse-a-migration.html", "reference/rehearsal-report.html"])
def test_the_report_of_a_rehearsal_is_not_clipped_on_a_phone(path: str, screens: dict[str, Page], address: str) -> None:
    page = screens["phone"]
    page.goto(address + path)
    reports = page.locator("article .language-console pre > code:visible").filter(has_text="make rehearse")
    assert reports.count() > 0
    assert reports.evaluate_all(CLIPPED) == []


def test_the_table_of_a_statement_is_scrolled_and_not_torn(screens: dict[str, Page], address: str) -> None:
    page = screens["phone"]
    page.goto(address + "reference/schema.html")
    table = page.locator("article pre > code").filter(has_text="-+-").first
    assert table.evaluate("code => getComputedStyle(code).whiteSpace") == "pre"
    assert table.evaluate("code => code.scrollWidth > code.clientWidth")


@pytest.mark.parametrize("path", ["troubleshooting/index.html", "reference/error-index.html", "reference/schema.html"])
def test_no_word_in_a_table_is_broken_on_a_phone(path: str, screens: dict[str, Page], address: str) -> None:
    page = screens["phone"]
    page.goto(address + path)
    words = page.locator("article td code").filter(has_not_text=re.compile(r"\s"))
    assert words.count() > 5
    assert words.evaluate_all(BROKEN) == []


def test_a_phone_shows_the_whole_matrix_of_lock_modes(screens: dict[str, Page], address: str) -> None:
    page = screens["phone"]
    page.goto(address + "reference/lock-modes.html")
    cells = page.locator(".matrix :is(th, td)")
    assert cells.count() == 81
    assert page.locator(".matrix .md-typeset__scrollwrap").evaluate_all(CLIPPED) == []
    assert page.locator(".matrix table").evaluate("table => table.getBoundingClientRect().right") <= PHONE["width"]


def test_a_phone_shows_the_whole_diagram_of_the_tables(screens: dict[str, Page], address: str) -> None:
    for screen, shown in (("phone", "narrow"), ("desk", "wide")):
        page = screens[screen]
        page.goto(address + "reference/schema.html")
        visible = page.locator("article figure.diagram:visible")
        expect(visible).to_have_count(1)
        assert visible.evaluate("figure => figure.parentElement.className") == f"diagram--{shown}"
        assert visible.evaluate_all(CLIPPED) == []


def test_a_page_has_a_margin_on_a_phone(screens: dict[str, Page], address: str) -> None:
    for path in ("index.html", "tutorial.html"):
        screens["phone"].goto(address + path)
        assert screens["phone"].locator("h1").evaluate("title => title.getBoundingClientRect().left") >= 12


def test_the_navigation_shows_the_page_that_is_open_and_folds_the_other_sections(
    screens: dict[str, Page], address: str
) -> None:
    page = screens["desk"]
    page.set_viewport_size({"width": DESK["width"], "height": 500})
    page.goto(address + "how-to/squash-migrations.html")
    sidebar = page.locator(".md-sidebar--primary")
    expect(sidebar.get_by_role("link", name="Squash migrations")).to_be_in_viewport(ratio=1)
    expect(sidebar.get_by_role("link", name="Add a column", exact=True)).to_be_hidden()
    page.set_viewport_size(DESK)

"""The marks below the blocks can be seen and read out, and stay with their blocks on paper."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

# A page with a file, a session, output of its own and output to open.
PAGE = "development.html"
MARKS = "article .proof"


@pytest.fixture
def marked(page: Page, address: str) -> Page:
    page.goto(address + PAGE)
    return page


def test_each_block_has_a_mark_that_can_be_seen(marked: Page) -> None:
    blocks = marked.locator("article .highlight:not(details *)")
    marks = marked.locator(MARKS)
    assert marks.count() == blocks.count() > 20
    for mark in marks.all():
        box = mark.bounding_box()
        assert box is not None
        assert box["height"] > 8


def test_a_mark_is_read_out_as_words(marked: Page) -> None:
    """Its sign is for the eye alone; the sentence says the same."""
    marks = marked.locator("article")
    snapshot = marks.aria_snapshot()
    for words in ("Ran on PostgreSQL", "Written as shown, for the blocks below", "Printed by the block above"):
        assert words in snapshot
    for sign in ("✓", "○", "✗", "\N{EN DASH}"):
        assert f"{sign} Ran" not in snapshot
        assert f"{sign} Printed" not in snapshot
    content = "mark => getComputedStyle(mark, '::before').content"
    assert marked.locator(f"p{MARKS.removeprefix('article ')}--passed").first.evaluate(content) == '"✓" / ""'


def test_output_that_the_page_does_not_show_opens_below_its_block(marked: Page, address: str) -> None:
    marked.goto(address + "how-to/choose-a-safe-way.html")
    mark = marked.locator("details.proof").first
    expect(mark.locator("pre")).to_be_hidden()
    mark.locator("summary").focus()
    marked.keyboard.press("Enter")
    expect(mark.locator("pre")).to_be_visible()


def test_a_block_that_does_not_run_says_why(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_text("Not run: it runs these very pages")).to_be_visible()


def test_on_paper_there_are_the_page_and_its_marks_alone(marked: Page) -> None:
    marked.emulate_media(media="print")
    for part in (".md-header", ".md-tabs", ".md-sidebar--primary", ".md-sidebar--secondary", ".md-footer", ".md-top"):
        for each in marked.locator(part).all():
            expect(each).to_be_hidden()
    for button in marked.get_by_role("button", name="Copy to clipboard").all():
        expect(button).to_be_hidden()
    assert marked.locator(MARKS).first.evaluate("mark => getComputedStyle(mark).color") == "rgb(0, 0, 0)"
    # A line that is wider than the paper goes on below; it is not cut off.
    cut = "blocks => blocks.filter((block) => block.scrollWidth > block.clientWidth + 1).length"
    marked.set_viewport_size({"width": 680, "height": 900})
    assert marked.locator("article pre > code").evaluate_all(cut) == 0
    assert marked.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_on_paper_a_mark_stays_with_its_block(marked: Page) -> None:
    marked.emulate_media(media="print")
    rules = "(element, names) => names.map((name) => getComputedStyle(element)[name])"
    block = marked.locator("article .highlight:has(+ .proof)").first
    assert block.evaluate(rules, ["breakInside", "breakAfter"]) == ["avoid", "avoid"]
    assert marked.locator(MARKS).first.evaluate(rules, ["breakBefore"]) == ["avoid"]

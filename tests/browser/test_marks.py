"""The marks of the blocks are quiet, can be seen, reached and read out, and stay with their blocks on paper."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

# A page with a file, a session, output of its own and output to open.
PAGE = "development.html"
CELLS = "article .cell"


@pytest.fixture
def marked(page: Page, address: str) -> Page:
    page.goto(address + PAGE)
    return page


def test_each_cell_has_one_mark_that_can_be_seen(marked: Page) -> None:
    cells = marked.locator(f"{CELLS}:not(details *)")
    assert cells.count() > 10
    for cell in cells.all():
        marks = cell.locator(".mark, .note")
        assert marks.count() == 1
        box = marks.bounding_box()
        assert box is not None
        assert box["height"] >= 24


def test_a_mark_tells_its_words_to_the_pointer_the_keyboard_and_a_screen_reader(marked: Page) -> None:
    mark = marked.get_by_role("img", name="Ran on PostgreSQL").first
    words = "mark => getComputedStyle(mark, '::after').visibility"
    marked.mouse.move(0, 0)
    assert mark.evaluate(words) == "hidden"
    mark.hover()
    assert mark.evaluate(words) == "visible"
    marked.mouse.move(0, 0)
    mark.focus()
    assert mark.evaluate(words) == "visible"
    assert mark.evaluate("mark => getComputedStyle(mark, '::before').content") == '"✓" / ""'
    snapshot = marked.locator("article").aria_snapshot()
    for told in ("Ran on PostgreSQL", "Written as shown, for the blocks below", "Tested on PostgreSQL"):
        assert told in snapshot


def test_the_head_of_a_page_bears_a_check_only_where_it_is_proven(marked: Page) -> None:
    head = marked.locator("article .tested")
    icon = "head => getComputedStyle(head, '::before').content"
    head.evaluate("head => { head.className = 'tested' }")
    assert head.evaluate(icon) == '"✓" / ""'
    head.evaluate("head => head.classList.add('tested--stale')")
    assert head.evaluate(icon) == '"?" / ""'


def test_output_that_the_page_does_not_show_opens_below_its_block(marked: Page, address: str) -> None:
    marked.goto(address + "how-to/add-an-index.html")
    mark = marked.locator("details.printed:not(details details)").first
    expect(mark.locator("pre")).to_be_hidden()
    mark.locator("summary").focus()
    marked.keyboard.press("Enter")
    expect(mark.locator("pre")).to_be_visible()


def test_a_block_that_does_not_run_says_why(page: Page, address: str) -> None:
    page.goto(f"{address}verification.html")
    link = page.locator("h2#what-did-not-run ~ * tbody a").first
    link.click()
    expect(page.locator(".note--not-run").first).to_contain_text("Not run: ")


def test_a_table_is_filtered_by_words_and_by_who_waits(page: Page, address: str) -> None:
    page.goto(f"{address}how-to/choose-a-safe-way.html")
    rows = page.locator("[data-filter] tbody tr:visible")
    everything = rows.count()
    page.get_by_label("Who waits").select_option("nobody")
    assert 0 < rows.count() < everything
    page.get_by_label("Filter", exact=True).fill("index CONCURRENTLY")
    expect(rows).to_have_count(1)
    expect(page.locator(".filter").get_by_role("status")).to_contain_text(f"1 of {everything} changes")


def test_on_paper_there_are_the_page_and_its_marks_alone(marked: Page) -> None:
    marked.emulate_media(media="print")
    for part in (".md-header", ".md-tabs", ".md-sidebar--primary", ".md-sidebar--secondary", ".md-footer", ".md-top"):
        for each in marked.locator(part).all():
            expect(each).to_be_hidden()
    for button in marked.get_by_role("button", name="Copy to clipboard").all():
        expect(button).to_be_hidden()
    assert marked.locator(f"{CELLS} .mark").first.evaluate("mark => getComputedStyle(mark).color") == "rgb(0, 0, 0)"
    # A line that is wider than the paper goes on below; it is not cut off.
    cut = "blocks => blocks.filter((block) => block.scrollWidth > block.clientWidth + 1).length"
    marked.set_viewport_size({"width": 680, "height": 900})
    assert marked.locator("article pre > code").evaluate_all(cut) == 0
    assert marked.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_on_paper_a_cell_is_not_torn(marked: Page) -> None:
    marked.emulate_media(media="print")
    assert marked.locator(CELLS).first.evaluate("cell => getComputedStyle(cell).breakInside") == "avoid"

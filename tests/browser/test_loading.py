"""Each page loads whole and light: nothing from another host, no complaint, and readable without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from playwright.sync_api import Browser, Page, expect

from browser.conftest import DESK, FOUND, SITE, ZENSICAL, Traffic, paths, search

# Of a page with everything that it loads, with the headers, as a server sends it with gzip. The theme of Zensical alone
# has 84,000.
MOST_BYTES = 110_000 if ZENSICAL else 95_000
MOST_REQUESTS = 8


@dataclass
class Visit:
    """What one page asked for when a browser with an empty cache opened it."""

    path: str
    traffic: Traffic
    sizes: list[int]


def visit_all(browser: Browser, address: str) -> Iterator[Visit]:
    context = browser.new_context(viewport=DESK)
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    visit = Visit("", Traffic(), [])
    session.on("Network.loadingFinished", lambda event: visit.sizes.append(event["encodedDataLength"]))
    for path in paths():
        visit = Visit(path, Traffic(), [])
        forget = visit.traffic.watch(context)
        page.goto(address + path)
        # What a script asks for later than it should is asked for by now.
        page.evaluate("() => new Promise((resolve) => requestIdleCallback(resolve))")
        forget()
        yield visit
    context.close()


def test_each_page_loads_whole_and_light_and_asks_no_other_host(browser: Browser, address: str) -> None:
    visits = list(visit_all(browser, address))
    assert all(visit.traffic.requests for visit in visits), "the requests are seen"
    assert [asked for visit in visits for asked in visit.traffic.foreign()] == []
    complaints = [f"{visit.path}: {told}" for visit in visits for told in visit.traffic.complaints]
    assert complaints == []
    assert max(sum(visit.sizes) for visit in visits) > 60_000, "the theme is part of it"
    heavy = {
        visit.path: f"{sum(visit.sizes)} bytes in {len(visit.traffic.requests)} requests"
        for visit in visits
        if sum(visit.sizes) > MOST_BYTES or len(visit.traffic.requests) > MOST_REQUESTS
    }
    assert heavy == {}


def test_the_site_works_when_opened_as_files(page: Page, traffic: Traffic) -> None:
    page.goto((SITE / "index.html").resolve().as_uri())
    page.get_by_role("link", name="Choose a safe way").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Choose a safe way")
    page.wait_for_load_state()  # its script hears the key from then on
    search(page, "deadlock detected")
    result = page.locator(FOUND).first
    expect(result).to_contain_text("deadlock detected")
    result.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("deadlock detected")
    assert {request.url.partition(":")[0] for request in traffic.requests} <= {"file", "data"}
    assert traffic.complaints == []


def test_a_page_is_readable_without_scripts(browser: Browser, address: str) -> None:
    with browser.new_context(viewport=DESK, java_script_enabled=False) as context:
        page = context.new_page()
        for path in ("development.html", "how-to/add-a-column.html", "errors.html"):
            page.goto(address + path)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            hidden = "blocks => blocks.filter((block) => !block.checkVisibility() && !block.closest('details')).length"
            assert page.locator("article pre").count() > 3, f"{path} has blocks"
            assert page.locator("article pre").evaluate_all(hidden) == 0
        page.goto(address)
        page.get_by_role("link", name="Choose a safe way").first.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Choose a safe way")

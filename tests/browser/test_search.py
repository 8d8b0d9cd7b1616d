"""The search finds the page that a person means: an error by its text, a function by its name, a task by its words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import DESK, PATIENCE, material_search
from browser.server import PREFIX

pytestmark = material_search

# What a person types, and the page that has to be the first or the second result.
QUERIES = {
    # errors, as they are printed
    "canceling statement due to lock timeout": "troubleshooting/lock-timeout",
    "asyncpg.exceptions.LockNotAvailableError": "troubleshooting/lock-timeout",
    "canceling statement due to statement timeout": "troubleshooting/statement-timeout",
    "asyncpg.exceptions.DeadlockDetectedError: deadlock detected": "troubleshooting/deadlock",
    "CREATE INDEX CONCURRENTLY cannot run inside a transaction block": "troubleshooting/create-index-concurrently",
    'column "location" of relation "plants" contains null values': "troubleshooting/null-values",
    "could not create unique index": "troubleshooting/unique-index",
    'ERROR:  relation "sensors" already exists': "troubleshooting/relation-already-exists",
    "current transaction is aborted, commands ignored until end of transaction block": (
        "troubleshooting/transaction-aborted"
    ),
    "cached statement plan is invalid": "troubleshooting/cached-statement-plan",
    "permission denied for schema public": "troubleshooting/permission-denied",
    "out of shared memory": "troubleshooting/out-of-shared-memory",
    "connection refused": "troubleshooting/connection-refused",
    "password authentication failed for user": "troubleshooting/password-authentication-failed",
    "server closed the connection unexpectedly": "troubleshooting/connection-closed",
    "PM07": "errors",
    "42501": "troubleshooting/permission-denied",
    # functions and other names
    "apply_migration": "reference/runner",
    "get_migration_files": "reference/runner",
    "pg_blocking_pids": "explanation/transactions-and-locks",
    "schema_migrations": "reference/schema-migrations",
    "DATABASE_URL": "reference/settings",
    "ACCESS EXCLUSIVE": "reference/lock-modes",
    # tasks
    "add a column": "how-to/add-a-column",
    "rename a column": "how-to/rename-a-column",
    "add index without blocking writes": "how-to/add-an-index",
    "foreign key on a big table": "how-to/add-a-constraint",
    "delete a column": "how-to/drop-a-column-or-table",
    "two branches same number": "how-to/resolve-a-version-conflict",
    "roll back a migration": "how-to/undo-a-migration",
    "update many rows in batches": "how-to/backfill-a-big-table",
    "pgbouncer": "how-to/use-pgbouncer",
    "test a page": "contributing/tested-pages",
}


@pytest.fixture(scope="module")
def start(browser: Browser, address: str) -> Iterator[Page]:
    with browser.new_context(viewport=DESK) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(address)
        yield page


def results(page: Page, query: str) -> list[str]:
    """The pages that the search lists for a query, by their paths, the best one first."""
    field = page.get_by_role("textbox", name="Search")
    found = page.locator(".md-search-result__item > a")
    for text in ("", query):
        field.fill(text)
        # The theme listens for keys, and `fill` presses none.
        field.dispatch_event("keyup")
        if not text:
            expect(found).to_have_count(0)
    found.first.wait_for()
    paths = found.evaluate_all("links => links.map((link) => link.pathname)")
    # A page whose sections fit as well stands there with several links.
    return list(dict.fromkeys(PurePosixPath(path).relative_to(PREFIX).with_suffix("").as_posix() for path in paths))


@pytest.mark.parametrize(("query", "page"), QUERIES.items(), ids=QUERIES)
def test_the_page_that_is_meant_is_first_or_second(query: str, page: str, start: Page) -> None:
    assert page in results(start, query)[:2]


def test_nothing_of_the_search_is_loaded_before_it_is_turned_to(page: Page, address: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    assert [each for each in asked if "search" in each] == []
    page.keyboard.press("/")
    page.keyboard.type("deadlock")
    expect(page.locator(".md-search-result__item").first).to_be_visible()
    assert len([each for each in asked if "search" in each]) == 2, "the program and the index"


def test_a_page_for_an_address_that_leads_nowhere_searches(page: Page, address: str) -> None:
    for path in ("nowhere.html", "how-to/add-column.html", "how-to/deep/below/"):
        response = page.goto(address + path)
        assert response is not None
        assert response.status == 404
        expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
        assert results(page, "deadlock detected")[0] == "troubleshooting/deadlock", path
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("deadlock detected")

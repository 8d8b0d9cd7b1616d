"""The search finds the page that a person means: an error by its text, a function by its name, a task by its words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import DESK, FIELD, FOUND, PATIENCE, ZENSICAL, search
from browser.server import PREFIX

# What developers type, and the page that they look for.
QUERIES = {
    # errors as printed
    "canceling statement due to lock timeout": "troubleshooting/lock-timeout",
    "asyncpg.exceptions.LockNotAvailableError": "troubleshooting/lock-timeout",
    "55P03": "troubleshooting/lock-timeout",
    "canceling statement due to statement timeout": "troubleshooting/statement-timeout",
    "asyncpg.exceptions.DeadlockDetectedError: deadlock detected": "troubleshooting/deadlock",
    "40P01": "troubleshooting/deadlock",
    "CREATE INDEX CONCURRENTLY cannot run inside a transaction block": "troubleshooting/create-index-concurrently",
    'column "location" of relation "plants" contains null values': "troubleshooting/null-values",
    "could not create unique index": "troubleshooting/unique-index",
    "duplicate key value violates unique constraint": "troubleshooting/unique-index",
    'ERROR:  relation "sensors" already exists': "troubleshooting/relation-already-exists",
    "DuplicateTableError": "troubleshooting/relation-already-exists",
    "current transaction is aborted, commands ignored until end of transaction block": (
        "troubleshooting/transaction-aborted"
    ),
    "cached statement plan is invalid": "troubleshooting/cached-statement-plan",
    "cached plan must not change result type": "troubleshooting/cached-statement-plan",
    "permission denied for schema public": "troubleshooting/permission-denied",
    "must be owner of table": "troubleshooting/permission-denied",
    "42501": "troubleshooting/permission-denied",
    "out of shared memory": "troubleshooting/out-of-shared-memory",
    "max_locks_per_transaction": "troubleshooting/out-of-shared-memory",
    "connection refused": "troubleshooting/connection-refused",
    "password authentication failed for user": "troubleshooting/password-authentication-failed",
    "server closed the connection unexpectedly": "troubleshooting/connection-closed",
    "42703": "troubleshooting/column-does-not-exist",
    "column does not exist": "troubleshooting/column-does-not-exist",
    "UndefinedTableError": "troubleshooting/column-does-not-exist",
    "invalid index": "troubleshooting/invalid-index",
    "PM07": "errors",
    "PM12": "errors",
    "backend does not start": "how-to/fix-a-failed-migration",
    "migration failed": "how-to/fix-a-failed-migration",
    # names
    "apply_migration": "reference/runner",
    "get_migration_files": "reference/runner",
    "pg_blocking_pids": "explanation/transactions-and-locks",
    "schema_migrations": "reference/schema-migrations",
    "DATABASE_URL": "reference/settings",
    "environment variables": "reference/settings",
    "lock_timeout": "reference/settings",
    "lock timeout": "troubleshooting/lock-timeout",
    "ACCESS EXCLUSIVE": "reference/lock-modes",
    "make rehearse": "how-to/rehearse-a-migration",
    "transactional = False": "reference/migration-file",
    "advisory lock": "explanation/transactions-and-locks",
    "tables and columns": "reference/schema",
    # tasks
    "create table": "how-to/create-a-table",
    "add a column": "how-to/add-a-column",
    "add column with default": "how-to/add-a-column",
    "add not null column": "how-to/add-a-not-null-column",
    "set not null": "how-to/add-a-not-null-column",
    "change default": "how-to/change-a-default",
    "rename column": "how-to/rename-a-column",
    "rename table": "how-to/create-a-table",
    "drop table": "how-to/drop-a-column-or-table",
    "delete a column": "how-to/drop-a-column-or-table",
    "alter column type": "how-to/change-a-column-type",
    "varchar to text": "how-to/change-a-column-type",
    "change type of a big table": "how-to/replace-a-column",
    "int to bigint": "how-to/bigger-keys",
    "uuid primary key": "how-to/change-a-key-to-uuid",
    "enum": "how-to/enum-types",
    "generated column": "how-to/generated-columns",
    "jsonb": "how-to/change-jsonb-data",
    "split table": "how-to/split-a-table",
    "views": "how-to/views-functions-triggers",
    "trigger": "how-to/views-functions-triggers",
    "grants": "how-to/roles-and-grants",
    "row level security": "how-to/roles-and-grants",
    "extension": "how-to/use-an-extension",
    "time zone": "how-to/time-zones",
    "create index concurrently": "how-to/add-an-index",
    "add index without blocking writes": "how-to/add-an-index",
    "foreign key not valid": "how-to/add-a-constraint",
    "unique constraint": "how-to/add-a-constraint",
    "backfill": "how-to/backfill-a-big-table",
    "update many rows in batches": "how-to/backfill-a-big-table",
    "batch delete": "how-to/delete-old-rows",
    "retention": "how-to/delete-old-rows",
    "seed": "how-to/seed-reference-data",
    "partition": "how-to/partition-telemetry",
    "drop partition": "how-to/add-and-drop-partitions",
    "hypertable": "explanation/beyond-one-server",
    "timescaledb": "explanation/beyond-one-server",
    "bloat": "how-to/reclaim-space",
    "vacuum": "how-to/reclaim-space",
    "downgrade": "how-to/undo-a-migration",
    "rollback": "how-to/undo-a-migration",
    "down migration": "how-to/undo-a-migration",
    "zero downtime": "how-to/deploy-several-replicas",
    "rolling deploy": "how-to/deploy-several-replicas",
    "docker": "how-to/run-in-containers",
    "kubernetes": "how-to/run-in-containers",
    "github actions": "how-to/run-in-continuous-integration",
    "pgbouncer": "how-to/use-pgbouncer",
    "rds": "how-to/use-a-managed-postgresql",
    "which migrations are applied": "how-to/read-schema-migrations",
    "baseline squash": "how-to/squash-migrations",
    "existing database": "how-to/take-over-a-database",
    "pg_dump restore": "how-to/back-up-before-a-migration",
    "wsl windows": "how-to/windows-wsl",
    "two branches same number": "how-to/resolve-a-version-conflict",
    "reset database": "how-to/reset-the-development-database",
    "switch branches": "how-to/reset-the-development-database",
    "kill long running migration": "how-to/watch-a-long-migration",
    "progress": "how-to/watch-a-long-migration",
    "dry run": "how-to/rehearse-a-migration",
    "test migration": "how-to/test-a-migration",
    "production data copy": "how-to/try-it-on-a-copy",
    "alembic": "explanation/why-no-orm",
    "test a page": "contributing/tested-pages",
}
FIRST = 8 / 9  # of the queries, at least, whose page is the first result; all are among the first three


@pytest.fixture(scope="module")
def start(browser: Browser, address: str) -> Iterator[Page]:
    with browser.new_context(viewport=DESK) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(address)
        yield page


def results(page: Page, query: str) -> list[str]:
    """The pages that the search lists for a query, by their paths, the best one first."""
    field = page.locator(FIELD)
    found = page.locator(FOUND)
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


@pytest.mark.skipif(ZENSICAL, reason="the words and their weights are for Material's search")
def test_the_page_that_is_meant_comes_first(start: Page) -> None:
    found = {query: results(start, query) for query in QUERIES}
    places = {query: (*found[query], page).index(page) + 1 for query, page in QUERIES.items()}
    others = [
        f"{query}: {QUERIES[query]} is at {place}, after {', '.join(found[query][: place - 1][:3])}"
        for query, place in places.items()
        if place > 1
    ]
    told = "\n".join([f"{len(others)} of {len(QUERIES)} are not first:", *others])
    assert max(places.values()) <= 3, told
    assert len(QUERIES) - len(others) >= FIRST * len(QUERIES), told


def test_nothing_of_the_search_is_loaded_before_it_is_turned_to(page: Page, address: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    assert [each for each in asked if "search" in each] == []
    search(page, "deadlock")
    assert len([each for each in asked if "search" in each]) == 2, "the program and the index"


def test_a_page_for_an_address_that_leads_nowhere_searches(page: Page, address: str) -> None:
    for path in ("nowhere.html", "how-to/add-column.html", "how-to/deep/below/"):
        response = page.goto(address + path)
        assert response is not None
        assert response.status == 404
        expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
        search(page, "deadlock detected")
        expect(page.locator(FOUND).first).to_contain_text("deadlock detected")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("deadlock detected")

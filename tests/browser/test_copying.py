"""The button of a block copies what a person would type: no prompts, nothing that was printed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.conftest import DESK, PATIENCE


@pytest.fixture(scope="module")
def development(browser: Browser, address: str) -> Iterator[Page]:
    with browser.new_context(viewport=DESK, permissions=["clipboard-read", "clipboard-write"]) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(address + "development.html")
        yield page


def block(page: Page, text: str, language: str = "") -> Locator:
    """The first block that holds this text."""
    return page.locator(f".highlight{language and f'.language-{language}'}").filter(has_text=text).first


def copied(page: Page, found: Locator) -> str:
    """What a block's button puts into the clipboard."""
    page.evaluate("navigator.clipboard.writeText('nothing')")
    found.scroll_into_view_if_needed()
    found.get_by_role("button", name="Copy to clipboard").click()
    expect(page.locator(".md-dialog")).to_contain_text("Copied to clipboard")
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def test_of_a_terminal_session_the_commands_are_copied(development: Page) -> None:
    found = block(development, "sha256sum 007_add_feature.py", "console")
    assert copied(development, found) == (
        "cd backend/src/db/migrations\nsha256sum 007_add_feature.py >> CHECKSUMS\nsha256sum --check CHECKSUMS"
    )


def test_of_a_python_session_the_statements_are_copied(development: Page) -> None:
    found = block(development, "get_migration_files():", "pycon")
    assert copied(development, found) == (
        "from src.db.migration_runner import get_migration_files\n"
        "for version, path in get_migration_files():\n"
        "    print(version, path.name)"
    )


@pytest.mark.parametrize(
    ("language", "shown", "copy"),
    [
        ("console", "$ cat > note.txt <<'END'\n> first\n> END\n$ cat note.txt\nfirst\n\n> no prompt", None),
        ("console", "$ echo one \\\n> two\none two", "echo one \\\ntwo"),
        ("console", "$ for n in 1 2; do\n>   echo $n\n> done\n1\n2", "for n in 1 2; do\n  echo $n\ndone"),
        ("pycon", ">>> for n in range(2):\n...     n\n...\n0\n1\n>>> n\n1", "for n in range(2):\n    n\n\nn"),
        ("pycon", '>>> print("...")\n...\n\n... no prompt', 'print("...")\n'),
        ("console", "nothing typed", "nothing typed"),
        ("sql", "SELECT 1;\n\n\\d plants", "SELECT 1;\n\n\\d plants"),
    ],
)
def test_what_is_typed_is_told_from_what_is_printed(
    language: str, shown: str, copy: str | None, page: Page, address: str
) -> None:
    """The page's own script is applied to a block that holds this text in the place of its own."""
    if copy is None:
        copy = "cat > note.txt <<'END'\nfirst\nEND\ncat note.txt"
    body = f'<div class="language-{language} highlight"><pre><code></code></pre></div>'
    page.route("**/errors.html", lambda route: route.fulfill(body=page_of(body), content_type="text/html"))
    page.goto(address + "errors.html")
    code = page.locator("code")
    code.evaluate("(code, text) => (code.textContent = text)", shown)
    page.add_script_tag(url=address + "assets/handbook.js")
    assert code.evaluate("code => code.dataset.copy ?? code.textContent") == copy


def page_of(body: str) -> str:
    """A page with what the script of every page looks for."""
    return (
        f'<input type="checkbox" id="__drawer"><header class="md-header"><label for="__drawer"></label></header>{body}'
    )


def test_the_annotations_of_a_block_are_not_copied(development: Page) -> None:
    found = block(development, "async def up(conn: asyncpg.Connection)", "python")
    text = copied(development, found)
    assert text.startswith('"""Store where a plant stands."""\n\nimport asyncpg\n')
    assert not re.search(r"\(\d+\)|#!", text)


def test_each_block_of_a_page_can_be_copied(development: Page) -> None:
    blocks = development.locator("article .highlight:not(details *) > pre")
    assert blocks.count() > 20
    assert blocks.get_by_role("button", name="Copy to clipboard").count() == blocks.count()

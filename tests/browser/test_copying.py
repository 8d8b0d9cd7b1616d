"""The button of a block copies what a person would type: no prompts, nothing that was printed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.conftest import DESK, PATIENCE


@pytest.fixture(scope="module")
def reader(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport=DESK, permissions=["clipboard-read", "clipboard-write"]) as context:
        context.set_default_timeout(PATIENCE)
        yield context.new_page()


def session(page: Page, language: str) -> tuple[Locator, list[str]]:
    """The first session in a language that shows output too, and its lines."""
    for found in page.locator(f"article .highlight.language-{language}").all():
        found.evaluate("block => block.closest('details')?.setAttribute('open', '')")
        lines = found.locator("code").inner_text().rstrip("\n").split("\n")
        if not lines[-1].startswith(("$ ", ">>> ", "... ", "> ")):
            return found, lines
    pytest.fail(f"{page.url} has no session in {language}")


def copied(page: Page, found: Locator) -> str:
    """What a block's button puts into the clipboard."""
    page.evaluate("navigator.clipboard.writeText('nothing')")
    found.scroll_into_view_if_needed()
    found.get_by_role("button", name="Copy to clipboard").click()
    expect(page.locator(".md-dialog")).to_contain_text("Copied to clipboard")
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


@pytest.mark.parametrize(
    ("path", "language", "prompt"),
    [("index.html", "console", r"\$ "), ("errors.html", "pycon", r"(?:>>>|\.\.\.) ?")],
)
def test_of_a_session_what_is_typed_is_copied(
    path: str, language: str, prompt: str, reader: Page, address: str
) -> None:
    reader.goto(address + path)
    found, lines = session(reader, language)
    typed = [re.sub(prompt, "", line, count=1) for line in lines if re.match(prompt, line)]
    assert 0 < len(typed) < len(lines)
    assert copied(reader, found) == "\n".join(typed)


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


def test_the_annotations_of_a_block_are_not_copied(reader: Page, address: str) -> None:
    reader.goto(address + "development.html")
    found = reader.locator(".highlight.language-python").filter(has_text="async def up(conn: asyncpg").first
    text = copied(reader, found)
    assert text.startswith('"""Store where a plant stands."""\n\nimport asyncpg\n')
    assert not re.search(r"\(\d+\)|#!", text)


def test_each_block_of_a_page_can_be_copied(reader: Page, address: str) -> None:
    reader.goto(address + "development.html")
    blocks = reader.locator("article .highlight:not(details *) > pre")
    assert blocks.count() > 10
    assert blocks.get_by_role("button", name="Copy to clipboard").count() == blocks.count()

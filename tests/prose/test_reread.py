"""What a change makes untrue is listed, and the lies about prose are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from handbook.rendering import Renderer
from prose import lies, reread, sections

BEFORE = """# Ferns

A fern takes `fern_timeout`, and 7 leaves.

```sql
SET fern_timeout = 7;
```

## More

It says `ferns_before`, and so on.

```sql
SELECT ferns_before;
```

## Last

Nothing changes here.
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renderer: Renderer) -> Path:
    """A repository with one page, whose first state is `main`."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_bytes((sections.ROOT / "mkdocs.yml").read_bytes())
    monkeypatch.setattr(reread, "ROOT", tmp_path)
    page = tmp_path / "docs" / "ferns.md"
    page.write_text(BEFORE, encoding="utf-8")
    for command in (["init", "--quiet", "-b", "main"], ["add", "--all"]):
        reread.git(*command)
    reread.git("-c", "user.name=Fern", "-c", "user.email=fern@example.com", "commit", "--quiet", "-m", "First")

    def handbook() -> dict[str, list[sections.Section]]:
        return {"docs/ferns.md": sections.sections("docs/ferns.md", page.read_text("utf-8"), renderer)}

    monkeypatch.setattr(reread, "handbook", handbook)
    return page


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Nothing changes", "Something changes", []),
        (
            "SET fern_timeout = 7",
            "SET fern_timeout = 8",
            [("docs/ferns.md:3: 7 in no block any more: A fern takes `fern_timeout`, and 7 leaves.", True)],
        ),
        (
            "SELECT ferns_before;",
            "SELECT ferns_before, 1;",
            [
                ("docs/ferns.md:9: its blocks have changed: ## More", False),
                ("docs/ferns.md:11: its blocks have changed: It says `ferns_before`, and so on.", False),
            ],
        ),
        (
            "SELECT ferns_before;",
            "SELECT ferns_after;",
            [
                ("docs/ferns.md:9: its blocks have changed: ## More", False),
                ("docs/ferns.md:11: ferns_before in no block any more: It says `ferns_before`, and so on.", True),
            ],
        ),
    ],
)
def test_what_is_to_be_read_again(
    old: str, new: str, expected: list[tuple[str, bool]], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write_text(BEFORE.replace(old, new), encoding="utf-8")
    now = sections.sections("docs/ferns.md", BEFORE.replace(old, new), Renderer(sections.ROOT / "mkdocs.yml"))
    monkeypatch.setattr(reread, "everything", lambda: now[0].scope)
    found = [(text, untrue) for text, untrue in reread.reread("main") if "# Ferns" not in text]
    assert found == expected


@pytest.mark.usefixtures("project")
def test_a_base_that_is_none_is_named() -> None:
    with pytest.raises(SystemExit, match="nowhere"):
        list(reread.reread("nowhere"))


def test_every_kind_of_lie_is_told(renderer: Renderer) -> None:
    page = """# Ferns

It waits before `make check`, 7 times, for half a second, on PostgreSQL 14 and newer: [PM12](errors.md#pm12).

<!-- table: settings; by hand: B -->

| A | B |
| --- | --- |
| x1 | y |

<!-- diagram: timeline
Title
a: has SHARE 0-1
-->
"""
    told = [
        (lie.kind, section.source[lie.start : lie.end], lie.text)
        for section in sections.sections("docs/x.md", page, renderer)
        for lie in lies.lies_of(section)
    ]
    assert told == [
        ("vocabulary", "before", "after"),
        ("release", "14", "15"),
        ("number", "7", "8"),
        ("unit", "second", "minute"),
        ("target", "check", "checks"),
        ("anchor", "pm12", "pm15"),
        ("cell", "x1", "x2"),
        ("picture", "SHARE", "EXCLUSIVE"),
        ("picture", "0", "1"),
    ]

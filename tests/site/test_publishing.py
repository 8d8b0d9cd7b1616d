"""What the site holds beside its pages, and that a build depends on nothing but the commit and the proof."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from harness.project import Project
from website import proof
from website.files import search
from website.files.history import last_changes
from website.files.site import Site, first_sentence

FERN = """\
---
keywords: frond, house plant
---

# Ferns

Ferns like *shade*. They [drink](water.md#how-much) a lot.

```python
import time

print("fern", end="")
assert time.time()
```
"""
WATER = "# Water\n\n## How much\n\nA little every day.\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with pages of its own, in no repository."""
    project = Project(tmp_path / "project")
    project.become_a_site()
    project.write("index.md", "# Start\n\n[The ferns](plants/fern.md)\n")
    project.write("plants/fern.md", FERN)
    project.write("plants/water.md", WATER)
    return project


def build(project: Project, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build and complete the site; the result is that of the step that failed, or of the first."""
    built = project.build(*arguments, **environment)
    finished = project.finish(**environment) if built.returncode == 0 else built
    return finished if finished.returncode != 0 else built


def warnings(built: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in built.stdout.splitlines() if line.startswith(("WARNING", "ERROR"))]


def test_a_page_is_searched_by_its_keywords(project: Project) -> None:
    project.write("plants/fern.md", FERN.partition("```")[0])
    assert build(project).returncode == 0
    for name in search.MATERIAL:
        index = (project.directory / "build/site" / name).read_text().removeprefix("var __index = ")
        tags = {entry["location"]: entry.get("tags") for entry in json.loads(index)["docs"]}
        assert tags.pop("plants/fern.html") == ["frond", "house plant"]
        assert set(tags.values()) == {None}


def test_another_generator_has_the_keywords_in_the_text(tmp_path: Path) -> None:
    entries = [{"location": f"how-to/undo-a-migration.html{place}", "text": "<p>Undo.</p>"} for place in ("", "#undo")]
    (tmp_path / "search.json").write_text(json.dumps({"config": {}, "items": entries}))
    # A site that is opened as files has it as a script.
    (tmp_path / "search.js").write_text(f"var __index = {json.dumps({'items': entries})};\n")
    search.complete(Site(tmp_path, "", proof.read()))
    script = (tmp_path / "search.js").read_text()
    page, section = json.loads((tmp_path / "search.json").read_text())["items"]
    assert json.loads(script.removeprefix("var __index = ").removesuffix(";\n"))["items"] == [page, section]
    assert page["text"].startswith("<p>Undo.</p><p>undo, rollback, ")
    assert section == entries[1]


def read(project: Project, name: str) -> str:
    return (project.directory / "build" / "site" / name).read_text(encoding="utf-8")


def commit(directory: Path, day: str) -> None:
    """Commit everything in a directory, on a day."""
    git(directory, "add", ".")
    moment = f"{day}T12:00:00+00:00"
    git(
        directory,
        "commit",
        "--quiet",
        "--message",
        "Grow",
        GIT_AUTHOR_DATE="2001-01-01T00:00Z",
        GIT_COMMITTER_DATE=moment,
    )


def git(directory: Path, *arguments: str, **environment: str) -> None:
    who = ("-c", "user.name=Fern", "-c", "user.email=fern@example.org", "-c", "commit.gpgSign=false")
    subprocess.run(["git", *who, *arguments], cwd=directory, env={**os.environ, **environment}, check=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two commits; the first adds two files, the second changes one of them."""
    directory = tmp_path / "repository"
    (directory / "docs" / "deep").mkdir(parents=True)
    git(directory, "init", "--quiet")
    old, new = directory / "docs" / "deep" / "übersicht einer Seite.md", directory / "docs" / "new.md"
    old.write_text("old")
    new.write_text("old")
    commit(directory, "2024-02-29")
    new.write_text("new")
    commit(directory, "2025-03-01")
    return directory


def test_a_file_has_the_date_of_its_last_commit(repository: Path) -> None:
    assert last_changes(repository / "docs") == {
        "deep/übersicht einer Seite.md": date(2024, 2, 29),
        "new.md": date(2025, 3, 1),
    }


def test_without_a_whole_history_no_file_has_a_date(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    assert last_changes(tmp_path / "elsewhere") == {}
    git(tmp_path, "clone", "--quiet", "--depth", "1", repository.as_uri(), "shallow")
    assert last_changes(tmp_path / "shallow" / "docs") == {}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert last_changes(repository / "docs") == {}


@pytest.mark.slow
def test_a_published_site_knows_its_address_and_its_dates(project: Project) -> None:
    project.write("plants/fern.md", FERN.partition("```")[0])
    git(project.directory, "init", "--quiet")
    commit(project.docs, "2024-02-29")
    project.write("plants/water.md", WATER + "\nMore in summer.\n")
    commit(project.docs, "2025-03-01")
    project.write("new.md", "---\ndescription: Not yet & soon.\n---\n\n# New\n\nNothing.\n")
    site, edit = "https://plants.example/handbook/", "https://plants.example/edit/{path}"
    built = build(project, "--strict", SITE_URL=site, EDIT_URI=edit)
    assert (built.returncode, warnings(built)) == (0, []), built.stdout
    fern, water = read(project, "plants/fern.html"), read(project, "plants/water.html")
    assert "29 February 2024" in fern
    assert '<meta name="description" content="Not yet &amp; soon.">' in read(project, "new.html")
    assert '<meta name="description" content="A little every day.">' in water
    assert "1 March 2025" in water
    assert f'<link rel="canonical" href="{site}plants/fern.html">' in fern
    assert 'href="https://plants.example/edit/plants/fern.md"' in fern
    sitemap = read(project, "sitemap.xml")
    entry = re.compile(r"<url>\s*<loc>(.*?)</loc>\s*(?:<lastmod>(.*?)</lastmod>\s*)?</url>")
    dates = dict(entry.findall(sitemap))
    assert len(dates) == sitemap.count("<loc>") == 4
    assert dates[f"{site}plants/fern.html"] == "2024-02-29"
    assert dates[f"{site}plants/water.html"] == "2025-03-01"
    assert dates[f"{site}new.html"] == "", "a page that is in no commit has no date"
    assert f"- [Ferns]({site}plants/fern.md): Ferns like shade.\n" in read(project, "llms.txt")
    assert '<link rel="stylesheet" href="/handbook/assets/' in read(project, "404.html")


@pytest.mark.slow
def test_two_runs_and_builds_give_the_same_bytes_and_a_lost_proof_none(project: Project) -> None:
    sites, proofs = [], []
    proof = project.directory / "build" / "proof.json"
    for _ in range(2):
        project.pytest("-q", "docs")
        proofs.append(proof.read_text(encoding="utf-8"))
        built = build(project, "--strict")
        assert (built.returncode, warnings(built)) == (0, [])
        directory = project.directory / "build" / "site"
        sites.append({str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()})
        shutil.rmtree(directory)
    assert proofs[0] != proofs[1], "the runs took equally long, so that this shows nothing"
    assert sites[0] == sites[1]
    content = json.loads(proofs[0])
    (lost,) = content["pages"].pop("plants/fern.md")
    assert lost["status"] == "passed"
    proof.write_text(json.dumps(content), encoding="utf-8")
    built = build(project, "--strict")
    assert built.returncode != 0
    assert "docs/plants/fern.md:10: no proof for this block; run make docs-test\n\nimport time" in built.stdout
    refused = project.finish()
    assert (refused.returncode, "docs/plants/fern.md:10: no proof for this block" in refused.stdout) == (1, True)


@pytest.mark.slow
def test_a_site_that_warns_is_not_left_to_be_published(project: Project) -> None:
    project.write("plants/fern.md", FERN + "\n[Moss](moss.md)\n")
    site = project.directory / "build" / "site"
    site.mkdir(parents=True)
    (site / "index.html").touch()
    made = subprocess.run(
        ["make", "site", "WORKERS="],
        cwd=project.directory,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode != 0
    assert "'plants/fern.md' contains a link 'moss.md'" in made.stderr
    assert not site.exists()


@pytest.mark.slow
def test_an_old_address_leads_to_the_new_one(project: Project) -> None:
    project.write("plants/fern.md", FERN.partition("```")[0])
    project.write(
        "redirects.yml",
        "moss.md: plants/fern.md\n"
        "plants/rain.md: plants/water.md#how-much\n"
        "one.md: plants/cactus.md\n"
        "two.md: plants/water.md#never\n"
        "plants/water.md: plants/fern.md\n",
    )
    built = build(project, "--strict")
    assert built.returncode != 0
    assert built.stdout.splitlines() == [
        "docs/redirects.yml: one.md leads to plants/cactus.md, and there is no such page",
        "docs/redirects.yml: two.md leads to plants/water.md#never, and that page has no such anchor",
        "docs/redirects.yml: plants/water.md is a page, and cannot lead to plants/fern.md",
    ]
    moss, rain = read(project, "moss.html"), read(project, "plants/rain.html")
    assert '<meta http-equiv="refresh" content="0; url=plants/fern.html">' in moss
    assert '<link rel="canonical" href="plants/fern.html">' in moss
    assert 'location.replace("plants/fern.html" + location.hash)' in moss
    assert '<meta http-equiv="refresh" content="0; url=water.html#how-much">' in rain
    assert "location" not in rain, "its own anchor is the one to go to"
    assert "A little every day" in read(project, "plants/water.html")
    project.write("redirects.yml", "moss.md: 7\n")
    built = build(project)
    assert built.returncode != 0
    assert "redirects.yml: each line must be OLD.md: NEW.md" in built.stdout


@pytest.mark.parametrize(
    ("html", "sentence"),
    [
        ("<h1>Ferns</h1><p>Ferns, <em>e.g.</em>\n3.5 m &lt; 4 m. More.</p>", "Ferns, e.g."),
        ("<p>They grow to 3.5 m. More.</p>", "They grow to 3.5 m."),
        ('<p class="proof">Ran.</p><p><img src="a.png"></p><p>Like this:</p>', "Like this:"),
        ("<h1>Nothing</h1>", ""),
    ],
)
def test_a_page_is_described_by_its_first_sentence(html: str, sentence: str) -> None:
    assert first_sentence(html) == sentence

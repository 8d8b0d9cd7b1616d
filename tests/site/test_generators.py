"""MkDocs and Zensical make the same site of the same pages, and the site is the same whenever it is built."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping

import pytest

from harness.project import Project

pytestmark = pytest.mark.slow

# One of each thing that the site adds to a page, and of what the theme draws.
GARDEN = """\
# Garden

A garden of *ferns*[^1].

[^1]: And moss.

```python
print("fern")
```

```sql
SELECT 1 AS one;
```

```text title="Output"
 one
-----
   1
(1 row)
```

<!-- not run: it takes <an hour> -->
```console
$ make rehearse
  holds     ACCESS EXCLUSIVE on plants, while it rewrites plants
```

```sql
SELECT 't' AS "table", 'id' AS "column", 'int' AS "type", 'primary' AS key, true AS required,
    '' AS refers_to, '' AS on_delete
```

<!-- diagram: tables garden.4 -->

<!-- diagram: timeline
Who waits
gardener: has the hose 0-3
neighbor: waits for it 1-3, has it 3-4
-->

??? example "Folded"

    ```python title="garden/beds.py"
    BEDS = 3
    ```

=== "Tab"

    !!! warning

        Thorns.

::: src.db.migration_runner.run_migrations
"""
BROKEN = "\n```python\nraise ValueError\n```\n"
# What the head of a page says of the page, rather than of its generator.
LINKS = re.compile(r'<link rel="(?:canonical|icon|alternate )"[^>]*>')
ARTICLE = re.compile(r"<article.*?</article>", re.DOTALL)
# What Zensical's templates add, and an attribute for MkDocs' search that it takes away.
ONLY_ONE = re.compile(r'<a id="__skip" tabindex="-1"></a>| data-search-exclude(?:="")?|(?<=>)\s+|\s+(?=<)')


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose pages are proven."""
    project = Project(tmp_path_factory.mktemp("generators") / "project")
    project.become_a_site()
    parts = "\n\n".join(f"<!-- verification: {name} -->" for name in ("totals", "not-run", "pages", "figures"))
    project.write("index.md", f"# Start\n\n[The garden](deep/garden.md)\n\n{parts}\n")
    project.write("deep/garden.md", GARDEN)
    project.write("redirects.yml", "old.md: deep/garden.md\n")
    project.pytest("-q", "docs")
    return project


def build(project: Project, generator: str) -> subprocess.CompletedProcess[str]:
    """Build and complete the site as `make site` does."""
    # The pages are proven.
    command = ["make", "-o", "docs-test", "site", f"GENERATOR={generator}"]
    environment = {**project.environment, "SITE_URL": "", "EDIT_URI": ""}
    return subprocess.run(command, cwd=project.directory, env=environment, capture_output=True, text=True, check=False)


def contents(project: Project) -> Mapping[str, str]:
    """What is read of the built site: of a page its article and the links in its head; a file for programs whole."""
    site = project.directory / "build" / "site"
    found = {}
    for path in sorted(site.rglob("*")):
        if path.suffix in {".html", ".md", ".json", ".txt", ".xml"} and "search" not in path.as_posix():
            text = path.read_text(encoding="utf-8")
            article = ARTICLE.search(text)
            read = "".join([*LINKS.findall(text), ONLY_ONE.sub("", article[0])]) if article else text
            found[path.relative_to(site).as_posix()] = read
    return found


def test_both_generators_make_the_same_pages_and_files_each_time(project: Project) -> None:
    made = {}
    for generator in ("mkdocs", "zensical"):
        built = build(project, generator)
        assert built.returncode == 0, built.stdout + built.stderr
        made[generator] = contents(project)
        first = {path: path.read_bytes() for path in sorted((project.directory / "build/site").rglob("*.*"))}
        assert build(project, generator).returncode == 0
        assert {path: path.read_bytes() for path in first} == first, f"{generator}: two builds differ"
    garden = made["mkdocs"]["deep/garden.html"]
    for added in ("Ran on PostgreSQL", "Not run: it takes", "Tested on PostgreSQL", 'class="hot"', "diagram--narrow"):
        assert added in garden
    assert {"verification.json", "llms.txt", "sitemap.xml", "deep/garden.md", "old.html"} <= made["mkdocs"].keys()
    assert made["zensical"] == made["mkdocs"]


@pytest.mark.parametrize("generator", ["mkdocs", "zensical"])
def test_both_generators_refuse_a_page_that_is_not_proven(generator: str, project: Project) -> None:
    project.write("deep/garden.md", GARDEN + BROKEN)
    try:
        refused = build(project, generator)
    finally:
        project.write("deep/garden.md", GARDEN)
    line = (GARDEN + BROKEN).split("\n").index("raise ValueError") + 1
    assert refused.returncode != 0
    assert f"docs/deep/garden.md:{line}: no proof for this block; run make docs-test" in refused.stdout + refused.stderr
    assert not (project.directory / "build" / "site").exists(), "nothing is left to be published"

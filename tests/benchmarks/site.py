"""What a build of the site costs: with the marks as against without them, and of ten times the pages.

.venv/bin/python tests/benchmarks/site.py

Builds 40 generated pages of 20 blocks each, and 400 of them, in whole processes that take turns. The build of 400
lasts through the machine's slow moments and its fast ones, so it is compared with the mean of the small builds before
and after it. Ends with status 1 if a bound is missed by far.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from blocks import ROOT, seconds
from figure import Figure, ratio, report

from website.digest import block_key, code_digest, page_digest
from website.proof import PROOF

MARKS = 1.15  # times what a build without the marks takes
GROWTH = 11.0  # times what a build of a tenth of the pages takes
PAGES = 40
MORE_PAGES = 10 * PAGES
SECTIONS = 8  # as many as the handbook's
BLOCKS = 20
ROUNDS = 8
MARKED = re.compile(
    r"^  - website\.\w+\n|^      custom_fences:\n(?:        .*\n)+|^hooks:\n(?:  - .*\n)+", re.MULTILINE
)


def main() -> int:
    """Measure, and return the exit status."""
    with tempfile.TemporaryDirectory() as scratch:
        few, many = Path(scratch) / "few", Path(scratch) / "many"
        write(few, PAGES)
        write(many, MORE_PAGES)
        with_marks, without = [], []
        for round_ in range(ROUNDS):
            if round_ == ROUNDS // 2:
                big = seconds(lambda: build(many, "mkdocs.yml"))
            with_marks.append(seconds(lambda: build(few, "mkdocs.yml")))
            without.append(seconds(lambda: build(few, "plain.yml")))
    marked, plain = statistics.mean(with_marks), statistics.mean(without)
    return report(
        [
            Figure(
                "a build with marks, as against one without",
                ratio(with_marks, without),
                MARKS,
                f"{marked:.2f} s, {plain:.2f} s",
            ),
            Figure(f"{MORE_PAGES} pages, as against {PAGES}", big / marked, GROWTH, f"{big:.1f} s, {marked:.2f} s"),
        ]
    )


def write(project: Path, count: int) -> None:
    """Write a project of so many generated pages, all of them proven."""
    project.mkdir()
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    settings = settings[: settings.index("nav:")] + settings[settings.index("theme:") :]
    (project / "mkdocs.yml").write_text(settings, encoding="utf-8")
    (project / "plain.yml").write_text(MARKED.sub("", settings), encoding="utf-8")
    for name in ("assets", "website", "theme"):
        shutil.copytree(ROOT / "docs" / name, project / "docs" / name)
    pages: dict[str, list[dict[str, Any]]] = {}
    for page in range(count):
        name = f"section-{page % SECTIONS}/page-{page}.md" if page else "index.md"
        text = [f"# Page {page}\n"]
        for block in range(BLOCKS):
            code = f"values = [number * {block} for number in range({page})]\nprint(values)"
            text.append(f"## Section {block}\n\nWhat a reader wants to know.\n\n```python\n{code}\n```\n")
            entry = {"id": f"section-{block}[1]", "line": 1, "kind": "python", "key": block_key("python", code)}
            pages.setdefault(name, []).append(
                entry | {"status": "passed", "reason": None, "hidden": False, "output": "[]\n"}
            )
        (project / "docs" / name).parent.mkdir(exist_ok=True)
        (project / "docs" / name).write_text("\n".join(text), encoding="utf-8")
    code = code_digest(project)
    digests = {name: {"page": page_digest(project / "docs" / name), "code": code} for name in pages}
    (project / PROOF).parent.mkdir()
    (project / PROOF).write_text(
        json.dumps({"postgresql": "18.6", "digests": digests, "pages": pages}), encoding="utf-8"
    )


def build(project: Path, configuration: str) -> None:
    """Build the site with one of the configurations."""
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "--quiet", "build", "--config-file", configuration],
        cwd=project,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": "docs"},
        check=True,
    )


if __name__ == "__main__":
    sys.exit(main())

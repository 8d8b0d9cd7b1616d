"""What the marks cost: a build of the site with the hook, as against one without.

.venv/bin/python tests/benchmarks/site.py

Builds 40 generated pages of 20 blocks each, in whole processes that take turns, and compares the medians. Ends with
status 1 where the bound is missed.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import ROOT, report, seconds

from proof import PROOF, block_key  # on the path that the harness's benchmark sets

BOUND = 1.15  # times what a build without the hook takes
PAGES = 40
BLOCKS = 20
ROUNDS = 7
HOOKS = "hooks:\n  - docs/hooks/proof.py\n"


def main() -> int:
    """Measure, and return the exit status."""
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch)
        write(project)
        with_marks, without = [], []
        for _ in range(ROUNDS):
            with_marks.append(seconds(lambda: build(project, "mkdocs.yml")))
            without.append(seconds(lambda: build(project, "plain.yml")))
    marked, plain = statistics.median(with_marks), statistics.median(without)
    text = f"{marked / plain:.2f} times ({marked:.2f} s, {plain:.2f} s)"
    return report(
        ("a build with marks, as against one without", text, marked / plain, BOUND, f"{BOUND} times"),
    )


def write(project: Path) -> None:
    """Write a project of generated pages, all of them proven."""
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    settings = settings[: settings.index("nav:")] + settings[settings.index("theme:") :]
    (project / "mkdocs.yml").write_text(settings, encoding="utf-8")
    (project / "plain.yml").write_text(settings.replace(HOOKS, ""), encoding="utf-8")
    for name in ("assets", "hooks", "theme"):
        shutil.copytree(ROOT / "docs" / name, project / "docs" / name)
    pages: dict[str, list[dict[str, Any]]] = {}
    for page in range(PAGES):
        name = "index.md" if page == 0 else f"page-{page}.md"
        text = [f"# Page {page}\n"]
        for block in range(BLOCKS):
            code = f"values = [number * {block} for number in range({page})]\nprint(values)"
            text.append(f"## Section {block}\n\nWhat a reader wants to know.\n\n```python\n{code}\n```\n")
            entry = {"id": f"section-{block}[1]", "line": 1, "kind": "python", "key": block_key("python", code)}
            pages.setdefault(name, []).append(
                entry | {"status": "passed", "reason": None, "hidden": False, "output": "[]\n"}
            )
        (project / "docs" / name).write_text("\n".join(text), encoding="utf-8")
    (project / PROOF).parent.mkdir()
    (project / PROOF).write_text(json.dumps({"postgresql": "18.6", "pages": pages}), encoding="utf-8")


def build(project: Path, configuration: str) -> None:
    """Build the site with one of the configurations."""
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "--quiet", "build", "--config-file", configuration],
        cwd=project,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
    )


if __name__ == "__main__":
    sys.exit(main())

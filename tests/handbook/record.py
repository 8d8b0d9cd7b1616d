"""The proof file: what a run has shown of each block, kept for the site."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handbook.block import Block, Kind
from handbook.page import Page
from handbook.rendering import Fence
from handbook.run import Outcome
from proof import block_key

PROOF = Path("build") / "proof.json"
SHOWN = "shown"
# What these print is in the proof where the page does not show it.
WITH_OUTPUT = {Kind.PYTHON, Kind.SQL, Kind.BASH}


@dataclass
class Record:
    """The proof of a run, page by page.

    Args:
        project: the checkout, in whose `build` directory the proof is kept.
    """

    project: Path
    pages: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def add(self, page: str, entries: list[dict[str, Any]]) -> None:
        """Add what became of some blocks of a page.

        Args:
            page: its path below docs, as the site names it.
            entries: one for each block, as `entries_of` makes them.
        """
        self.pages.setdefault(page, {}).update({entry["id"]: entry for entry in entries})

    @property
    def blocks(self) -> list[dict[str, Any]]:
        return [entry for entries in self.pages.values() for entry in entries.values()]

    def write(self, postgresql: str | None, pages: dict[str, Page]) -> Path:
        """Write the proof, with what an earlier run has shown of blocks that this one did not touch.

        Args:
            postgresql: the server's version, where one was used.
            pages: every page of the handbook, by its path below docs; the proof holds no others.
        """
        path = self.project / PROOF
        before = _read(path)
        proof = {
            "postgresql": postgresql or before.get("postgresql"),
            "commit": _commit(self.project),
            "pages": {
                name: _merge(page, before.get("pages", {}).get(name, []), self.pages.get(name, {}))
                for name, page in sorted(pages.items())
            },
        }
        path.parent.mkdir(exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(proof, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(path)
        return path


def _merge(page: Page, before: list[dict[str, Any]], now: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A page's entries: this run's, an earlier run's where this one has none, and the blocks that are only shown."""
    ids = {block.id for block in page if block.id}
    ids |= {f"{block.id}-output" for block in page if block.output is not None}
    entries = {entry["id"]: entry for entry in before if entry["id"] in ids} | now
    shown = [
        _entry(block.fence, Kind.SHOWN, f"line-{block.line}") | {"status": SHOWN, "reason": None, "hidden": False}
        for block in page
        if block.kind is Kind.SHOWN
    ]
    return sorted([*entries.values(), *shown], key=lambda entry: (entry["line"], entry["id"]))


def _entry(fence: Fence, kind: Kind, name: str) -> dict[str, Any]:
    return {"id": name, "line": fence.line, "kind": kind.value, "key": block_key(fence.language, fence.text)}


def entries_of(block: Block, outcome: Outcome) -> list[dict[str, Any]]:
    """What the proof holds of a block, and of its expected output."""
    became: dict[str, Any] = {
        "status": outcome.status.value,
        "reason": block.reason,
        "hidden": block.setup,
        "duration": round(outcome.duration, 4),
    }
    if outcome.failure is not None:
        became["failure"] = {
            "line": outcome.failure.line,
            "summary": outcome.failure.summary,
            "details": outcome.failure.details,
        }
    entry = _entry(block.fence, block.kind, block.id) | became
    if block.output is None:
        return [entry | {"output": outcome.output if block.kind in WITH_OUTPUT else ""}]
    return [entry, _entry(block.output, Kind.OUTPUT, f"{block.id}-output") | became]


def _read(path: Path) -> dict[str, Any]:
    try:
        proof = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return proof if isinstance(proof, dict) else {}


def _commit(project: Path) -> str | None:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return found.stdout.strip() or None

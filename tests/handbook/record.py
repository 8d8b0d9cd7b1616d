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
from handbook.run import Outcome
from proof import block_key

PROOF = Path("build") / "proof.json"


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

    def write(self, postgresql: str | None, present: dict[str, set[str]]) -> Path:
        """Write the proof, with what an earlier run has shown of blocks that this one did not touch.

        Args:
            postgresql: the server's version, where one was used.
            present: for each page of the handbook the ids of its blocks; others are dropped.
        """
        path = self.project / PROOF
        before = _read(path)
        pages = {}
        for page, ids in sorted(present.items()):
            known = {entry["id"]: entry for entry in before.get("pages", {}).get(page, [])}
            entries = {**known, **self.pages.get(page, {})}
            pages[page] = sorted((e for e in entries.values() if e["id"] in ids), key=lambda e: (e["line"], e["id"]))
        proof = {
            "postgresql": postgresql or before.get("postgresql"),
            "commit": _commit(self.project),
            "pages": pages,
        }
        path.parent.mkdir(exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(proof, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(path)
        return path


def entries_of(block: Block, outcome: Outcome) -> list[dict[str, Any]]:
    """What the proof holds of a block, and of its expected output."""
    entry = {
        "id": block.id,
        "line": block.line,
        "kind": block.kind.value,
        "key": block_key(block.fence.language, block.text),
        "status": outcome.status.value,
        "duration": round(outcome.duration, 4),
        "reason": block.reason,
        "hidden": block.setup,
    }
    if block.output is None:
        return [entry | {"output": outcome.output}]
    shown = {
        "id": f"{block.id}-output",
        "line": block.output.line,
        "kind": Kind.OUTPUT.value,
        "key": block_key(block.output.language, block.output.text),
        "duration": 0.0,
    }
    return [entry, entry | shown]


def ids_of(page: Page) -> set[str]:
    """The ids that the proof holds of a page, once all of it has run."""
    ids = {block.id for block in page if block.id}
    return ids | {f"{block.id}-output" for block in page if block.output is not None}


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

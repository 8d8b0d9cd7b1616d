"""The proof file: what a run has shown of each block, kept for the site."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from handbook.block import Block, Kind
from handbook.output import bounded
from handbook.page import Page, Problem
from handbook.rendering import Fence
from handbook.run import Outcome, Status
from website.digest import block_key, code_digest, is_proof, page_digest

PROOF = Path("build") / "proof.json"
SHOWN = "shown"
PROBLEM = "problem"
# What these print, and no block below shows, stands in the proof for the page to show.
WITH_OUTPUT = {Kind.PYTHON, Kind.SQL, Kind.BASH}


Entries = dict[str, dict[str, Any]]
"""What the proof holds of some blocks of a page, by their ids."""


def updated(
    project: Path,
    before: Mapping[str, Any],
    ran: Mapping[str, Entries],
    pages: Mapping[str, Path],
    read: Callable[[Path], Page],
) -> dict[str, Any]:
    """A proof brought up to date with a run: what an earlier one has shown of blocks that this one left alone is kept.

    Arguments:
        project: the checkout.
        before: the proof.
        ran: by the path of a page below docs, what this run has shown of its blocks, as `entries_of` makes it.
        pages: the files of every page of the handbook, by their paths below docs; the proof holds no others.
        read: reads a page. It is asked for those that ran or have changed since the last proof, and no others.
    """
    code = code_digest(project)
    digests, entries = {}, {}
    for name, file in sorted(pages.items()):
        known, now = before.get("pages", {}).get(name, []), ran.get(name, {})
        # What a page was when it last ran whole; a run of one of its blocks, or of another page, leaves that alone.
        digests[name] = before.get("digests", {}).get(name)
        digest = _digests(file, code)
        if not now and digests[name] == digest:
            entries[name] = known
            continue
        page = read(file)
        entries[name] = _merge(page, known, now)
        if ids_of(page) <= now.keys():
            digests[name] = digest
    return {
        "commit": _commit(project),
        "digests": {name: digest for name, digest in digests.items() if digest},
        "pages": entries,
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file of JSON whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(path)


def read_proof(path: Path) -> dict[str, Any]:
    """What a proof file holds; empty where there is none, or none that can be read today."""
    try:
        proof = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return proof if is_proof(proof) else {}


def stale_pages(project: Path, pages: Mapping[str, Path]) -> list[Path]:
    """The pages that the proof does not cover: they have changed, or the code has, or a block did not pass.

    Arguments:
        project: the checkout.
        pages: the files of its pages, by their paths below docs.
    """
    proof = read_proof(project / PROOF)
    code = code_digest(project)
    digests = proof.get("digests", {})
    unsettled = {"failed", "not reached"}
    return [
        file
        for name, file in pages.items()
        if digests.get(name) != _digests(file, code)
        or any(entry["status"] in unsettled for entry in proof["pages"].get(name, []))
    ]


def _digests(page: Path, code: str) -> dict[str, str]:
    """What a page was, and what it ran against, as the site compares them."""
    return {"page": page_digest(page), "code": code}


def _merge(page: Page, before: list[dict[str, Any]], now: Entries) -> list[dict[str, Any]]:
    """A page's entries: this run's, an earlier run's where this one has none, and the blocks that are only shown."""
    ids = ids_of(page)
    entries = {entry["id"]: entry for entry in before if entry["id"] in ids} | now
    shown = [
        _entry(block.fence, Kind.SHOWN, f"line-{block.line}") | {"status": SHOWN, "reason": None, "hidden": False}
        for block in page
        if block.kind is Kind.SHOWN
    ]
    return sorted([*entries.values(), *shown], key=lambda entry: (entry["line"], entry["id"]))


def ids_of(page: Page) -> set[str]:
    """The ids that a page's blocks, and their expected outputs, have in the proof."""
    return {block.id for block in page if block.id} | {
        f"{block.id}-output" for block in page if block.output is not None
    }


def problem_entry(problem: Problem) -> dict[str, Any]:
    """What the proof holds of something that keeps a page from being tested."""
    entry = {"id": f"problem-{problem.line}", "line": problem.line, "kind": PROBLEM, "key": ""}
    failure = {"line": problem.line, "summary": problem.message, "details": []}
    return {**entry, "status": Status.FAILED.value, "reason": None, "hidden": True, "failure": failure}


def entries_of(block: Block, outcome: Outcome) -> list[dict[str, Any]]:
    """What the proof holds of a block, and of its expected output."""
    became: dict[str, Any] = {
        "status": outcome.status.value,
        "reason": block.reason,
        "hidden": block.setup,
        "duration": round(outcome.duration, 4),
    }
    if failure := outcome.failure:
        details = bounded(failure.details)
        became["failure"] = {"line": failure.line, "summary": failure.summary, "details": details}
    entry = _entry(block.fence, block.kind, block.id) | became
    if block.output is None:
        return [entry | {"output": outcome.output if block.kind in WITH_OUTPUT else ""}]
    if failure and failure.outdated:
        # What differs is told once, at the expected output.
        entry["failure"] = became["failure"] | {"details": []}
    # Diagrams are drawn from what was printed: there may be a ... in what the page shows of it.
    return [entry, _entry(block.output, Kind.OUTPUT, f"{block.id}-output") | became | {"output": outcome.output}]


def _entry(fence: Fence, kind: Kind, name: str) -> dict[str, Any]:
    return {"id": name, "line": fence.line, "kind": kind.value, "key": block_key(fence.language, fence.text)}


def _commit(project: Path) -> str | None:
    command = ["git", "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

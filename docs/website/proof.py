"""The proof file: what became of each block when the handbook's pages ran as tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from website.digest import code_digest, is_proof, page_digest
from website.versions import add_versions

Entry: TypeAlias = Mapping[str, Any]

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PROOF = Path("build") / "proof.json"
REMEDY = "run make docs-test"


class ProofError(ValueError):
    """A file that should hold a proof holds something else."""


class Proof:
    """What the proof file holds.

    Arguments:
        content: the content of the file; without any, nothing is proven.
        code: the digest of the code as it is now.
    """

    def __init__(self, content: Mapping[str, Any], code: str = "") -> None:
        self.postgresql: str = content.get("postgresql") or ""
        self.pages: dict[str, list[dict[str, Any]]] = content.get("pages", {})
        self._digests: Mapping[str, Mapping[str, str]] = content.get("digests", {})
        self._code = code

    def entries(self, page: str) -> Sequence[Entry]:
        """Return what became of the blocks of a page, which is named by its path below docs."""
        return self.pages.get(page, [])

    def staleness(self, page: str, file: Path) -> str:
        """Return why the entries of a page no longer count, or nothing if they do.

        Arguments:
            page: its path below docs.
            file: the page as it is now.
        """
        if not self.entries(page):
            return ""
        digests = self._digests.get(page)
        if digests is None:
            return "its blocks have not all run"
        if digests["page"] != page_digest(file):
            return "the page has changed since its blocks ran"
        if digests["code"] != self._code:
            return "the backend or the harness has changed since its blocks ran"
        return ""


def read(project: Path = PROJECT) -> Proof:
    """Return the proof of a checkout, with what the proofs of other PostgreSQL versions beside it add.

    Raises:
        ProofError: a file is not a proof.
    """
    path = project / PROOF
    files = [path, *sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))] if path.exists() else []
    return _read(project, tuple((file, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=1)
def _read(project: Path, files: tuple[tuple[Path, int], ...]) -> Proof:
    """Read files once as long as they stay the same: each page of a build asks for them."""
    content, *others = [_load(file) for file, _ in files] or [{}]
    add_versions(content, others)
    return Proof(content, code_digest(project))


def _load(path: Path) -> dict[str, Any]:
    """Return what a file proves, which is nothing if it is of an older format."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ProofError(f"{path}: not a proof ({error}); delete it and {REMEDY}") from None
    return content if is_proof(content) else {}


def visible(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries of blocks that a reader sees."""
    return [entry for entry in entries if not entry["hidden"]]

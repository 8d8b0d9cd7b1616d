"""Digests that the harness writes into the proof and the site compares: of a block, of a page and of the code that ran.

The proof file, ``build/proof.json``, holds ``code``, the digest of the code that ran, and ``digests``, the digest of
each page whose blocks have all run, by its path below docs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, TypeGuard

CODE = ("Makefile", "backend/src", "requirements/dev.txt", "tests/handbook")
"""What a page's blocks run against, and what runs them: files and directories, seen from the checkout."""


def is_proof(content: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a file holds a proof as it is written today; one of an older format proves nothing.

    Arguments:
        content: what the file holds.
    """
    if not isinstance(content, dict):
        return False
    pages, digests = content.get("pages", {}), content.get("digests", {})
    return (
        isinstance(pages, dict)
        and isinstance(digests, dict)
        and all(isinstance(digest, dict) for digest in digests.values())
        and all("status" in entry for entries in pages.values() for entry in entries)
    )


def block_key(language: str, text: str) -> str:
    """Return the key of a block in the proof: the sha256, in hexadecimal, of its language and its text."""
    return hashlib.sha256(f"{language}\n{text}".encode()).hexdigest()


def page_digest(file: Path) -> str:
    """Return the sha256, in hexadecimal, of a page's whole file: its blocks, their order, and all that they depend on.

    Arguments:
        file: the page.

    Raises:
        OSError: the file cannot be read.
    """
    return hashlib.sha256(file.read_bytes()).hexdigest()


def code_digest(project: Path) -> str:
    """Return the sha256, in hexadecimal, of the code that a run of the pages depends on.

    Arguments:
        project: the checkout. What it does not have counts as empty.
    """
    total = hashlib.sha256()
    for name in CODE:
        place = project / name
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                total.update(f"{file.relative_to(project).as_posix()}\n".encode() + file.read_bytes() + b"\n")
    return total.hexdigest()

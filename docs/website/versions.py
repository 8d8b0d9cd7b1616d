"""On which PostgreSQL each block ran: `make check-versions` writes a proof for each version beside the ordinary one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any, TypeAlias

Content: TypeAlias = Mapping[str, Any]
Entry: TypeAlias = dict[str, Any]

# What is only shown has no part in what a block does, and what keeps a page from being tested is no block.
NOT_TESTED = {"shown", "problem"}


def add_versions(proof: Content, others: Iterable[Content]) -> None:
    """Give each entry of a proof its `versions`: those on which the block did what the page says, in ascending order.

    Another proof counts for a block if the code, the block and all blocks above it on its page are the same.

    Arguments:
        proof: what the ordinary proof holds.
        others: what those of single versions hold.
    """
    others = list(others)
    for page, entries in proof.get("pages", {}).items():
        for entry in entries:
            entry["versions"] = _versions(entry, proof)
        tested = _tested(entries)
        for other in others:
            if _code(other, page) != _code(proof, page):
                continue
            pairs = zip(tested, _tested(other.get("pages", {}).get(page, [])), strict=False)
            for entry, same in takewhile(lambda pair: pair[0]["key"] == pair[1]["key"], pairs):
                if entry["status"] == "passed":
                    entry["versions"] = sorted({*entry["versions"], *_versions(same, other)}, key=_number)


def shared(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the versions on which all entries that ran did what the page says, in ascending order."""
    ran = [set(entry["versions"]) for entry in entries if entry["versions"]]
    return sorted(set.intersection(*ran), key=_number) if ran else []


def _code(proof: Content, page: str) -> object:
    return proof.get("digests", {}).get(page, {}).get("code")


def _versions(entry: Entry, proof: Content) -> list[str]:
    return [proof["postgresql"]] if entry["status"] == "passed" and proof.get("postgresql") else []


def _tested(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry["kind"] not in NOT_TESTED]


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]

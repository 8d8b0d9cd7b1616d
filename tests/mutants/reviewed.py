"""The reviewed mutants: those that nobody could tell from the original, each with the reason."""

from __future__ import annotations

import tomllib
from pathlib import Path

LIST = Path("tests") / "mutants" / "reviewed.toml"
KEYS = ("file", "before", "after")


class ReviewError(Exception):
    """The list is not as it must be; the text says where."""


def read_reviews(project: Path) -> dict[tuple[str, str, str], str]:
    """The reasons of a checkout's list, by the names of their mutants.

    Raises:
        ReviewError: an entry lacks something, or stands twice.
    """
    path = project / LIST
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"] if path.exists() else []
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise ReviewError(f"{LIST}: {error}") from None
    reviews: dict[tuple[str, str, str], str] = {}
    for number, entry in enumerate(entries, 1):
        name = tuple(entry.get(key, "") for key in KEYS)
        if not all(name[:2]) or not entry.get("reason", "").strip():
            raise ReviewError(f"{LIST}: entry {number} lacks one of {', '.join(KEYS)}, reason")
        if name in reviews:
            raise ReviewError(f"{LIST}: entry {number} stands twice")
        reviews[name] = entry["reason"]
    return reviews

"""The reviewed mutants: those that nobody could tell from the original, each with the reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mutants.mutant import Mutant

LIST = Path("tests") / "mutants" / "reviewed.toml"


@dataclass(frozen=True)
class Review:
    """One entry of the list; its first five fields name a mutant wherever its lines are."""

    file: str
    function: str
    before: str
    after: str
    number: int
    reason: str

    @property
    def id(self) -> str:
        """The mutant's id."""
        return Mutant(self.file, self.function, 0, 0, "", 0, (0, 0), self.before, self.after, self.number).id


def read_reviews(project: Path) -> dict[str, Review]:
    """The entries of a checkout's list, by the ids of their mutants.

    Raises:
        ValueError: an entry stands twice, or gives no reason.
    """
    path = project / LIST
    reviews: dict[str, Review] = {}
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", []) if path.exists() else []
    for entry in entries:
        review = Review(**{"function": "", "number": 1, **entry})
        if not review.reason.strip():
            raise ValueError(f"{LIST}: no reason for {review.id}")
        if review.id in reviews:
            raise ValueError(f"{LIST}: twice: {review.id}")
        reviews[review.id] = review
    return reviews


def outdated(reviews: Iterable[Review], mutants: Iterable[Mutant], files: Iterable[str]) -> list[str]:
    """The ids of entries for files that were looked at, and whose mutants are no longer made."""
    ids, looked_at = {mutant.id for mutant in mutants}, set(files)
    return [review.id for review in reviews if review.file in looked_at and review.id not in ids]

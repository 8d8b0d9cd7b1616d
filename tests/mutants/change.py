"""Changes: the lines of the backend that a branch has changed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from mutants.book import SOURCE
from mutants.mutant import Mutant

HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@")


class ChangeError(Exception):
    """Git cannot tell what has changed; the text says why."""


def changed_lines(project: Path, base: str) -> dict[str, set[int]]:
    """The lines that differ from where a branch began, by the file's path below `backend/src`.

    What is not committed yet counts as well.

    Args:
        project: the checkout.
        base: the branch that this one is to be merged into, such as origin/main.

    Raises:
        ChangeError: it is no git checkout, or there is no such branch.
    """
    start = _git(project, "merge-base", base, "HEAD").strip()
    difference = _git(
        project, "diff", "--unified=0", "--no-color", "--no-ext-diff", start, "--", f"{SOURCE.as_posix()}/*.py"
    )
    found: dict[str, set[int]] = {}
    lines: set[int] = set()
    for text in difference.splitlines():
        if text.startswith("+++ "):
            lines = found.setdefault(text.removeprefix(f"+++ b/{SOURCE.as_posix()}/").strip(), set())
        elif match := HUNK.match(text):
            first, count = int(match[1]), int(match[2] or "1")
            lines.update(range(first, first + count))
    return found


def touches(changed: Mapping[str, set[int]], mutant: Mutant) -> bool:
    """Whether the statement of a mutant has a changed line."""
    first, last = mutant.statement
    return any(first <= line <= last for line in changed.get(mutant.file, ()))


def _git(project: Path, *arguments: str) -> str:
    try:
        ended = subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ChangeError(f"git cannot be started: {error.strerror}") from error
    if ended.returncode:
        raise ChangeError(ended.stderr.strip())
    return ended.stdout

"""What a branch has changed: the lines of files that differ from where it left another branch."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

HUNK = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@")


class BranchError(Exception):
    """The branch cannot be compared with another; the text says why."""


def changed_lines(project: Path, base: str, directory: str) -> dict[str, set[int]]:
    """The lines of each file below a directory that differ from where the branch left `base`.

    Arguments:
        project: the checkout; what is not committed counts as well.
        base: a branch, or any commit.
        directory: path below the project.

    Returns:
        By the paths of files below the project, the numbers of their lines as they are now.

    Raises:
        BranchError: git does not know `base`, or this is no repository.
    """
    command = ["git", "diff", "--unified=0", "--no-color", "--no-ext-diff", "--src-prefix=a/", "--dst-prefix=b/"]
    command += ["--merge-base", base, "--", directory]
    found = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if found.returncode:
        raise BranchError(f"git cannot compare with {base}: {found.stderr.strip()}")
    changed: dict[str, set[int]] = {}
    lines: set[int] = set()
    for line in found.stdout.splitlines():
        if line.startswith("+++ b/"):
            lines = changed.setdefault(line.removeprefix("+++ b/").rstrip("\t"), set())
        elif hunk := HUNK.match(line):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            lines.update(range(first, first + count))
    return changed

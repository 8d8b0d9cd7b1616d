"""Print what a run of the checks must leave as it was: the checkout, its repository, and HOME; one line for each thing.

    python3 .ci/state.py >before; make check; python3 .ci/state.py | diff before -

A line is the path and a digest of what is there. What the checks make by intention is left out, and of HOME only names
are listed: other programs may write to files of their own there.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MADE = {".venv", "build", ".coverage", ".pytest_cache", ".mypy_cache", ".ruff_cache", "__pycache__"}
# The index by its entries: git writes the file anew when it looks at the work tree.
REPOSITORY = (
    ("HEAD", "rev-parse", "--symbolic-full-name", "HEAD"),
    ("refs", "for-each-ref"),
    ("index", "ls-files", "--stage"),
    ("config", "config", "--local", "--list"),
    ("worktrees", "worktree", "list", "--porcelain"),
)


def digest(path: Path) -> str:
    """Return what tells a changed thing from an unchanged one: the content of a file, where a link leads."""
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if path.is_dir():
        return "directory"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "other"


def checkout(directory: Path) -> Iterator[str]:
    """Yield the lines of a directory and what is below it."""
    for path in sorted(directory.iterdir()):
        if path.name in MADE or path.name.startswith(".coverage."):
            continue
        yield f"{path} {digest(path)}"
        # The development server's data are a running server's own.
        if path.is_dir() and not path.is_symlink() and path.name not in {".git", ".data"}:
            yield from checkout(path)


def repository(directory: Path) -> Iterator[str]:
    """Yield the lines of the repository that a checkout belongs to."""
    for name, *arguments in REPOSITORY:
        told = subprocess.run(["git", *arguments], cwd=directory, capture_output=True, check=False).stdout  # noqa: S603, S607
        for line in told.decode(errors="replace").splitlines():
            yield f"git {name}: {line}"


def names(home: Path) -> Iterator[str]:
    """Yield the names in HOME, and in the directories that programs keep their files in."""
    for directory in (home, *(home / name for name in (".cache", ".config", ".local", ".local/share"))):
        if directory.is_dir():
            yield from sorted(f"{path}" for path in directory.iterdir())


def main() -> None:
    """Print the state of the current directory's checkout and of HOME."""
    here = Path.cwd()
    home = Path(os.environ.get("HOME") or here)
    for line in (*checkout(here), *repository(here), *(names(home) if home != here else ())):
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()

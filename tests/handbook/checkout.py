"""What of the checkout a page works on: copied once for a process of the run, and from there for each page."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from handbook.baseline import DIRECTORY, copy_baseline

# The backend, and the harness, whose own pages run it. Compiled modules go along: without them each page's first
# command would compile the backend anew.
COPIED = (
    "Makefile",
    "pyproject.toml",
    "requirements",
    "backend/src",
    "mkdocs.yml",
    ".ci",
    "docs/assets",
    "docs/website",
    "docs/theme",
    "tests/commands",
    "tests/handbook",
    "tests/lies",
    "tests/mutants",
    "tests/trials",
)
VENV = ".venv"
LIBRARY = Path("lib") / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def copy_checkout(project: Path, target: Path, *, landed: bool) -> None:
    """Copy the files of a checkout that each page is given.

    Arguments:
        project: the checkout.
        target: a directory.
        landed: with the migrations that have landed since the baseline.
    """
    for name in COPIED:
        source, copy = project / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            # What another process is just compiling may be gone in the middle of it.
            shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns("*.pyc.*"))
        elif source.exists():
            shutil.copy2(source, copy)
    migrations = target / DIRECTORY
    if migrations.exists() and not landed:
        shutil.rmtree(migrations)
        copy_baseline(project / DIRECTORY, migrations)
    # What they are compiled to lies beside them, and a page would list it.
    shutil.rmtree(migrations / "__pycache__", ignore_errors=True)
    if (project / VENV).exists():
        _make_environment((project / VENV).resolve(), target / VENV)


def copy_files(source: Path, target: Path) -> None:
    """Copy the files of a directory to another, each as it is: a server does not start on files of another account."""
    # With an environment of its own: another thread may be changing that of this process, which is then no longer where
    # a program that inherits it looks for it.
    subprocess.run(["cp", "-a", f"{source}/.", str(target)], env={"PATH": os.environ["PATH"]}, check=True)


def settle(directory: Path) -> None:
    """Let the set-up of a copied environment be that of the place where it now is."""
    stamp = directory / VENV / "plantops-set-up"
    if stamp.is_file():
        _, _, rest = stamp.read_text(encoding="utf-8").partition("\n")
        stamp.write_text(f"{stamp.parent.resolve()}\n{rest}", encoding="utf-8")


def _make_environment(venv: Path, target: Path) -> None:
    """An environment that has all of the project's packages, and is written to in the project's place."""
    (target / "bin").mkdir(parents=True)
    (target / LIBRARY).mkdir(parents=True)
    (target / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    for name in ("python3", f"python3.{sys.version_info.minor}"):
        (target / "bin" / name).symlink_to("python")
    for name in ("pyvenv.cfg", "plantops-set-up"):
        if (venv / name).exists():
            shutil.copy2(venv / name, target / name)
    packages = str(venv / LIBRARY)
    (target / LIBRARY / "project.pth").write_text(f"import site; site.addsitedir({packages!r})\n", encoding="utf-8")
    for script in (venv / "bin").iterdir():
        copy = target / "bin" / script.name
        if not copy.exists() and os.access(script, os.X_OK):
            copy.write_bytes(_script(script))
            copy.chmod(0o755)


def _script(path: Path) -> bytes:
    """A script of an environment, run by the Python that stands beside it; what is no Python is started where it is."""
    with path.open("rb") as file:
        head = file.read(200)
    python = '"$(dirname "$0")/python" ' if head.startswith(b"#!") and b"python" in head else ""
    return f'#!/bin/sh\nexec {python}{shlex.quote(str(path))} "$@"\n'.encode()

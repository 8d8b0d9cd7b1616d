"""What of the checkout a page works on: read once in a run, and written for each page."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from handbook import baseline

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
LIBRARY = Path(VENV) / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


class Checkout:
    """The files of a checkout that each page is given.

    Arguments:
        project: the checkout.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self._links: dict[str, str] = {}
        self._files: dict[str, tuple[int, bytes]] = {}
        for name in COPIED:
            for file in _files_below(project / name):
                # What lies below the migrations is what they are compiled to, which a page would list.
                if project / baseline.DIRECTORY not in file.parent.parents:
                    self._read(file)
        if (project / VENV).exists():
            self._read_environment((project / VENV).resolve())
        parents = {parent for name in [*self._files, *self._links] for parent in Path(name).parents}
        self._directories = sorted(str(parent) for parent in parents if parent != Path())
        self._baseline = {name: file for name, file in self._files.items() if not baseline.is_landed(Path(name))}
        checksums = str(baseline.DIRECTORY / baseline.CHECKSUMS)
        if checksums in self._baseline:
            mode, content = self._baseline[checksums]
            self._baseline[checksums] = mode, baseline.checksums(content.decode()).encode()

    def write(self, target: Path, *, landed: bool = False) -> None:
        """Write the files below a directory.

        Arguments:
            target: the directory.
            landed: with the migrations that have landed since the baseline.
        """
        for name in self._directories:
            os.mkdir(target / name)  # noqa: PTH102 - a thousand files a second are written here
        root = str(target)
        for name, (mode, content) in (self._files if landed else self._baseline).items():
            descriptor = os.open(f"{root}/{name}", os.O_WRONLY | os.O_CREAT, mode)
            try:
                os.write(descriptor, content)
            finally:
                os.close(descriptor)
        for name, destination in self._links.items():
            os.symlink(destination, f"{root}/{name}")  # noqa: PTH211 - as above
        stamp = self.project / VENV / "plantops-set-up"
        if stamp.is_file():
            _, _, rest = stamp.read_text(encoding="utf-8").partition("\n")
            (target / VENV / stamp.name).write_text(f"{(target / VENV).resolve()}\n{rest}", encoding="utf-8")

    def _read(self, file: Path) -> None:
        name = str(file.relative_to(self.project))
        if file.is_symlink():
            self._links[name] = os.readlink(file)  # noqa: PTH115 - as text
        else:
            self._files[name] = file.stat().st_mode & 0o777, file.read_bytes()

    def _read_environment(self, venv: Path) -> None:
        """An environment that has all of the project's packages, and is written to in the project's place."""
        self._links[f"{VENV}/bin/python"] = os.path.realpath(sys.executable)
        for name in ("python3", f"python3.{sys.version_info.minor}"):
            self._links[f"{VENV}/bin/{name}"] = "python"
        self._files[f"{VENV}/pyvenv.cfg"] = 0o644, (venv / "pyvenv.cfg").read_bytes()
        packages = venv / LIBRARY.relative_to(VENV)
        self._files[str(LIBRARY / "project.pth")] = 0o644, f"import site; site.addsitedir({str(packages)!r})\n".encode()
        for script in (venv / "bin").iterdir():
            name = f"{VENV}/bin/{script.name}"
            if name not in self._links and os.access(script, os.X_OK):
                self._files[name] = 0o755, _script(script)


def _files_below(path: Path) -> list[Path]:
    found = list(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in found if file.is_symlink() or file.is_file()]


def _script(path: Path) -> bytes:
    """A script of an environment, run by the Python that stands beside it; what is no Python is started where it is."""
    with path.open("rb") as file:
        head = file.read(200)
    python = '"$(dirname "$0")/python" ' if head.startswith(b"#!") and b"python" in head else ""
    return f'#!/bin/sh\nexec {python}{shlex.quote(str(path))} "$@"\n'.encode()

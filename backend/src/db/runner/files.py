"""Migration files: their names, their order, and the Python in them."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import os
import sys
from pathlib import Path
from traceback import walk_tb
from types import CodeType, ModuleType, TracebackType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .. import errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from ..connection import Connection

Up: TypeAlias = "Callable[[Connection], Awaitable[object]]"

MIGRATIONS_DIRECTORY = Path(__file__).parents[1] / "migrations"

_serial_numbers = itertools.count(1)
_MUST_DEFINE_UP = "must define an async up(conn) function"


def version_order(version: str) -> tuple[bool, int, str]:
    """Return the sort key of a version: numbers by value, anything else after them by its text."""
    if version.isascii() and version.isdigit():
        return (False, int(version), version)
    return (True, 0, version)


def get_migration_files(directory: str | os.PathLike[str] = MIGRATIONS_DIRECTORY) -> list[tuple[str, Path]]:
    """List the migrations of a directory, in the order of their version numbers.

    Only names are read. Files that are not Python, and those whose names start with ``_`` or ``.``, are left out, and
    so are directories.

    Arguments:
        directory: the directory to list; those below it are not looked into.

    Returns:
        Pairs of the version, as text, and the path.

    Raises:
        MigrationDirectoryError: it does not exist or cannot be read.
        MigrationNameError: a Python file has no version in its name.
        DuplicateVersionError: two files have one version.
    """
    directory = Path(directory)
    try:
        with os.scandir(directory) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if entry.name.endswith(".py") and not entry.name.startswith(("_", ".")) and entry.is_file()
            )
    except OSError as error:
        raise errors.MigrationDirectoryError(
            f"cannot read the directory of the migrations, {directory}: {error.strerror}."
        ) from error
    files: dict[int, tuple[str, Path]] = {}
    for name in names:
        version, _, description = name.removesuffix(".py").partition("_")
        path = directory / name
        if not (version.isascii() and version.isdigit() and description):
            raise errors.MigrationNameError(
                "the name does not start with a version.\n"
                "A migration is named NNN_description.py, for example 007_add_location.py."
                " Start the name of a module that is not a migration with an underscore.",
                file=path,
            )
        number = int(version)
        if number in files:
            raise errors.DuplicateVersionError(
                f"{files[number][1].name} has the same version.\n"
                "Give the one that no database has applied yet the next free number.",
                file=path,
            )
        files[number] = (version, path)
    return [files[number] for number in sorted(files)]


def refuse_empty(directory: str | os.PathLike[str], files: Sequence[object]) -> None:
    """Raise an error if there are no migrations at all: they were left out of a package or an image.

    Arguments:
        directory: the directory of the migrations.
        files: the migrations that were found, in the directory or by the caller's own means.

    Raises:
        MigrationDirectoryError: there are none in either.
    """
    if not (files or get_migration_files(directory)):
        raise errors.MigrationDirectoryError(
            f"there are no migrations in {directory}.\n"
            "Copy the files there: an image or a package was built without them, or the directory is the wrong one."
        )


class Migration(NamedTuple):
    """The loaded content of one migration file."""

    path: Path
    up: Up
    transactional: bool


@contextlib.contextmanager
def loaded(path: Path) -> Iterator[Migration]:
    """Load a migration file for the length of a ``with`` block; the module is forgotten afterwards.

    The file is read as Python reads source: UTF-8 with or without a byte-order mark unless it declares another
    encoding, any line ends. It is a package of its own that consists of the files beside it, so that
    ``from ._helpers import x`` finds them; these modules are forgotten with it.

    Arguments:
        path: the migration file.

    Raises:
        MigrationLoadError: it cannot be read, does not parse, or raises while it is imported.
        MissingUpError: it defines no ``up``.
        UpNotAsyncError: its ``up`` is not ``async``.
    """
    code = _compiled(path)
    file = str(path)
    directory, base = os.path.split(file)
    # No import statement can spell this name, and two runs in one process get two modules.
    name = f"<migration {base.removesuffix('.py')} {next(_serial_numbers)}>"
    module = ModuleType(name)
    module.__file__, module.__package__, module.__path__ = file, name, [directory]
    # Decorators such as dataclass look for the module of what they decorate.
    sys.modules[name] = module
    try:
        yield _migration(path, code, module)
    finally:
        # Modules stand in the order of their import: the files beside it come after it.
        later = itertools.takewhile(lambda other: other != name, reversed(sys.modules))
        for imported in [other for other in later if other.startswith(name)]:
            del sys.modules[imported]
        del sys.modules[name]


def _compiled(path: Path) -> CodeType:
    try:
        return compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except OSError as error:
        raise errors.MigrationLoadError(f"cannot be read: {error.strerror}.", file=path) from error
    except (SyntaxError, ValueError) as error:
        line, shown = getattr(error, "lineno", None), (getattr(error, "text", None) or "").strip()
        text = "\n    ".join(filter(None, [str(getattr(error, "msg", error)), shown]))
        raise errors.MigrationLoadError(f"does not parse: {text}", file=path, line=line) from error


def _migration(path: Path, code: CodeType, module: ModuleType) -> Migration:
    try:
        exec(code, module.__dict__)  # noqa: S102 - to run the file is what a migration runner is for
    except (Exception, SystemExit) as error:
        raise errors.MigrationLoadError(
            f"failed while it was imported: {describe(error)}", file=path, line=line_in(path, error.__traceback__)
        ) from error
    up = module.__dict__.get("up")
    if up is None:
        raise errors.MissingUpError(f"{_MUST_DEFINE_UP}; it has none.", file=path)
    if not inspect.iscoroutinefunction(up):
        line = up.__code__.co_firstlineno if inspect.isfunction(up) else None
        raise errors.UpNotAsyncError(f"{_MUST_DEFINE_UP}; its up is not async.", file=path, line=line)
    transactional = module.__dict__.get("transactional", True)
    if not isinstance(transactional, bool):
        raise errors.MigrationLoadError(f"transactional must be True or False, not {transactional!r}.", file=path)
    return Migration(path, up, transactional)


def line_in(path: Path, traceback: TracebackType | None) -> int | None:
    """Return the line of a file that a traceback passed through last, or None where it did not."""
    lines = [line for frame, line in walk_tb(traceback) if frame.f_code.co_filename == str(path)]
    return lines[-1] if lines else None


def describe(error: BaseException) -> str:
    """Return the type and the text of an exception on one line, as Python ends a traceback."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

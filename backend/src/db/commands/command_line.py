"""The command line ``python -m src.db COMMAND``: what a developer or an operator types around a migration.

Each command is a module of its own with ``add_arguments(parser)`` and ``run(arguments)``, which returns the exit
status: 0 done, 1 findings or failure, 2 wrong usage. Only the module of the command that was typed is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from src.config import Settings, SettingsError

from ..errors import MigrationError
from ..runner.files import MIGRATIONS_DIRECTORY
from .interruption import Interrupted

FAILED, WRONG_USAGE = 1, 2


class Refusal(Exception):  # noqa: N818 - what it says is no fault of the program
    """A command does not do what was asked; the text says why and what to do."""


class _Command(NamedTuple):
    module: str
    summary: str
    has_database: bool = True
    reports: bool = True


_COMMANDS = {
    "status": _Command("commands.status", "show which migrations are applied and which are pending"),
    "migrate": _Command("commands.migrate", "apply the pending migrations, as a start of the backend does"),
    "rehearse": _Command("rehearsal", "run the pending migrations, report what they do, and undo them"),
    "new": _Command("commands.new", "write the file of a new migration", has_database=False, reports=False),
    "seal": _Command("commands.seal", "add finished migrations to CHECKSUMS", has_database=False, reports=False),
    "verify": _Command(
        "commands.verify", "check the migration files and CHECKSUMS, without a database", has_database=False
    ),
}

_PROGRAM = "python -m src.db"
_EPILOG = """\
Exit status: 0 done, 1 findings or failure, 2 wrong usage, 130 after Ctrl-C, 143 after SIGTERM.
"""
_DATABASE = f"""\
The database is that of --database-url, of DATABASE_URL, or else of the development server.
{_EPILOG}"""


def main(arguments: Sequence[str]) -> int:
    """Run one command.

    Arguments:
        arguments: the command line without the name of the program.

    Returns:
        The exit status: 0 done, 1 findings or failure, 2 wrong usage, 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
        SystemExit: the usage is wrong, or help was asked for.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name may hold what the terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        parsed = _parser(arguments).parse_args(arguments)
        with _database(parsed.database_url) if parsed.has_database else contextlib.nullcontext() as parsed.database_url:
            status: int = parsed.run(parsed)
        sys.stdout.flush()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return WRONG_USAGE
    except (MigrationError, Refusal) as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    except Interrupted as interruption:
        sys.stderr.write(f"{interruption}\n")
        return 128 + interruption.signal
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as error:
        return _cannot_write(error)
    return status


def _cannot_write(error: OSError) -> int:
    """Say that the output was cut short, unless whoever read it has gone."""
    with contextlib.suppress(OSError):
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"The command is done, but its output cannot be written: {error.strerror or error}.\n")
    # Python would complain of it once more when it flushes at the end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="The migrations of a PlantOps database.",
        epilog=f"{_PROGRAM} COMMAND --help explains a command.\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for name, command in _COMMANDS.items():
        subparser = commands.add_parser(
            name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            epilog=_DATABASE if command.has_database else _EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name not in arguments[:1]:
            continue
        module = importlib.import_module(f"src.db.{command.module}")
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run, has_database=command.has_database)
        subparser.add_argument(
            "--directory",
            type=Path,
            default=MIGRATIONS_DIRECTORY,
            metavar="PATH",
            help="where the migrations are (src/db/migrations)",
        )
        if command.has_database:
            subparser.add_argument(
                "--database-url",
                metavar="URL",
                help="postgresql://user@host:port/database; give a password in DATABASE_URL instead, since every user"
                " of the machine can read a command line",
            )
        if command.reports:
            subparser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    return parser


@contextlib.contextmanager
def _database(asked: str | None) -> Iterator[str]:
    """Give the URL of the database that a command is for, and keep the development server running meanwhile."""
    settings = Settings.from_environment({**os.environ, **({"DATABASE_URL": asked} if asked else {})})
    if settings.database_url is not None:
        yield settings.database_url
        return
    # Imported where it is needed: it is no part of a start on a server of one's own.
    from ..server import ServerError, development  # noqa: PLC0415

    try:
        with development(settings.data) as server:
            yield server.url()
    except ServerError as error:
        raise Refusal(str(error)) from error

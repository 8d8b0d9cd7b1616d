"""``new``: the file of a new migration, with the next number."""

from __future__ import annotations

import argparse
import re
import sys

from src.config import TOP

from ..runner.files import get_migration_files
from .command_line import Refusal

UNFINISHED = "this migration is still the template: write its statements, and delete this line"

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 60

# It ends in NotImplementedError on purpose, Python's error for what is still to be written: `seal` refuses, and the
# runner does not apply, a file that nobody has filled in.
_TEMPLATE = '''"""{title}."""

import asyncpg

# up and the record of its version are one transaction: both are kept, or neither.
#
# - Write what is safe to run twice: IF NOT EXISTS, IF EXISTS, ON CONFLICT DO NOTHING.
# - A lock that a statement takes is held to the end of up. Keep up short, and fill large tables in another migration.
# - CREATE INDEX CONCURRENTLY, VACUUM and the like refuse to run in a transaction. Put nothing else into their file,
#   and set transactional = False above up: what was done before an error is then kept, so it is run again from the top.
# - Never edit it once a database has applied it. Add another migration instead.


async def up(conn: asyncpg.Connection) -> None:
    # await conn.execute("ALTER TABLE plants ADD COLUMN IF NOT EXISTS location text")
    raise NotImplementedError("{unfinished}")
'''


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument(
        "name", type=_name, metavar="NAME", help="what it does, such as add_plant_location: a-z, 0-9 and single _"
    )


def _name(text: str) -> str:
    if _NAME.fullmatch(text) is None or len(text) > _LONGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot be the name of a migration. Write words of a-z and 0-9, at most {_LONGEST} characters,"
            " with a single _ between them and a letter first, such as add_plant_location."
        )
    return text


def run(arguments: argparse.Namespace) -> int:
    """Write the file, print its path and return the exit status."""
    files = get_migration_files(arguments.directory)
    taken = [path.name for _, path in files if path.stem.partition("_")[2] == arguments.name]
    if taken:
        raise Refusal(f"{taken[0]} has this name already. Choose a name that says what the new one does.")
    number = 1 + max((int(version) for version, _ in files), default=0)
    path = arguments.directory / f"{number:03d}_{arguments.name}.py"
    title = arguments.name.replace("_", " ")
    try:
        # Exclusive: somebody else may be writing the same file.
        file = path.open("x", encoding="utf-8")
    except OSError as error:
        raise Refusal(f"{path} cannot be written: {error.strerror}.") from error
    with file:
        file.write(_TEMPLATE.format(title=f"{title[0].upper()}{title[1:]}", unfinished=UNFINISHED))
    shown = path.relative_to(TOP) if path.is_relative_to(TOP) else path
    sys.stdout.write(f"{shown}\nWrite its statements, try them with rehearse, then seal it.\n")
    return 0

"""``rehearse``: run the pending migrations for real, report what they do, and undo them.

They run in one transaction that is rolled back, so what PostgreSQL locked, read, wrote and changed is what it will do.
A migration that runs outside a transaction runs on a throw-away copy of the schema, and those after it too.
"""

from __future__ import annotations

import argparse
import json
import sys

from ..commands.interruption import run_until_signalled
from .color import colored, is_wanted
from .condition import condition
from .execution import rehearse
from .report import as_json
from .text import lines_of

DONE, FAILED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument(
        "--fail-on",
        action="append",
        default=[],
        type=condition,
        metavar="CONDITION",
        help="exit with 1 when a migration takes a lock of this mode or a stronger one ('ACCESS EXCLUSIVE'), writes a"
        " table or index anew ('rewrite'), or takes longer than a duration ('500ms', '2s', '1min'); may be repeated",
    )


def run(arguments: argparse.Namespace) -> int:
    """Rehearse, print the report and return the exit status.

    Raises:
        MigrationError: the database cannot be used, or the names of the files are wrong.
        Refusal: the role may not do what a rehearsal needs.
        Interrupted: a signal came; everything is rolled back.
    """
    rehearsal = run_until_signalled(rehearse(arguments.database_url, arguments.directory))
    for report in rehearsal.reports:
        report.exceeded = [text for met in arguments.fail_on for text in met(report)]
    if arguments.json:
        sys.stdout.write(json.dumps(as_json(rehearsal), indent=2) + "\n")
    else:
        color = colored if is_wanted(sys.stdout) else str
        sys.stdout.writelines(f"{color(line)}\n" for line in lines_of(rehearsal))
    return FAILED if rehearsal.failed or rehearsal.exceeded else DONE

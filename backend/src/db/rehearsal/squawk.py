"""What squawk, a linter for the SQL of migrations, says of the statements that a migration executed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..runner.redaction import public_lines

# The runner sets lock_timeout itself, for every migration; a statement may take its time.
_NOT_NEEDED = ("require-lock-timeout", "require-statement-timeout")


class Finding(NamedTuple):
    """What is wrong with a statement.

    Attributes:
        rule: squawk's name of the rule.
        message: what is wrong, and what to do.
        sql: the line of SQL that it is about.
    """

    rule: str
    message: str
    sql: str


def program() -> str | None:
    """Return the path of squawk: beside the interpreter, or on PATH, or nowhere."""
    beside = Path(sys.executable).with_name("squawk")
    return str(beside) if beside.exists() else shutil.which("squawk")


def findings_of(squawk: str, statements: Sequence[str], *, transactional: bool, server_version: str) -> list[Finding]:
    """Return squawk's findings.

    Arguments:
        squawk: the path of the program.
        statements: SQL; squawk reads them together, and knows the tables that earlier ones create.
        transactional: whether they run in a transaction.
        server_version: PostgreSQL's, such as ``18.6``.
    """
    # A line comment may end a statement.
    text = "".join(f"{statement}\n;\n" for statement in statements)
    command = [squawk, "--reporter", "json", "--pg-version", server_version]
    command += [f"--exclude={rule}" for rule in _NOT_NEEDED]
    command += ["--assume-in-transaction"] if transactional else []
    ended = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False)  # noqa: S603
    lines = [line for statement in statements for line in (*public_lines(statement), ";")]
    return [
        Finding(
            entry["rule_name"],
            " ".join(filter(None, (entry["message"], entry["help"]))),
            lines[entry["line"]].strip(),
        )
        for entry in json.loads(ended.stdout)
    ]

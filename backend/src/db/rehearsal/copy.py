"""A throw-away copy of a database's schema, without its rows."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from ..runner.retries import LOCK_TIMEOUT
from ..server import ServerError, binary, throwaway
from ..url import for_libpq

if TYPE_CHECKING:
    from collections.abc import Iterator


class CopyError(Exception):
    """The schema cannot be copied; the text says why."""


@contextlib.contextmanager
def schema_copy(database_url: str, pg_dump: str) -> Iterator[str]:
    """Start a throw-away server with a copy of a database's schema, and give the URL of the copy.

    The copy belongs to one role, and nobody is granted anything in it. It is gone when the context ends.

    Arguments:
        database_url: what to copy.
        pg_dump: the program that reads it.

    Raises:
        CopyError: PostgreSQL's programs are not installed, or the schema cannot be read or made anew.
    """
    url, password = for_libpq(database_url)
    try:
        dump = _run(
            [
                pg_dump,
                *("--schema-only", "--no-owner", "--no-privileges", f"--lock-wait-timeout={LOCK_TIMEOUT}"),
                *("--dbname", url),
            ],
            password,
        )
        with throwaway() as server:
            copy = server.url()
            psql = [str(binary("psql")), "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", copy]
            # What psql reads is counted before it ends: otherwise it may be counted while a migration runs.
            _run(psql, server.environment, f"{dump}\nSELECT pg_stat_force_next_flush();\n")
            yield copy
    except ServerError as error:
        raise CopyError(str(error)) from error


def _run(command: list[str], variables: dict[str, str], text: str | None = None) -> str:
    ended = subprocess.run(  # noqa: S603 - PostgreSQL's own programs
        command,
        input=text,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PGCLIENTENCODING": "UTF8", **variables},
        check=False,
    )
    if ended.returncode:
        raise CopyError(ended.stderr.strip())
    return ended.stdout

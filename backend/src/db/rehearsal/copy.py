"""A throw-away copy of a database's schema, without its rows."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg

from ..runner.session import LOCK_TIMEOUT
from ..server import USER, ServerError, binary, throwaway
from ..server.program import client
from ..url import for_libpq
from .content import fill

_ROLES = """
    SELECT coalesce(string_agg(format('CREATE ROLE %I SUPERUSER;', rolname), ' '), '') FROM pg_roles
    WHERE rolname !~ '^pg_' AND rolname <> $1
"""


class CopyError(Exception):
    """The schema cannot be copied; the text says why."""


class Copy(NamedTuple):
    """A copy of a schema.

    Attributes:
        url: where it is.
        notes: how it differs from the database.
    """

    url: str
    notes: list[str]


@contextlib.asynccontextmanager
async def schema_copy(conn: asyncpg.Connection[asyncpg.Record], database_url: str) -> AsyncIterator[Copy]:
    """Start a throw-away server with a copy of a database's schema, its settings and its materialized views.

    The copy belongs to one role. The others are there too, and may do anything. It is gone when the context ends.

    Arguments:
        conn: a session of the database.
        database_url: what to copy.

    Raises:
        CopyError: PostgreSQL's programs are not installed, or the schema cannot be read or made anew.
    """
    url, password = for_libpq(database_url)
    try:
        binary("postgres")  # whatever pg_dump there is: a copy needs a server of its own
        pg_dump = await client("pg_dump", database_url, at_least=conn.get_server_version().major)
        dump = _run(
            [
                pg_dump,
                *("--schema-only", "--no-owner", "--no-privileges", "--no-tablespaces"),
                *(f"--lock-wait-timeout={LOCK_TIMEOUT}", "--dbname", url),
            ],
            password,
        )
        roles = await conn.fetchval(_ROLES, USER)
        with throwaway() as server:
            copy = server.url()
            psql = [str(binary("psql")), "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", copy]
            # What psql reads is counted before it ends: otherwise it may be counted while a migration runs.
            _run(psql, server.environment, f"{roles}\n{dump}\nSELECT pg_stat_force_next_flush();\n")
            yield Copy(copy, await fill(conn, copy))
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

"""Connections that look at the SQL of a migration before they send it."""

from __future__ import annotations

from typing import Self, cast

import asyncpg

from ..connection import connect


class InterceptingConnection(asyncpg.Connection):
    """What the rehearsal's two kinds of connection have in common."""

    @classmethod
    async def to(cls, database_url: str) -> Self:
        """Open a connection of this class.

        Arguments:
            database_url: ``postgresql://user:password@host:port/database``.

        Raises:
            DatabaseUnavailableError: with the reason and a remedy.
        """
        conn = await connect(
            database_url, application_name="plantops-rehearsal", statement_cache_size=0, connection_class=cls
        )
        return cast("Self", conn)

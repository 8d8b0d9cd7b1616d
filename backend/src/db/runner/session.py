"""The runner's session: its settings, and what a migration may not leave behind in it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from .history import ensure_migrations_table, history
from .lock import LOCK_KEY

if TYPE_CHECKING:
    import asyncpg

    from ..connection import Connection
    from .files import Migration

# A statement that waits for a table lock makes every later reader of the table wait behind it. It gives up after this
# many milliseconds, its transaction is rolled back, and the readers go on during the pause before the next try.
LOCK_TIMEOUT = 500

# A server learns that its client was killed only when it looks; without this it would finish the statement first, and
# keep the lock as long. Some systems cannot look: there PostgreSQL refuses the setting, and it stays as it is.
_SETTINGS = """
    SELECT set_config('lock_timeout', '{lock_timeout}', {local});
    DO $$ BEGIN
        PERFORM set_config('client_connection_check_interval', '1000', {local});
    EXCEPTION WHEN invalid_parameter_value THEN
        NULL;
    END $$;
"""
_RESET = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; DISCARD TEMP;"


def settings(*, local: bool = False) -> str:
    """Return the SQL of the runner's settings, for the session or for the transaction alone."""
    return _SETTINGS.format(lock_timeout=LOCK_TIMEOUT, local=str(local).lower())


class Turn(enum.Enum):
    """Who may apply a migration."""

    OURS = enum.auto()
    OTHERS = enum.auto()
    """Another runner holds the lock."""
    PAST = enum.auto()
    """It is recorded."""


class Session:
    """The session of a runner that holds the migration lock for as long as the session lasts."""

    def __init__(self, conn: asyncpg.Connection[asyncpg.Record]) -> None:
        self.pid = conn.get_server_pid()

    async def claim(self, conn: Connection, version: str | None) -> Turn:  # noqa: ARG002 - the lock is held
        """Ask, within the transaction of a migration, whether it may be applied.

        Arguments:
            conn: the connection, in a transaction.
            version: the migration's; None for whether any may be applied.
        """
        return Turn.OURS

    async def restore(self, conn: Connection, migration: Migration) -> None:
        """Undo what a migration may have changed of the session, before it is recorded."""
        if migration.may_change_session:
            await conn.execute(f"{_RESET} {settings()}")


class PooledSession(Session):
    """The sessions that a pooler gives a runner: in its transaction mode each transaction may have another one.

    A session's lock means nothing there, and its settings would go to others. So each transaction has its own settings,
    takes the lock for itself, and looks whether the migration has been recorded since.
    """

    async def claim(self, conn: Connection, version: str | None) -> Turn:
        await conn.execute(settings(local=True))
        self.pid = await conn.fetchval("SELECT pg_backend_pid()")
        if not await conn.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK_KEY):
            return Turn.OTHERS
        applied = await history(conn)
        if applied is None:
            await ensure_migrations_table(conn)
            applied = []
        return Turn.PAST if version in applied else Turn.OURS

    async def restore(self, conn: Connection, migration: Migration) -> None:
        if migration.may_change_session:
            await conn.execute(_RESET)

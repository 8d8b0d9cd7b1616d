"""Whether the database answers: what ``/api/ready`` asks."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from src.db.connection import CONNECTION_ERRORS
from src.db.server import ServerError

if TYPE_CHECKING:
    import asyncpg

ANSWER_SECONDS = 1.0
"""How long the database may take to answer before the backend counts as not ready."""
CACHED_SECONDS = 1.0
"""How long an answer is used again. However often the backend is asked, the database is asked once in this time."""

# Seconds until a question that has no answer is given up, and its connection closed: the next one gets another.
_PATIENCE = 3.0

logger = logging.getLogger("src.main")


class Readiness:
    """Asks the database through the backend's pool, one question at a time."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        """Ask through a pool, whose database has just answered."""
        self._pool = pool
        self._question: asyncio.Task[bool] | None = None
        self._asked_at = 0.0
        self._answered = True

    async def is_given(self) -> bool:
        """Return whether the database answers, or did less than ``CACHED_SECONDS`` ago."""
        old = time.monotonic() - self._asked_at > CACHED_SECONDS
        if self._question is None or (old and self._question.done()):
            self._asked_at = time.monotonic()
            self._question = asyncio.create_task(self._ask())
        await asyncio.wait([self._question], timeout=ANSWER_SECONDS)
        answers = self._question.done() and self._question.result()
        if answers != self._answered:
            self._answered = answers
            logger.log(*((logging.INFO, "The database answers again") if answers else (logging.WARNING, _SILENT)))
        return answers

    async def _ask(self) -> bool:
        try:
            async with self._pool.acquire(timeout=_PATIENCE) as connection:
                await connection.fetchval("SELECT 1", timeout=_PATIENCE)
        except (*CONNECTION_ERRORS, ServerError):
            return False
        return True


_SILENT = "The database does not answer: /api/ready answers 503 until it does"

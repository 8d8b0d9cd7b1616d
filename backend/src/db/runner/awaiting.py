"""Answers that may have to be awaited."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def settled(value: Awaitable[T] | T) -> T:
    """Return a value, awaited if need be: what asyncpg answers at once, an AsyncMock answers with a coroutine."""
    return await value if isinstance(value, Awaitable) else value

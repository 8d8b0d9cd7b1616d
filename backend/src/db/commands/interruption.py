"""Ctrl-C and SIGTERM: a command that is told to end undoes what is half done, and says by what it was ended."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Interrupted(Exception):  # noqa: N818 - somebody's wish
    """A signal ended a command.

    Arguments:
        number: the signal, SIGINT or SIGTERM.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(
            f"ended by {self.signal.name}. The migration that was running is not recorded, and the lock is released."
            " Start again: what is recorded is not run again."
        )


def run_until_signalled(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; a signal cancels it, so that it rolls back and closes its connection.

    Arguments:
        coroutine: what to run, in an event loop of its own, in the main thread.

    Returns:
        What the coroutine returns.

    Raises:
        Interrupted: SIGINT or SIGTERM came before it ended.
    """
    return asyncio.run(_until_signalled(coroutine))


async def _until_signalled(coroutine: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(coroutine)
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    await asyncio.wait([task])
    # A migration that catches the cancellation fails in some other way; it was the signal all the same.
    if received and (task.cancelled() or task.exception() is not None):
        raise Interrupted(received[0])
    return task.result()

"""Ctrl-C and SIGTERM: a command that is told to end undoes what is half done, and says by what it was ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# Seconds that the server has for each answer after a signal: to ROLLBACK, then to the release of the lock.
PATIENCE = 5.0
_NO_ANSWER = (
    "The server does not answer: the migration that was running is not recorded, unless it was committing, and the lock"
    " is released when the server notices that this runner has gone."
)


class Interrupted(Exception):  # noqa: N818 - somebody's wish
    """A signal ended a command.

    Arguments:
        number: the signal, SIGINT or SIGTERM.
        outcome: what it left, if that is something else than usual.
    """

    def __init__(self, number: int, outcome: str = "") -> None:
        self.signal = signal.Signals(number)
        outcome = outcome or "The migration that was running is not recorded, and the lock is released."
        super().__init__(f"ended by {self.signal.name}. {outcome} Start again: what is recorded is not run again.")


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
        loop.call_later(PATIENCE, give_up)

    def give_up() -> None:
        # A canceled task still rolls back and says goodbye; each of these waits for the server, and may be given up.
        unanswered.set()
        task.cancel()
        loop.call_later(PATIENCE, give_up)

    unanswered = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    await asyncio.wait([task])
    try:
        return task.result()
    except BaseException as error:
        if not received:
            raise
        # A migration that catches the cancellation fails in some other way; it was the signal all the same.
        notes = " ".join(getattr(error, "__notes__", ()))
        raise Interrupted(received[0], _NO_ANSWER if unanswered.is_set() else notes) from None

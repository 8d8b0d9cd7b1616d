"""Ends by signals: what a command does that is told to end."""

from __future__ import annotations

import asyncio
import signal

import pytest

from src.db.commands.interruption import Interrupted, run_until_signalled


async def signalled(number: int, *, then: str) -> str:
    """Get a signal while waiting, and end in one way or another."""
    signal.raise_signal(number)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        if then == "cancelled":
            raise
        if then == "failed":
            raise ValueError from None
    return "done"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("then", ["cancelled", "failed"])
def test_a_signal_ends_it(number: signal.Signals, then: str) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=f"ended by {number.name}") as caught:
        run_until_signalled(signalled(number, then=then))
    assert caught.value.signal == number
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_what_is_done_all_the_same_is_done() -> None:
    assert run_until_signalled(signalled(signal.SIGTERM, then="done")) == "done"


def test_an_error_without_a_signal_is_itself() -> None:
    async def failing() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        run_until_signalled(failing())

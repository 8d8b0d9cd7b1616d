"""Coroutines that are thrown away, noted by several ``with`` blocks at once."""

from __future__ import annotations

import gc
from pathlib import Path

from src.db.runner.unawaited import Unawaited


async def nothing() -> None:
    """Be thrown away."""


async def test_blocks_that_overlap_share_the_place_of_warnings() -> None:
    with Unawaited() as outer:
        with Unawaited() as inner:
            _ = nothing()
            del _
            gc.collect()
        assert len(inner.found(Path(__file__))) == 1
        _ = nothing()
        del _
        gc.collect()
        assert len(outer.found(Path(__file__))) == 2

"""What a migration made and did not await: coroutines that it threw away, and tasks that it left."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from warnings import WarningMessage

from ..connection import Connection


class Unawaited:
    """Notes which coroutines are thrown away unawaited, for the length of a ``with`` block.

    Python says so by a warning, and the place for warnings is one for the whole process. Where blocks overlap, the
    first opens that place and the last closes it.
    """

    _blocks: ClassVar[list[Unawaited]] = []
    _place: ClassVar[warnings.catch_warnings[list[WarningMessage]]]
    _caught: ClassVar[list[WarningMessage]]

    def __enter__(self) -> Unawaited:
        if not Unawaited._blocks:
            Unawaited._place = warnings.catch_warnings(record=True)
            Unawaited._caught = Unawaited._place.__enter__()
            warnings.simplefilter("always", RuntimeWarning)
        Unawaited._blocks.append(self)
        self._first = len(Unawaited._caught)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        Unawaited._blocks.remove(self)
        if not Unawaited._blocks:
            Unawaited._place.__exit__(None, None, None)
            for other in filter(lambda warning: not _is_unawaited(warning), Unawaited._caught):
                warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)

    def found(self, path: Path) -> list[WarningMessage]:
        """Return the warnings about coroutines that were thrown away in a file, or in one beside it."""
        return [
            warning
            for warning in Unawaited._caught[self._first :]
            if _is_unawaited(warning) and _is_beside(path, warning.filename)
        ]


def tasks_of(path: Path, conn: Connection) -> Iterator[asyncio.Task[object]]:
    """Yield the other tasks that have not ended: of a file or of one beside it, and of the connection's own methods."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        frame = getattr(task.get_coro(), "cr_frame", None)
        if frame and (_is_beside(path, frame.f_code.co_filename) or frame.f_locals.get("self") is conn):
            yield task


def _is_beside(path: Path, filename: str) -> bool:
    return os.path.dirname(filename) == str(path.parent)  # noqa: PTH120


def _is_unawaited(warning: WarningMessage) -> bool:
    return "was never awaited" in str(warning.message)

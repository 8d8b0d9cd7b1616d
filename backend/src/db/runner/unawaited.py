"""What a migration made and did not await: coroutines that it threw away, and tasks that it left."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from warnings import WarningMessage

from ..connection import Connection


class Unawaited:
    """Notes which coroutines are thrown away unawaited, and which tasks are made, for the length of a ``with`` block.

    Python says the first by a warning. The place for warnings is one for the whole process, and that for new tasks one
    for the event loop: where blocks overlap, the first opens them and the last closes them.
    """

    _blocks: ClassVar[list[Unawaited]] = []
    _loop: ClassVar[asyncio.AbstractEventLoop]
    _factory: ClassVar[Callable[..., Any] | None]
    # To ask for all tasks after each migration costs 7 % more: 824,000 instructions instead of 770,000 (cachegrind,
    # Python 3.11), and few migrations make a task.
    _tasks: ClassVar[list[asyncio.Task[object]]] = []
    _place: ClassVar[warnings.catch_warnings[list[WarningMessage]]]
    _caught: ClassVar[list[WarningMessage]]

    def __enter__(self) -> Unawaited:
        if not Unawaited._blocks:
            Unawaited._place = warnings.catch_warnings(record=True)
            Unawaited._caught = Unawaited._place.__enter__()
            warnings.simplefilter("always", RuntimeWarning)
            Unawaited._loop = asyncio.get_running_loop()
            Unawaited._factory = Unawaited._loop.get_task_factory()
            Unawaited._loop.set_task_factory(_make_task)
        Unawaited._blocks.append(self)
        self._first = len(Unawaited._caught)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        Unawaited._blocks.remove(self)
        if not Unawaited._blocks:
            Unawaited._loop.set_task_factory(Unawaited._factory)
            Unawaited._tasks.clear()
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

    @staticmethod
    def tasks_left(path: Path, conn: Connection) -> list[asyncio.Task[object]]:
        """Return the tasks that have not ended: of a file or of one beside it, and of the connection's own methods."""
        frames = [(task, getattr(task.get_coro(), "cr_frame", None)) for task in Unawaited._tasks if not task.done()]
        return [
            task
            for task, frame in frames
            if frame and (_is_beside(path, frame.f_code.co_filename) or frame.f_locals.get("self") is conn)
        ]


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
    if Unawaited._factory is None:
        task = asyncio.Task(coroutine, loop=loop, **options)
    else:
        task = Unawaited._factory(loop, coroutine, **options)
    Unawaited._tasks.append(task)
    return task


def _is_beside(path: Path, filename: str) -> bool:
    return os.path.dirname(filename) == str(path.parent)  # noqa: PTH120


def _is_unawaited(warning: WarningMessage) -> bool:
    return "was never awaited" in str(warning.message)

"""Locked files: the kernel drops a lock however its holder ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def lock(path: Path, operation: int) -> int:
    """Open a file, lock it and return its descriptor; the lock lasts until every copy of that is closed."""
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    # Not one of the standard streams, where those are closed: a new process would get others in their places.
    descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(opened)
    try:
        fcntl.flock(descriptor, operation)  # pragma: no mutate - without it `sweep` deletes what others use
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def held(path: Path, operation: int) -> Iterator[int]:
    """Hold a lock and give its descriptor."""
    descriptor = lock(path, operation)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

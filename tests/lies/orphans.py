"""What a changed page or program leaves behind: processes that nobody waits for."""

from __future__ import annotations

import ctypes
import sys
import time
from contextlib import suppress

import psutil

SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of Linux: orphans of a process's descendants become its own children."""


def adopt_orphans() -> None:
    """Become the parent of what this process's descendants leave behind, so that it can be found."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def kill_descendants(process: int | None = None) -> None:
    """Kill all that a process, this one unless it is named, has started and what that has started."""
    with suppress(psutil.NoSuchProcess):
        while found := [p for p in psutil.Process(process).children(recursive=True) if p.status() != "zombie"]:
            for descendant in found:
                with suppress(psutil.NoSuchProcess):
                    descendant.kill()
            time.sleep(0.002)

"""Ends what a test run has started and deletes its scratch directory, however the run ended.

    python reaper.py DIRECTORY

It waits for the end of its standard input, which the run holds open: that comes when the run ends, and when it is
killed. The run's processes are those that have the directory as their ``TMPDIR``.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

import psutil

PATIENCE = 5.0  # seconds that a process has to end


def main(directory: Path) -> None:
    """Wait for the run to end, then clean up after it."""
    sys.stdin.read()
    processes = list(filter(lambda process: uses(process, directory), psutil.process_iter()))
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, PATIENCE)
    # A process that could not be told by its environment may still be writing its last file.
    for _ in range(10):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return


def uses(process: psutil.Process, directory: Path) -> bool:
    """Whether a process belongs to the run."""
    try:
        return process.environ().get("TMPDIR") == str(directory)
    except psutil.Error:
        return False


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The workers of a run, and the pages that they are given."""

from __future__ import annotations

import multiprocessing
import os
import queue
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from lies.worker import Choice, PageReport, Worker

CHECK = 1.0  # seconds between two looks whether the other side still lives


def judged(project: Path, names: Sequence[str], workers: int, choice: Choice) -> Iterator[PageReport]:
    """The report of each page, as they come."""
    context = multiprocessing.get_context("spawn")
    waiting: Queue[str | None] = context.Queue()
    finished: Queue[PageReport] = context.Queue()
    for name in [*names, *[None] * workers]:
        waiting.put(name)
    processes = [
        context.Process(target=work, args=(project, waiting, finished, choice), name=f"lies-{number}")
        for number in range(min(workers, len(names)))
    ]
    for process in processes:
        process.start()
    try:
        for _ in names:
            yield _next(finished, processes)
    finally:
        for process in processes:
            process.join(5)
            if process.is_alive():
                process.terminate()
                process.join()


def _next(finished: Queue[PageReport], processes: Sequence[Any]) -> PageReport:
    while True:
        try:
            return finished.get(timeout=CHECK)
        except queue.Empty:
            if all(not process.is_alive() for process in processes):
                sys.exit("the workers have ended before their work was done")


def work(project: Path, waiting: Queue[str | None], finished: Queue[PageReport], choice: Choice) -> None:
    """What a worker process does: one page after the other, until there is none, or nobody who asks."""
    parent = os.getppid()
    worker = Worker(project)
    try:
        while os.getppid() == parent:
            try:
                name = waiting.get(timeout=CHECK)
            except queue.Empty:
                continue
            if name is None:
                break
            finished.put(worker.judge(name, choice))
    except KeyboardInterrupt:
        pass  # the process that asked says so
    finally:
        worker.close()

"""The workers of a run, and the pages that they are given."""

from __future__ import annotations

import multiprocessing
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path

from lies.worker import Choice, PageReport, Worker


def judged(project: Path, names: Sequence[str], workers: int, choice: Choice) -> Iterator[PageReport]:
    """The report of each page, as they come."""
    context = multiprocessing.get_context("spawn")
    left = list(reversed(names))
    # Pipes: a queue would leave its semaphores behind where all processes of the run are killed.
    ours: list[Connection] = []
    processes = []
    try:
        for number in range(min(workers, len(names))):
            here, there = context.Pipe()
            process = context.Process(target=work, args=(project, there, choice), name=f"lies-{number}")
            process.start()
            there.close()
            ours.append(here)
            processes.append(process)
            here.send(left.pop())
        for _ in names:
            yield _next(ours, left)
    finally:
        for connection in ours:
            connection.close()
        for process in processes:
            process.join(5)
            if process.is_alive():
                process.terminate()
                process.join()


def _next(ours: Sequence[Connection], left: list[str]) -> PageReport:
    """The next report; the worker that has sent it is given another page."""
    connection = wait(ours)[0]
    assert isinstance(connection, Connection)
    try:
        report: PageReport = connection.recv()
    except EOFError:
        sys.exit("a worker has ended before its work was done")
    if left:
        connection.send(left.pop())
    return report


def work(project: Path, connection: Connection, choice: Choice) -> None:
    """What a worker process does: one page after the other, for as long as somebody asks."""
    worker = Worker(project)
    try:
        # Nobody asks any more once the other end is closed, however the process that had it has ended.
        with suppress(EOFError, OSError, KeyboardInterrupt):
            while True:
                connection.send(_judge(worker, connection.recv(), choice))
    finally:
        worker.close()


def _judge(worker: Worker, name: str, choice: Choice) -> PageReport:
    try:
        return worker.judge(name, choice)
    except Exception as error:  # one page that cannot be judged keeps no other from it
        return PageReport(name, failure="".join(traceback.format_exception_only(error)).strip())

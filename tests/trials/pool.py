"""The workers of a run, each a process of its own, and what they are given to try."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, TypeVar

Job = TypeVar("Job")
Job_contra = TypeVar("Job_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)
Result = TypeVar("Result")


class WorkerError(Exception):
    """A worker ended, or could not do what it was asked; the text says why."""


class Worker(Protocol[Job_contra, Result_co]):
    """What does one job after another in a process of its own."""

    def judge(self, job: Job_contra) -> Result_co:
        """Do a job."""

    def close(self) -> None:
        """End what the worker has started."""


def results(make: Callable[[], Worker[Job, Result]], jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Result]]:
    """What the workers return for each job, as it comes.

    Arguments:
        make: makes a worker; it, the jobs and the results are pickled.
        jobs: the longest first, so that no worker waits for another at the end.
        workers: how many there are at most.

    Raises:
        WorkerError: a worker ended, or could not do what it was asked.
    """
    context = multiprocessing.get_context("spawn")
    left = list(reversed(jobs))
    # Pipes: a queue would leave its semaphores behind where all processes of the run are killed.
    doing: dict[Connection, Job] = {}
    processes = []
    try:
        for _ in range(min(workers, len(jobs))):
            here, there = context.Pipe()
            process = context.Process(target=work, args=(make, there))
            process.start()
            there.close()
            processes.append(process)
            doing[here] = left.pop()
            here.send(doing[here])
        while doing:
            connection = wait(list(doing))[0]
            assert isinstance(connection, Connection)
            job = doing.pop(connection)
            yield job, _received(connection)
            if left:
                doing[connection] = left.pop()
                connection.send(doing[connection])
            else:
                connection.close()
    finally:
        for connection in doing:
            connection.close()
        for process in processes:
            process.join(10)
            if process.is_alive():
                process.terminate()
                process.join()


def _received(connection: Connection) -> Any:
    try:
        result, error = connection.recv()
    except EOFError:
        raise WorkerError("a worker has ended before its work was done") from None
    if error:
        raise WorkerError(error)
    return result


def work(make: Callable[[], Worker[Any, Any]], connection: Connection) -> None:
    """What a worker process does: one job after the other, for as long as somebody asks."""
    worker = make()
    try:
        # Nobody asks any more once the other end is closed, however the process that had it has ended.
        with suppress(EOFError, OSError, KeyboardInterrupt):
            while True:
                connection.send(_done(worker, connection.recv()))
    finally:
        worker.close()


def _done(worker: Worker[Any, Any], job: Any) -> tuple[Any, str]:
    try:
        return worker.judge(job), ""
    except Exception:
        return None, f"{job}\n{traceback.format_exc()}"

"""The pool: processes that carry out plans, each job in a process of its own, so many at a time."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Protocol, TypeAlias

from lies.orphans import adopt_orphans, kill_descendants
from mutants.trial import Bench, Report

# Seconds beyond its block's limit after which a process that has not ended the block itself is killed.
GRACE = 6.0


class Job(Protocol):
    """Something to do in a process of its own."""

    @property
    def page(self) -> str: ...

    def make(self, bench: Bench, report: Report, /) -> Any:
        """Do it in this process, and return its result."""

    def killed(self, bench: Bench, block: int, /) -> Any:
        """The result where the process had to be killed in a block."""


Plan: TypeAlias = "Generator[Any, Any, None]"
"""Yields one job after the other, and is sent its result."""


class JobError(Exception):
    """A job failed for a reason of its own; the text is its traceback."""


@dataclass
class _Running:
    bench: Bench
    process: int
    plan: Plan
    job: Job
    pipe: Connection
    deadline: float
    block: int = 0
    again: bool = False


class Pool:
    """Processes that carry out jobs, as many at a time as there are benches.

    Args:
        benches: what the jobs are made with, each by one job at a time.
    """

    def __init__(self, benches: Sequence[Bench]) -> None:
        self._free = list(benches)
        self._running: list[_Running] = []

    def carry_out(self, plans: Iterable[Plan | None]) -> None:
        """Carry out plans to their ends: each yields one job after another and is sent its result.

        Args:
            plans: the plans; None where there is none until a job that runs has ended.
        """
        waiting = iter(plans)
        exhausted = False
        try:
            while not exhausted or self._running:
                while not exhausted and self._free:
                    try:
                        plan = next(waiting)
                    except StopIteration:
                        exhausted = True
                        break
                    if plan is None:
                        break
                    self._advance(plan, None)
                self._attend()
        finally:
            for running in self._running:
                _kill(running.process)
            self._running.clear()

    def _advance(self, plan: Plan, result: Any) -> None:
        with suppress(StopIteration):
            self._start(plan, plan.send(result))

    def _start(self, plan: Plan, job: Job, *, again: bool = False) -> None:
        bench = self._free.pop()
        reader, writer = Pipe(duplex=False)
        sys.stdout.flush()
        process = os.fork()
        if process == 0:
            _close_all_but(writer.fileno())
            _keep(lambda: job.make(bench, lambda block: writer.send((block, None, None))), writer)
        writer.close()
        self._running.append(_Running(bench, process, plan, job, reader, _deadline(bench, job, 0), again=again))

    def _attend(self) -> None:
        """Wait until a process says something, or has no time left."""
        if not self._running:
            return
        pause = max(0.0, min(running.deadline for running in self._running) - time.monotonic())
        ready = set(wait([running.pipe for running in self._running], pause))
        for running in list(self._running):
            if running.pipe in ready:
                self._hear(running)
            elif time.monotonic() > running.deadline:
                self._end(running, running.job.killed(running.bench, running.block))

    def _hear(self, running: _Running) -> None:
        try:
            block, result, error = running.pipe.recv()
        except EOFError:
            self._end(running, running.job.killed(running.bench, running.block))
            return
        if block is not None:
            running.block = block
            running.deadline = _deadline(running.bench, running.job, block)
        else:
            self._end(running, result, error)

    def _end(self, running: _Running, result: Any, error: str | None = None) -> None:
        self._running.remove(running)
        _kill(running.process)
        running.pipe.close()
        self._free.append(running.bench)
        if running.bench.mend():
            if error is not None:
                raise JobError(f"{running.job.page}: {error}")
            self._advance(running.plan, result)
        elif running.again:
            self._advance(running.plan, running.job.killed(running.bench, running.block))
        else:
            # Another job may have been the one that ended this one's server.
            self._start(running.plan, running.job, again=True)


def _deadline(bench: Bench, job: Job, block: int) -> float:
    return time.monotonic() + 2 * bench.limit(job.page, block) + GRACE


def _close_all_but(kept: int) -> None:
    """Close what this process has inherited besides its standard streams and one more file.

    The locks on the other benches' servers are among it: a job that hangs would keep them, and the end of such a server
    waits until nobody does.
    """
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))


def _keep(make: Callable[[], Any], writer: Connection) -> None:
    """Have a child of this process do a job, and end what it leaves behind where a changed program has killed it."""
    try:
        # What the processes have in common stays so: a garbage collector would write to all of it.
        gc.freeze()
        adopt_orphans()
        job = os.fork()
        if job == 0:
            _in_child(make, writer)
        writer.close()
        os.waitpid(job, 0)
        kill_descendants()
    finally:
        os._exit(0)


def _in_child(make: Callable[[], Any], writer: Connection) -> None:
    """Do a job in a process that was forked for it, tell its result, and end the process."""
    try:
        # A changed program may signal its whole group.
        os.setsid()
        adopt_orphans()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        try:
            result, error = make(), None
        except BaseException:
            result, error = None, traceback.format_exc()
        kill_descendants()
        writer.send((None, result, error))
    finally:
        os._exit(0)


def _kill(process: int) -> None:
    """End a process of the pool and all that it started."""
    # One that goes on while its descendants are killed starts the next, which would outlive it and keep its locks.
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGSTOP)
    kill_descendants(process)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(process, 0)

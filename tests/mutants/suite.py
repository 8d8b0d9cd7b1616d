"""The tests of a mutant, run in a process that is forked for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest


class Watcher:
    """A plugin of pytest's: the first test that fails, and the end of one that does not.

    Arguments:
        limits: the seconds that each test may take; then the process ends, by SIGALRM.
        most: the same of a test that is not named.
    """

    def __init__(self, limits: Mapping[str, float], most: float) -> None:
        self.limits, self.most = limits, most
        self.failed: str | None = None
        self.count = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.count += 1
        signal.setitimer(signal.ITIMER_REAL, self.limits.get(nodeid, self.most))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid


def run(directory: str, tests: list[str], limits: dict[str, float], most: float) -> dict[str, Any]:
    """Run tests, up to the first that fails.

    Arguments:
        directory: the checkout.
        tests: the tests, by their ids, or directories of them.
        limits: the seconds that each test may take.
        most: the same of a test that is not named.

    Returns:
        pytest's exit status, the test that failed, and how many ran.
    """
    os.chdir(directory)
    with open(os.devnull, "w") as nothing:  # noqa: PTH123 - its descriptor alone is used
        os.dup2(nothing.fileno(), 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, most)
    watcher = Watcher(limits, most)
    # Plain: what was loaded before the fork cannot be rewritten, and nobody reads why a test fails.
    options = ["-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "--rootdir", directory]
    status = pytest.ExitCode.INTERNAL_ERROR
    # At its end pytest raises what nobody has awaited, closed or caught.
    with suppress(Exception):
        status = pytest.ExitCode(pytest.main([*options, *tests], plugins=[watcher]))
    signal.setitimer(signal.ITIMER_REAL, 0)
    status = pytest.ExitCode.TESTS_FAILED if watcher.failed else status
    return {"status": int(status), "failed": watcher.failed, "count": watcher.count}

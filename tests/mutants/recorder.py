"""A plugin of pytest's for the recorded run: how long each test takes, which fail, and whose the processes are.

Coverage's contexts tell which test reaches a line, but not in the processes that a test starts. Those are told here by
the configuration that they inherit.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from coverage.config import CoverageConfig

PROCESS = "COVERAGE_PROCESS_CONFIG"
# Where the figures go; a name that the environment of a run lets through.
TESTS = "HANDBOOK_MUTANTS_TESTS"

_configuration: list[str] = []
_durations: defaultdict[str, float] = defaultdict(float)
_failed: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Measure what the test starts, and say that it is the test's."""
    if not _configuration:
        _configuration.append(os.environ.get(PROCESS, ""))
    if _configuration[0]:
        configuration = CoverageConfig.deserialize(_configuration[0])
        configuration.context = f"{item.nodeid}|run"
        os.environ[PROCESS] = configuration.serialize()
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    if not _configuration and PROCESS in os.environ:
        _configuration.append(os.environ[PROCESS])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _durations[report.nodeid] += report.duration
    if report.skipped or report.failed:
        _failed.add(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        passed = {name: round(seconds, 3) for name, seconds in _durations.items() if name not in _failed}
        Path(os.environ[TESTS]).write_text(json.dumps({"passed": passed, "others": sorted(_failed)}), encoding="utf-8")

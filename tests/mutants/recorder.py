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

# What says it to the processes of the test that runs.
_own: dict[str, str] = {}
_durations: defaultdict[str, float] = defaultdict(float)
_failed: set[str] = set()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say whose the processes are, before a fixture copies the environment."""
    if PROCESS in os.environ:
        configuration = CoverageConfig.deserialize(os.environ[PROCESS])
        configuration.context = f"{item.nodeid}|run"
        _own[PROCESS] = configuration.serialize()
    os.environ.update(_own)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Iterator[None]:
    """Measure what the test starts, also if a fixture has said that nobody should."""
    result = yield
    os.environ.update(_own)
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _durations[report.nodeid] += report.duration
    if report.skipped or report.failed:
        _failed.add(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        passed = {name: round(seconds, 3) for name, seconds in _durations.items() if name not in _failed}
        Path(os.environ[TESTS]).write_text(json.dumps({"passed": passed, "others": sorted(_failed)}), encoding="utf-8")

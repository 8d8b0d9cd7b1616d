"""The pytest plugin: pages become test files, blocks become test items, and the run becomes the proof."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handbook.block import Kind
from handbook.items import LENIENT_PROPERTY, PROOF_PROPERTY, UPDATE_PROPERTY, BlockItem, PageFile
from handbook.postgres import Postgres
from handbook.proof import PROBLEM, PROOF, Entries, read_proof, updated, write_json
from handbook.rendering import Renderer
from handbook.run import Status
from handbook.session import HANDBOOK, Handbook, default_workers, pages_of
from handbook.workshop import DOCS

# A caller may have closed a standard stream: the next file would take its place, and pytest fails without it.
for _stream in ("stdin", "stdout", "stderr"):
    if getattr(sys, _stream) is None:
        setattr(sys, _stream, open(os.devnull, "r+"))  # noqa: PTH123, SIM115 - for the process's whole life


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("handbook")
    group.addoption(
        "--update-docs", action="store_true", help="write what the handbook's blocks print into its expected output"
    )
    group.addoption(
        "--unproven", action="store_true", help="leave out pages that are as they were when they were proven"
    )
    group.addoption("--proof", type=Path, default=PROOF, help="the file that the proof is written to (%(default)s)")


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """With `-n auto`: the default of the handbook's programs.

    No more than there are pages, where only pages are asked for; and a single one needs no process beside this one.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    workers = default_workers()
    asked = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    docs = config.rootpath / DOCS
    if not all(path.is_relative_to(docs) for path in asked):
        return workers
    pages = [page for page in pages_of(config.rootpath).values() if any(page.is_relative_to(path) for path in asked)]
    return min(workers, len(pages)) if len(pages) > 1 else 0


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    handbook = config.stash[HANDBOOK] = Handbook(config)
    if hasattr(config, "workerinput"):
        return
    config.pluginmanager.register(Reporter(handbook), "handbook-reporter")
    if config.option.collectonly or config.option.help:
        return
    if not os.access(config.rootpath, os.W_OK):  # the proof is written there, and pytest's own cache
        message = f"You cannot write to {config.rootpath}, and the tests have to. Clone it to a directory of your own."
        pytest.exit(message, returncode=pytest.ExitCode.USAGE_ERROR)
    if config.option.color == "auto" and sys.stdout and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        config.option.color = "yes"  # decided by the caller's terminal, before the run has one of its own
    # From here on this process has the environment of the run, and its workers inherit it.
    scratch = handbook.server.scratch
    # What tests write is gone with the run, killed or not, and in memory where there is room.
    config.option.basetemp = config.option.basetemp or tempfile.mkdtemp(prefix="tests-", dir=scratch)
    if handbook.updating and config.getoption("numprocesses", None):
        # One process rewrites a page, once all of its blocks have run.
        config.option.dist = "loadfile"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is built is no test; a directory of pages may bear the same name."""
    return True if collection_path == config.rootpath / "build" else None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> PageFile | None:
    handbook = parent.config.stash[HANDBOOK]
    if handbook.owns(file_path) and file_path not in handbook.left_out:
        page: PageFile = PageFile.from_parent(parent, path=file_path, sybils=[])
        return page
    return None


def pytest_collection_finish(session: pytest.Session) -> None:
    pages = [item.path for item in session.items if isinstance(item, BlockItem)]
    session.config.stash[HANDBOOK].last_page = pages[-1] if pages else None


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if isinstance(item, BlockItem) and not (isinstance(nextitem, BlockItem) and nextitem.path == item.path):
        summary = item.config.stash[HANDBOOK].end_run(item.path)
        if summary is not None:
            item.user_properties.append((UPDATE_PROPERTY, summary))


class Reporter:
    """Gathers what became of the blocks, in the process that reports: with xdist, not the one that ran them."""

    def __init__(self, handbook: Handbook) -> None:
        self.handbook = handbook
        self.left_out = len(handbook.left_out)  # counted before this run has proven anything
        self.ran: dict[str, Entries] = {}
        self.lenient: list[str] = []
        self.updates: dict[str, str] = {}
        self.proof = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        page = report.nodeid.split("::")[0]
        for name, value in report.user_properties:
            if report.when == "call" and name == PROOF_PROPERTY:
                entries: Any = value
                ran = self.ran.setdefault(page.removeprefix(f"{DOCS}/"), {})
                ran.update({entry["id"]: entry for entry in entries})
            elif report.when == "call" and name == LENIENT_PROPERTY:
                self.lenient.append(str(value))
            elif report.when == "teardown" and name == UPDATE_PROPERTY:
                self.updates[page] = str(value)

    def pytest_sessionfinish(self) -> None:
        """Write the proof of what this session ran, unless it has asked for no page."""
        handbook = self.handbook
        if not self.ran or handbook.updating:
            return
        blocks = [entry for entries in self.ran.values() for entry in entries.values()]
        has_run = {Status.PASSED.value, Status.FAILED.value}
        is_run = any(entry["kind"] != PROBLEM and entry["status"] in has_run for entry in blocks)
        version = handbook.server.version if is_run else None
        path = handbook.project / handbook.config.getoption("proof")
        before = read_proof(path)
        proof = updated(handbook.project, before, self.ran, handbook.pages, handbook.page)
        write_json(path, {"postgresql": version or before.get("postgresql"), **proof})
        counts = Counter(entry["status"] for entry in blocks if entry["kind"] != Kind.OUTPUT.value)
        total = ", ".join(f"{counts[status.value]} {status.value}" for status in Status if counts[status.value])
        on = f" on PostgreSQL {version}" if version else ""
        self.proof = f"{total}{on}; proof in {os.path.relpath(path, handbook.project)}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for path, summary in sorted(self.updates.items()):
            terminalreporter.write_line(f"{path}: {summary}")
        if self.left_out:
            terminalreporter.write_line(f"handbook: {self.left_out} pages are as they were when they were proven")
        if self.proof:
            if self.lenient:
                places = ", ".join(sorted(self.lenient))
                terminalreporter.write_line(f"handbook: {len(self.lenient)} go on after an error: {places}")
            terminalreporter.write_line(f"handbook: {self.proof}")


def pytest_unconfigure(config: pytest.Config) -> None:
    if HANDBOOK in config.stash:
        config.stash[HANDBOOK].close()


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Postgres:
    """The run's PostgreSQL server."""
    return pytestconfig.stash[HANDBOOK].server


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """The address of a fresh, empty database."""
    name = postgres.create("empty")
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def migrated_url(postgres: Postgres) -> Iterator[str]:
    """The address of a fresh database with the checkout's migrations applied."""
    name = postgres.create("migrated")
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(scope="session")
def renderer(pytestconfig: pytest.Config) -> Renderer:
    """The renderer of the session's pages, which knows those that have been collected."""
    return pytestconfig.stash[HANDBOOK].renderer

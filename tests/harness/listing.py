"""A pytest plugin that lists what is collected from each page and what is reported for each of its items.

It writes one text a page into the directory that the variable LISTING names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from handbook.block import Block
from handbook.items import EXAMPLES, LENIENT_PROPERTY
from handbook.page import Page
from handbook.session import HANDBOOK

# What differs from run to run, and from one Python to the next.
OUTSIDE = r'File "(?!PROJECT/).*\n'
VARYING = (
    (re.compile(rf"(?m)(^ *){OUTSIDE}((?:\1 +.*\n)*\1{OUTSIDE})*(?:\1 +.*\n)*"), r"\1(frames outside the page)\n"),
    (re.compile(r"(?m)^ *[~^]+\n"), ""),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+00"), "TIME"),
    (re.compile(r"(PROJECT|/\S*)/scratch/pages/[\w-]+"), "WORKSPACE"),
    (re.compile(r" at 0x[0-9a-f]+"), " at 0x0"),
    (re.compile(r"handbook_[0-9a-f]{8}_[0-9a-f]{12}"), "DATABASE"),
)


class Listing:
    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.reports: dict[str, list[pytest.TestReport]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # The linters' findings are the subject of pages of their own.
        linters = report.nodeid.endswith(f"::{EXAMPLES}") and not report.nodeid.startswith(f"docs/{EXAMPLES}")
        if not linters and (report.when == "call" or report.outcome != "passed"):
            self.reports.setdefault(report.nodeid.split("::")[0], []).append(report)

    def pytest_sessionfinish(self) -> None:
        handbook = self.config.stash[HANDBOOK]
        for path, document in handbook.documents.items():
            reports = self.reports.get(path.relative_to(handbook.project).as_posix(), [])
            lines = [*collected(document.page), *(line for report in reports for line in reported(report))]
            text = "\n".join(lines).replace(str(handbook.project), "PROJECT")
            for pattern, name in VARYING:
                text = pattern.sub(name, text)
            target = Path(os.environ["LISTING"], path.relative_to(handbook.docs)).with_suffix(".txt")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text + "\n", encoding="utf-8")


def collected(page: Page) -> Iterator[str]:
    yield f"collected, database {page.database}:"
    for block in page:
        yield f"  {described(block)}"
    for problem in page.problems:
        yield f"  {problem.line}: problem: {problem.message}"


def described(block: Block) -> str:
    parts = [f"{block.line}-{block.fence.end_line}", block.kind.value, block.id or "(not tested)"]
    if block.fence.language != block.kind.value:
        parts.append(f"language={block.fence.language}")
    if block.fence.title is not None:
        parts.append(f"title={block.fence.title}")
    if block.setup:
        parts.append("hidden")
    if block.output is not None:
        parts.append(f"output={block.output.line}-{block.output.end_line}")
    if block.reason is not None:
        parts.append(f"reason={block.reason}")
    parts += [f"allowed={rule}" for rule in sorted(block.allowed)]
    return " ".join(parts)


def reported(report: pytest.TestReport) -> Iterator[str]:
    path, line, _ = report.location
    yield ""
    yield f"{report.outcome} {report.nodeid} at {path}:{(line or 0) + 1}"
    if isinstance(report.longrepr, tuple):
        skipped_at, skipped_line, reason = report.longrepr
        yield f"  {skipped_at}:{skipped_line}: {reason}"
    elif report.longrepr is not None:
        yield from (f"  {text}".rstrip() for text in str(report.longrepr).split("\n"))
    if any(name == LENIENT_PROPERTY for name, _ in report.user_properties):
        yield "  counted: it goes on after an error"
    for name, content in report.sections:
        yield f"  -- {name}"
        yield from (f"  {text}".rstrip() for text in content.rstrip("\n").split("\n"))


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Listing(config), "page-listing")

"""Runs of pytest inside tests: a small project of its own, which shares this checkout's harness and server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from handbook.workspace import free_port

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("Makefile", "mkdocs.yml", "pyproject.toml")
LINKED = (".venv", "backend", "requirements", "tests", "docs/website", "docs/theme")
# What would tie the inner run to the one it is started from, apart from the server, and what makes pytest tell more.
FOREIGN = ("PYTEST_", "HANDBOOK_PAGE", "CI", "BUILD_NUMBER")
SERVER = ("HANDBOOK_", "PLANTOPS_RUN")
PATIENCE = 60  # seconds for what another process has to do, on a machine with other work
# The commands that the harness tells a person to type start so.
COMMAND = ("-m", "pytest", "-p", "no:cacheprovider", "-o", "console_output_style=classic")


@dataclass
class Project:
    """A project with pages of its own.

    Args:
        directory: where it is made; it must not exist.
        own_server: whether its runs start a server, instead of sharing the one of the run that this is part of.
        copied: the directories that are copied, not linked, so that a test can change them.
    """

    directory: Path
    own_server: bool = False
    copied: Iterable[str] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.docs.mkdir(parents=True)
        for name in COPIED:
            shutil.copy2(ROOT / name, self.directory / name)
        for name in LINKED:
            if name in self.copied:
                shutil.copytree(ROOT / name, self.directory / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (self.directory / name).symlink_to((ROOT / name).resolve())
        foreign = FOREIGN + (SERVER if self.own_server else ())
        # Only a measurement of the harness wants to know what the inner runs do.
        foreign += () if "COVERAGE_RUN" in os.environ else ("COVERAGE",)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        if not self.own_server:
            # The server is shared; the pages' directories, which are named after the pages, are not.
            self.environment["HANDBOOK_SERVER_SCRATCH"] = str(self.directory / "scratch")

    @property
    def docs(self) -> Path:
        return self.directory / "docs"

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a page.

        Args:
            name: its path below docs.
            text: what it holds; line ends are written as they are.
        """
        path = self.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def become_a_site(self) -> None:
        """Let the project's pages be built: with this site's settings, but for its list of pages, and its assets."""
        settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
        settings = settings[: settings.index("nav:")] + settings[settings.index("theme:") :]
        (self.directory / "mkdocs.yml").write_text(settings, encoding="utf-8")
        shutil.copytree(ROOT / "docs" / "assets", self.docs / "assets")

    def build(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Build the project's site into build/site; what MkDocs prints is in `stdout`."""
        return self._python(("-m", "mkdocs", "--quiet", "build", *arguments), environment)

    def finish(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Complete or refuse the site in build/site, as `make site` does."""
        return self._python(("-m", "website", "build/site"), environment)

    def _python(self, command: Iterable[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if name not in ("SITE_URL", "EDIT_URI")}
        site = {"NO_MKDOCS_2_WARNING": "1", "SOURCE_DATE_EPOCH": "0", "PYTHONPATH": str(self.docs)}
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.directory,
            env={**inherited, **site, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def start(self, *arguments: str, preexec_fn: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        """Start pytest, with the pages as what it tests unless the arguments name something."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # As what a shell starts in the background inherits it, and would pass it on.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return subprocess.Popen(
            [sys.executable, *COMMAND, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=preexec_fn,  # noqa: PLW1509 - a test's, in a process of one thread
        )

    @contextmanager
    def served(self, report: Path) -> Iterator[str]:
        """Serve the project's site as `make serve` does, and yield its address; at the end the server ends well.

        Args:
            report: the file that gets what the server prints.
        """
        address = f"127.0.0.1:{free_port()}"
        with (
            report.open("w") as terminal,
            subprocess.Popen(
                [sys.executable, "-m", "commands.live", "--address", address],
                cwd=self.directory,
                env={**self.environment, "PYTHONPATH": "backend:tests:docs", "NO_MKDOCS_2_WARNING": "1"},
                stdout=terminal,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as server,
        ):
            try:
                yield f"http://{address}"
            finally:
                server.send_signal(signal.SIGINT)
                status = server.wait(PATIENCE)
        assert status == 0, report.read_text()

    def pytest(self, *arguments: str) -> Run:
        """Run pytest to its end; its last arguments name what it tests, `docs` for every page."""
        with self.start(*arguments) as process:
            output = process.communicate(timeout=300)[0]
        return Run(process.returncode, output)


def visit(address: str, condition: Callable[[str], bool]) -> str:
    """Ask an address until its answer meets a condition, and return that answer."""
    text = ""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:  # noqa: S310 - the address is a test's own
                text = answer.read().decode()
        except OSError:
            text = ""
        if condition(text):
            return text
        time.sleep(0.05)
    pytest.fail(f"{address} does not answer as it should within {PATIENCE} s: {text[-2000:]}")


@dataclass(frozen=True)
class Run:
    """How a run of pytest ended, and what it printed."""

    status: int
    output: str

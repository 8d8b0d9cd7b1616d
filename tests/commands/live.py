"""`make serve`: the site, and beside it a prover that runs the pages which have no proof, and those that are saved.

The site is there at once. The prover is a process of its own, so that neither the editor nor the site waits for it. It
keeps the modules and the PostgreSQL server warm and forks for each run: a page is proven in the time that its blocks
take. What they did is written to the proof, where the site's hook finds it and shows it to the open browser.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import pytest

from handbook import plugin, session  # noqa: F401 - loaded once here, for every run that is forked from this process
from handbook.postgres import serve
from handbook.proof import stale_pages
from handbook.workshop import DOCS
from website.digest import code_digest
from website.serve import OPENED

POLL = 0.1  # seconds between two looks at the files
PATIENCE = 10.0  # seconds that the site has to end
BATCH = 4  # pages that run together while nobody asks for one
SETTLE = 0.1  # seconds without a change after which a save is taken to be complete
# Modules that are loaded already cannot have their asserts rewritten; the harness has none to show.
OPTIONS = ("-q", "--no-header", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
SITE = (sys.executable, "-m", "mkdocs", "serve", "--quiet", "--dev-addr")


@dataclass
class Prover:
    """Runs pages in forked processes, one run at a time: those that somebody asks for before the others.

    Arguments:
        project: the checkout.
        waiting: the pages that are to run, in their order.
    """

    project: Path
    waiting: list[Path] = field(default_factory=list)
    _running: list[Path] = field(default_factory=list)
    _child: int | None = None

    def ask(self, pages: Iterable[Path]) -> None:
        """Run pages at once; those of an unfinished run come after them."""
        asked = list(pages)
        unfinished = self._running if self._child is not None else []
        self.stop()
        rest = [page for page in [*unfinished, *self.waiting] if page not in asked]
        self._start(asked)
        self.waiting = rest

    def poll(self, opened: Path | None) -> None:
        """Go on: with the page that is open in a browser, if it waits, or else with the next ones.

        Arguments:
            opened: the page that was last asked for in a browser.
        """
        if self._child is not None and os.waitpid(self._child, os.WNOHANG)[0]:
            self._child = None
        if opened in self.waiting:
            assert opened is not None
            self.ask([opened])
        elif self._child is None and self.waiting:
            following, self.waiting = self.waiting[:BATCH], self.waiting[BATCH:]
            self._start(following)

    def stop(self) -> None:
        """End a run; what its blocks have started ends with it."""
        if self._child is not None:
            os.kill(self._child, signal.SIGTERM)
            os.waitpid(self._child, 0)
            self._child = None

    def _start(self, pages: list[Path]) -> None:
        self._running = pages
        present = sorted(str(page.relative_to(self.project)) for page in pages if page.exists())
        if not present:
            return
        self._child = os.fork()
        if self._child == 0:
            # Whatever happens, the copy of this process must not go on as if it were this process.
            try:
                status = _prove(present)
            except KeyboardInterrupt:
                status = int(pytest.ExitCode.INTERRUPTED)
            except BaseException:
                traceback.print_exc()
                status = int(pytest.ExitCode.INTERNAL_ERROR)
            os._exit(status)


def _prove(pages: Sequence[str]) -> int:
    """Run pages in this process, and say in a line each what became of them: the whole report where one fails."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    report = io.StringIO()
    with contextlib.redirect_stdout(report):
        status = int(pytest.main([*OPTIONS, *pages]))
    if status == pytest.ExitCode.INTERRUPTED:
        return status
    lines = report.getvalue().rstrip().split("\n")
    say(f"{', '.join(pages)}: {lines[-1].strip('= ')}" if status == 0 else "\n".join(lines))
    return status


def watched(project: Path) -> Iterator[tuple[Path, int]]:
    """The pages of a checkout, each with the time of its last change in nanoseconds."""
    for page in session.pages_of(project).values():
        with contextlib.suppress(FileNotFoundError):
            yield page, page.stat().st_mtime_ns


def follow(project: Path, site: subprocess.Popen[bytes], prover: Prover) -> None:
    """Prove what is saved, for as long as the site is served."""
    before, code = dict(watched(project)), code_digest(project)
    looked = time.monotonic()
    while site.poll() is None:
        time.sleep(POLL)
        prover.poll(_opened(project))
        now = dict(watched(project))
        changed = {page for page, when in now.items() if before.get(page) != when}
        if changed:
            time.sleep(SETTLE)
            now = dict(watched(project))
            say(f"saved: {', '.join(sorted(str(page.relative_to(project)) for page in changed))}")
            prover.ask(changed)
        elif time.monotonic() - looked > 1:
            looked = time.monotonic()
            digest = code_digest(project)
            if digest != code:
                code = digest
                say("the code has changed: every page runs again")
                prover.ask([])
                prover.waiting = list(now)
        before = now


def _opened(project: Path) -> Path | None:
    """The page that a browser has asked the site for last."""
    with contextlib.suppress(OSError, ValueError):
        return project / DOCS / (project / OPENED).read_text(encoding="utf-8")
    return None


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, flush=True)  # noqa: T201 - this is a command


def _end(site: subprocess.Popen[bytes]) -> None:
    """End the site as Ctrl-C does, so that MkDocs removes what it has built."""
    site.send_signal(signal.SIGINT)
    try:
        site.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        site.kill()
        site.wait()


def main() -> int:
    """Serve the site until Ctrl-C, and prove what has no proof meanwhile."""
    parser = argparse.ArgumentParser(prog="make serve", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1:8000", help="host and port, default %(default)s")
    arguments = parser.parse_args()
    project = Path.cwd()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with serve():
        (project / OPENED).unlink(missing_ok=True)
        # In a session of its own: it is told once to end, by this process, and not by the terminal as well.
        environment = {**os.environ, "PYTHONPATH": str(project / DOCS), "NO_MKDOCS_2_WARNING": "1"}
        site = subprocess.Popen([*SITE, arguments.address], env=environment, start_new_session=True)
        say(f"The handbook is on http://{arguments.address} (Ctrl-C ends it)")
        prover = Prover(project, stale_pages(project, session.pages_of(project)))
        if prover.waiting:
            say(f"{len(prover.waiting)} pages have no proof of their present text; their blocks run, open pages first.")
        try:
            follow(project, site, prover)
        except KeyboardInterrupt:
            say("")
        finally:
            prover.stop()
            _end(site)
    return 0


if __name__ == "__main__":
    sys.exit(main())

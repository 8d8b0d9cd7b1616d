"""`make serve`: the site, and beside it a prover that runs a page's blocks again whenever the page is saved.

The prover is a process of its own, so that neither the editor nor the site waits for it. It keeps the modules and the
PostgreSQL server warm and forks for each run: a page is proven in the time that its blocks take. What they did is
written to the proof, where the site's hook finds it and shows it to the open browser.
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
from website.digest import code_digest

POLL = 0.1  # seconds between two looks at the files
PATIENCE = 10.0  # seconds that the site has to end
SETTLE = 0.1  # seconds without a change after which a save is taken to be complete
# Modules that are loaded already cannot have their asserts rewritten; the harness has none to show.
OPTIONS = ("-q", "--no-header", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
SITE = (sys.executable, "-m", "mkdocs", "serve", "--quiet", "--dev-addr")


@dataclass
class Prover:
    """Runs pages in forked processes, one run at a time; a page that is saved again meanwhile starts over.

    Args:
        project: the checkout.
    """

    project: Path
    child: int | None = None
    pages: set[Path] = field(default_factory=set)

    def start(self, pages: Iterable[Path]) -> None:
        """Run pages, those of an unfinished run included."""
        self.pages |= set(pages)
        self.stop()
        present = sorted(str(page.relative_to(self.project)) for page in self.pages if page.exists())
        if not present:
            return
        self.child = os.fork()
        if self.child == 0:
            # Whatever happens, the copy of this process must not go on as if it were this process.
            try:
                status = _prove(present)
            except KeyboardInterrupt:
                status = int(pytest.ExitCode.INTERRUPTED)
            except BaseException:
                traceback.print_exc()
                status = int(pytest.ExitCode.INTERNAL_ERROR)
            os._exit(status)

    def poll(self) -> None:
        """Note that a run has ended."""
        if self.child is not None and os.waitpid(self.child, os.WNOHANG)[0]:
            self.child = None
            self.pages.clear()

    def stop(self) -> None:
        """End a run; what its blocks have started ends with it."""
        if self.child is not None:
            os.kill(self.child, signal.SIGTERM)
            os.waitpid(self.child, 0)
            self.child = None


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
        prover.poll()
        now = dict(watched(project))
        changed = {page for page, when in now.items() if before.get(page) != when}
        if changed:
            time.sleep(SETTLE)
            now = dict(watched(project))
            say(f"saved: {', '.join(sorted(str(page.relative_to(project)) for page in changed))}")
            prover.start(changed)
        elif time.monotonic() - looked > 1:
            looked = time.monotonic()
            digest = code_digest(project)
            if digest != code:
                code = digest
                say("the code has changed: every page runs again")
                prover.start(now)
        before = now


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
    """Prove what has no proof, then serve the site until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make serve", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1:8000", help="host and port, default %(default)s")
    arguments = parser.parse_args()
    project = Path.cwd()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with serve():
        prover = Prover(project)
        stale = [str(page) for page in stale_pages(project, session.pages_of(project))]
        if stale:
            say(f"{len(stale)} pages have no proof of their present text, so their blocks run first.")
            subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "loadfile", *stale], check=False
            )
        # In a session of its own: it is told once to end, by this process, and not by the terminal as well.
        site = subprocess.Popen([*SITE, arguments.address], start_new_session=True)
        say(f"The handbook is on http://{arguments.address} (Ctrl-C ends it)")
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

"""The environment of a run: what a test, a page or a tool starts gets this one, whatever its caller has set."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# The same on every machine: language, clock, terminal. No LC_*, and no locale that bash would miss.
FIXED = {
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "TERM": "dumb",
    "COLUMNS": "80",
    "LINES": "24",
    "PAGER": "cat",
    "PSQLRC": os.devnull,
    "PYTHONUNBUFFERED": "1",
}
# What measures coverage in the processes that are started.
MEASUREMENT = ("COVERAGE", "COV_")
# Only the run itself is told: what its caller may ask of it, and by what its processes find one another.
TOLD = {"TEST_DATABASE_URL", "UPDATE_CORPUS", "LISTING", "CHROMIUM", "SITE", "CI"}
TOLD_PREFIXES = ("HANDBOOK_", "PLANTOPS_RUN", "PYTEST_")
# How this machine reaches a package index, for the tests that set up an environment.
NETWORK = {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PIP_CERT", "PIP_CONFIG_FILE", "PIP_PROXY"}
NETWORK |= {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST"}
NETWORK |= {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"}


def of_block(run: Mapping[str, str], home: Path, *programs: Path) -> dict[str, str]:
    """The environment of a block of a page, before it is told of the page's database.

    Arguments:
        run: the environment of the run.
        home: the directory that is HOME.
        programs: directories that come first on PATH.
    """
    measurement = {name: value for name, value in run.items() if name.startswith(MEASUREMENT)}
    path = [*map(str, programs), *run.get("PATH", os.defpath).split(os.pathsep)]
    return {
        **measurement,
        **FIXED,
        "HOME": str(home),
        "TMPDIR": tempfile.gettempdir(),
        "PATH": os.pathsep.join(dict.fromkeys(path)),
    }


def of_run(caller: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """The environment of a run, whose files are all below one directory.

    Arguments:
        caller: the environment that the allowed names are taken from.
        scratch: the directory; HOME and TMPDIR are made there.
    """
    home, temporary = scratch / "home", scratch / "tmp"
    for directory in (scratch, home, temporary):
        directory.mkdir(parents=True, exist_ok=True)
        # Another account, which root's server runs under, passes through to what a test makes there for it.
        directory.chmod(0o711)
    told = {name: value for name, value in caller.items() if name in TOLD | NETWORK or name.startswith(TOLD_PREFIXES)}
    return {**told, **of_block(caller, home, Path(sys.prefix, "bin")), "TMPDIR": str(temporary)}


@contextmanager
def entered(scratch: Path) -> Iterator[None]:
    """Give this process, and what it starts from now on, the environment of a run.

    That is the variables, the umask, and what is done with signals: a script's background, for instance, ignores
    SIGINT, and so would everything that is started there.

    Arguments:
        scratch: the directory for everything that the run writes.
    """
    before, umask = dict(os.environ), os.umask(0o022)
    _replace(of_run(before, scratch))
    if threading.current_thread() is threading.main_thread():
        _reset_signals()
    try:
        yield
    finally:
        os.umask(umask)
        _replace(before)


def _replace(environment: Mapping[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    tempfile.tempdir = None  # asked for anew
    time.tzset()


def _reset_signals() -> None:
    """Let what this process starts have the usual dispositions; itself it goes on ignoring what it has ignored."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            # A handler, unlike SIG_IGN, does not outlive exec.
            signal.signal(number, _ignore)


def _ignore(*_: object) -> None:
    pass

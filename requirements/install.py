"""Make the project's virtual environment from the lock file; ``install.sh`` says when. Or add to the one that is made.

``--add NAME`` installs ``NAME.txt``, what only one command needs, into the environment whose Python runs this.

The environment's directory is locked while it is made, so that a second ``make`` waits for the first. The stamp is
written last and removed first: an environment without one was interrupted, and is made again from nothing.
"""

import argparse
import fcntl
import hashlib
import math
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILES = Path(__file__).resolve().parent
# Python isolated from the directory of its script imports nothing from there.
CURRENT = runpy.run_path(str(LOCK_FILES / "current.py"))
LOCK_FILE = Path(CURRENT["LOCK_FILE"])
STAMP: str = CURRENT["STAMP"]
UNFINISHED = "unfinished\n"
SECONDS_BETWEEN_REPORTS = 10.0
# A lock file is complete, so nothing is resolved: pip's resolver takes the newest package for an extra that is not
# named in it. Wheels only, because building from source runs code that no hash vouches for.
AS_LOCKED = ("--no-deps", "--require-hashes", "--only-binary=:all:")
# Of a user's settings for pip those that say how packages are got are heeded. The others (PIP_USER, PIP_TARGET,
# PIP_CONSTRAINT, PIP_NO_BINARY ...) are meant for other environments.
HEEDED = re.compile(
    r"PIP_(INDEX_URL|EXTRA_INDEX_URL|NO_INDEX|FIND_LINKS|TRUSTED_HOST|PROXY|CERT|CLIENT_CERT|KEYRING_PROVIDER|"
    r"CONFIG_FILE|CACHE_DIR|NO_CACHE_DIR|(DEFAULT_)?TIMEOUT|RETRIES|USE_FEATURE|USE_DEPRECATED)"
)
PIP_PROGRESS = (
    "Collecting ",
    "Processing ",
    "Downloading ",
    "Using cached ",
    "Ignoring ",
    "Installing collected ",
    "Looking in ",
)
PIP_ADVICE = """
Set-up stopped: pip could not install the packages; its own lines are above.
  Without a network, or behind a proxy: see that pip can reach its package index (HTTPS_PROXY, PIP_INDEX_URL, pip.conf).
  "No matching distribution": this Python may be too new for a package; try make PYTHON=python3.12
  "THESE PACKAGES DO NOT MATCH THE HASHES": the index gave another file than the locked one; do not use it.
  "No space left on device": about 400 MB are needed.
  Then run make again.
"""


def has_been_made(venv: Path) -> bool:
    """Return whether the environment is current when its own Python is asked, which may not even start."""
    command = [str(venv / "bin" / "python"), "-ISB", str(LOCK_FILES / "current.py"), str(venv), sys.version]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, which the kernel gives back however this process ends."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another make, which is setting up the same environment.", flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def empty(venv: Path) -> None:
    """Delete everything in the environment's directory but an unfinished stamp, and nothing in any other directory."""
    entries = {entry.name: entry for entry in venv.iterdir()}
    if entries and not {"pyvenv.cfg", STAMP} & entries.keys():
        sys.exit(
            f"\nSet-up stopped: {venv} holds other things than a virtual environment.\n"
            "  Move it away, or name another: make VENV=…"
        )
    (venv / STAMP).write_text(UNFINISHED)
    entries.pop(STAMP, None)
    for entry in entries.values():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def install(python: Path, lock_file: Path) -> None:
    """Install what a lock file lists with ``python``; show where pip has got to, and its lines if it fails."""
    pip = [str(python), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PIP_") or HEEDED.fullmatch(name)
    }
    total = len(re.findall(r"^[\w.-]+==", lock_file.read_text(), re.MULTILINE))
    count = 0
    told = time.monotonic()
    lines = []
    with subprocess.Popen(
        [*pip, "install", "--progress-bar=off", *AS_LOCKED, "--requirement", str(lock_file)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as installation:
        for line in installation.stdout or ():
            total -= line.startswith("Ignoring ")
            count += line.startswith(("Collecting ", "Processing "))
            if not line.lstrip().startswith(PIP_PROGRESS):
                lines.append(line)
            if line.startswith("Installing collected "):
                print(f"  {count} packages are here; unpacking them", flush=True)
                told = math.inf
            elif time.monotonic() - told > SECONDS_BETWEEN_REPORTS:
                told = time.monotonic()
                print(f"  {count} of {total} packages", flush=True)
    if installation.returncode != 0:
        sys.exit("".join(lines) + PIP_ADVICE)
    checked = subprocess.run([*pip, "check"], env=environment, capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        sys.exit(
            f"{checked.stdout}{checked.stderr}\nSet-up stopped: the packages of requirements/{lock_file.name} do not"
            " fit each other; the lines above say which.\n  Run make lock, and commit what it writes."
        )


def make(venv: Path) -> None:
    """Make the environment from nothing and stamp it."""
    started = time.monotonic()
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"Setting up {venv} with Python {version} (once; about half a minute and an 80 MB download):", flush=True)
    empty(venv)
    # The interpreter behind an environment that is switched on, which may be the very one that has just been emptied.
    base = getattr(sys, "_base_executable", sys.executable)
    print("  an empty environment", flush=True)
    created = subprocess.run(
        [base, "-I", "-m", "venv", venv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if created.returncode != 0:
        sys.stderr.write(
            f"{created.stdout}\nSet-up stopped: Python's venv module failed; its own lines are above.\n"
            "  On Debian and Ubuntu:  apt install python3-venv  and run make again.\n"
        )
        sys.exit(1)
    print("  the packages of requirements/dev.txt", flush=True)
    install(venv / "bin" / "python", LOCK_FILE)
    # A site's generator imports the handbook's own extensions, however it is started.
    for packages in venv.glob("lib/python*/site-packages"):
        (packages / "website.pth").write_text(f"{LOCK_FILES.parent / 'docs'}\n", encoding="utf-8")
    # Compiled here once, and not by each of the first processes that import them; what cannot be is theirs to tell.
    modules = [LOCK_FILES.parent / name for name in ("backend", "tests", "docs/website")]
    subprocess.run([venv / "bin" / "python", "-I", "-m", "compileall", "-qq", *modules], check=False)
    write_stamp(venv / STAMP, CURRENT["stamp_text"](str(venv)))
    print(f"  ready after {time.monotonic() - started:.0f} s", flush=True)


def write_stamp(stamp: Path, text: str) -> None:
    """Write a stamp, whole or not at all."""
    temporary = stamp.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(stamp)


def add(venv: Path, name: str) -> None:
    """Install what the lock file ``name`` lists into a finished environment, unless its stamp there says so already."""
    lock_file = LOCK_FILES / f"{name}.txt"
    # A new environment has no such stamp: `empty` deletes it with the rest.
    stamp = venv / f"{STAMP}-{name}"
    text = hashlib.sha256(lock_file.read_bytes()).hexdigest() + "\n"
    with locked(venv):
        if not stamp.is_file() or stamp.read_text() != text:
            print(f"Adding the packages of requirements/{name}.txt to {venv} (once):", flush=True)
            install(venv / "bin" / "python", lock_file)
            write_stamp(stamp, text)


def main() -> int:
    """Return 0 where the environment is, or now is, current."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--add", metavar="NAME", help="add the packages of NAME.txt to a finished environment")
    parser.add_argument("venv", type=Path)
    arguments = parser.parse_args()
    venv: Path = arguments.venv
    if arguments.add is not None:
        add(venv, arguments.add)
        return 0
    venv.mkdir(parents=True, exist_ok=True)
    with locked(venv):
        # Another make may have made it while this one waited.
        if not has_been_made(venv):
            make(venv)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nSet-up was interrupted; the next make begins it again.")
    except OSError as error:
        sys.exit(f"\nSet-up stopped: {error.strerror}: {error.filename}\n  To set up elsewhere: make VENV=/path/to/it")

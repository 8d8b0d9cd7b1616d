"""A page is tested in the same environment, whatever its caller's is."""

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import pytest

from handbook.postgres import Postgres
from harness.project import COMMAND, Project

PAGE = """# Page

```python
import os, signal, subprocess, tempfile

fixed = ("LANG", "TZ", "TERM", "COLUMNS", "PAGER")
print(*(os.environ[name] for name in fixed))
ours = ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PYTHONUNBUFFERED")
foreign = ("GIT_", "LC_", "LANGUAGE", "PG", "PYTHON", "PIP_", "PSQL_")
print([name for name in os.environ if name.startswith(foreign) and name not in ours])
print(os.environ["HOME"] == os.getcwd(), tempfile.gettempdir() == os.environ["TMPDIR"])
print(subprocess.run(["psql", "--version"], capture_output=True).returncode)
print(oct(os.umask(0o022)), signal.getsignal(signal.SIGINT) == signal.SIG_IGN)
```

```text title="Output"
C.UTF-8 UTC dumb 80 cat
[]
True True
0
0o22 False
```

```console
$ echo $LANG $TZ $TERM $COLUMNS $PAGER
C.UTF-8 UTC dumb 80 cat
$ env | grep -E '^(GIT_|LC_|LANGUAGE|PIP_|PGSSL|PGSERVICE|PGTZ|PGTARGET|PYTHONSAFE)'
$ echo $?
1
$ umask
0022
$ (kill -INT $BASHPID; echo ignored)
$ echo $?
130
$ bash -c 'trap; echo ignores no other'
ignores no other
$ locale 2>&1 | grep -c Cannot
0
$ echo $?
1
```

```sql
SHOW timezone;
```

```text title="Output"
 TimeZone
----------
 UTC
(1 row)
```
"""
SURROUNDINGS = {
    "terminal": "export COLUMNS=45 LINES=5 TERM=xterm-256color PAGER=less PSQL_PAGER=less",
    "language": "export LANG=de_DE.UTF-8 LANGUAGE=de LC_ALL=xx_XX.UTF-8 LC_NUMERIC=de_DE.UTF-8 TZ=Asia/Tokyo",
    "postgresql": "export PGSSLMODE=verify-full PGTARGETSESSIONATTRS=read-only PGSERVICE=none PGTZ=Asia/Tokyo",
    "python": "export PYTHONSAFEPATH=1 PYTHONWARNINGS=ignore PIP_REQUIRE_VIRTUALENV=1 PIP_INDEX_URL=http://none.invalid",
    "git": "export GIT_DIR=/none GIT_INDEX_FILE=/none GIT_WORK_TREE=/none GIT_AUTHOR_NAME=none",
    "background": "trap '' INT QUIT",
    "no standard input": "exec <&-",
    "no standard output": "exec >&-",
    "no standard error": "exec 2>&-",
    "no standard streams": "exec <&- >&- 2>&-",
    "umask 000": "umask 000",
    "umask 077": "umask 077",
    "no home": "unset HOME",
    "temporary": 'mkdir "a b"; export TMPDIR="$PWD/a b"',
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_a_page_has_its_own_environment(surroundings: str, tmp_path: Path, postgres: Postgres) -> None:
    assert postgres.run
    project = Project(tmp_path / "project")
    project.write("page.md", PAGE)
    told = subprocess.run(
        [
            "sh",
            "-c",
            f'{surroundings}; exec "$@"',
            "sh",
            sys.executable,
            *COMMAND,
            "--deselect=docs/page.md::examples",
            "docs",
        ],
        cwd=project.directory,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    proof = json.loads((project.directory / "build" / "proof.json").read_text())
    assert {entry["status"] for entry in proof["pages"]["page.md"]} == {"passed"}


def test_a_project_that_cannot_be_written_to_is_refused_in_a_sentence(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.write("page.md", PAGE)
    project.directory.chmod(0o555)
    with project.start("docs", preexec_fn=_obey_modes) as process:
        output = process.communicate(timeout=60)[0]
    project.directory.chmod(0o755)
    assert process.returncode == pytest.ExitCode.USAGE_ERROR
    sentence = f"You cannot write to {project.directory}, and the tests have to. Clone it to a directory of your own."
    assert output.strip() == f"Exit: {sentence}"


def _obey_modes() -> None:
    """Let root be refused what a file's mode forbids: drop CAP_DAC_OVERRIDE from what a program can have."""
    ctypes.CDLL(None).prctl(24, 1)

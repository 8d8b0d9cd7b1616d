"""Lies: which there are about a text, and that each is judged as the page itself would."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from handbook.reading import read
from handbook.rendering import Renderer
from harness.project import ROOT, Project
from lies import code, commands, data, outputs, sql
from lies.kinds import lies_of
from lies.lie import Edit, altered

# Each line ends with what becomes of the lies about it: every one is caught, or the ones that are named survive.
PAGE = """
# Ferns

```sql
INSERT INTO plants (id, name, species) VALUES ('fern-1', 'Boston fern', 'Nephrolepis');
SELECT id, name FROM plants WHERE id <> 'basil';
```

```text title="Output"
INSERT 0 1
...
 fern-1 | Boston fern
(1 row)
```

```python title="garden/rules.py"
LEAST = 2
MOST = 4
```

```console
$ sleep 0.2
$ cd garden
$ ls
rules.py
```

```pycon
>>> import runpy
>>> runpy.run_path("garden/rules.py")["LEAST"]
2
```

```pycon
>>> 1 / 0
Traceback (most recent call last):
  ...
ZeroDivisionError: division by zero
```
"""


@pytest.mark.parametrize(
    ("word", "lie"),
    [
        ("plants", "plantx"),
        ("x", "y"),
        ("1", "2"),
        ("009", "010"),
        ("0.2", "1.2"),
        ("200ms", "200000ms"),
        ("1.0.0", "2.0.0"),
        ("fern-1", "fern-2"),
        ("fern-12", "fern-11"),
        ("docs/", "docx/"),
        ("--", "--"),
        ("", ""),
    ],
)
def test_a_word_is_altered_as_little_as_can_be(word: str, lie: str) -> None:
    assert altered(word) == lie


def told(text: str, edits: list[Edit], *kinds: str) -> list[str]:
    """The texts that edits make of a text."""
    return [text[: edit.start] + edit.new + text[edit.end :] for edit in edits if not kinds or edit.kind in kinds]


def test_sql_loses_statements_clauses_types_and_words() -> None:
    text = "CREATE TABLE rooms (name text NOT NULL DEFAULT 'hall' -- where\n);\nSELECT 7, name::text FROM rooms;"
    edits = list(sql.edits(text))
    assert told(text, edits, "SQL statement") == [
        text.split(";\n")[1].join(["\n", ""]),
        text[: text.index("\nSELECT")] + "\n",
    ]
    assert told(text, edits, "clause") == [text.replace(" NOT NULL", ""), text.replace(" DEFAULT 'hall'", "")]
    assert told(text, edits, "type") == [text.replace("name text", "name varchar")]
    assert told(text, edits, "string") == [text.replace("hall", "halx")]
    assert told(text, edits, "number") == [text.replace("7", "8")]
    assert len(told(text, edits, "name")) == 4
    assert not list(sql.edits("-- only a comment"))
    for statement in ("SELECT pg_sleep(2)", "SELECT pg_terminate_backend(pid, 1000)", "SELECT 1"):
        assert not told(statement, list(sql.edits(statement)), "number")


def test_sql_is_altered_inside_a_body_and_a_quoted_statement() -> None:
    text = "DO $$ BEGIN EXECUTE 'DROP TABLE rooms'; END $$"
    assert told(text, list(sql.edits(text))) == [text.replace("rooms", "roomx")]


def test_python_loses_statements_and_literals() -> None:
    text = (
        '"""A module."""\n\nimport time\n\n\ndef water(days=3):\n    """Water."""\n    time.sleep(1)\n    return True\n'
    )
    edits = list(code.edits(text))
    assert told(text, edits, "statement") == [
        text.replace("import time\n", ""),
        text[: text.index("def")],
        text.replace("    return True\n", ""),
    ]
    assert told(text, edits, "number") == [text.replace("3", "4")]
    assert told(text, edits, "value") == [text.replace("True", "False")]
    assert told(text, edits, "string") == []
    assert list(code.edits("no python")) == []


def test_python_loses_words_of_its_strings() -> None:
    text = 'await conn.execute("DELETE FROM plants")\nprint(f"{count:2} plants")\n'
    assert told(text, list(code.literals(text))) == [
        text.replace("FROM plants", "FROM plantx"),
        text.replace("} plants", "} plantx"),
    ]


def test_a_long_string_loses_each_of_its_words() -> None:
    text = 'print("Water the fern\\n", f"twice in {days:2} days")\n'
    assert told(text, list(code.literals(text))) == [
        text.replace("Water", "Watex"),
        text.replace("the", "thx"),
        text.replace("fern", "ferx"),
        text.replace("twice", "twicx"),
        text.replace("in {", "ix {"),
        text.replace(' days"', ' dayx"'),
    ]
    assert told("SELECT 'two words'", list(sql.edits("SELECT 'two words'"))) == [
        "SELECT 'twx words'",
        "SELECT 'two wordx'",
    ]


def test_a_statement_that_stands_alone_is_passed() -> None:
    text = "if plants:\n    water()\n"
    assert told(text, list(code.edits(text))) == ["", "if plants:\n    pass\n"]


@pytest.mark.parametrize(
    ("text", "lies"),
    [
        ("sleep 1", ["sleex 1"]),
        (
            'run --say="two words"',
            ['rux --say="two words"', 'run --sax="two words"', 'run --say="twx words"', 'run --say="two wordx"', "run"],
        ),
        ("make status", ["makx status", "make statux"]),
        ("ls -l docs", ["lx -l docs", "ls -x docs", "ls docs", "ls -l docx"]),
        ("LIMIT=5s run", ["LIMIx=5s run", "LIMIT=5000s run", "LIMIT=5s rux"]),
        ("echo $?", ["echx $?"]),
        ("run -o /dev/null", ["rux -o /dev/null", "run -x /dev/null", "run /dev/null"]),
        ("psql -c 'SELECT 7'", ["psqx -c 'SELECT 7'", "psql -x 'SELECT 7'", "psql 'SELECT 7'", "psql -c 'SELECT 8'"]),
        ('echo "two words" # why', ['echx "two words" # why', 'echo "twx words" # why', 'echo "two wordx" # why']),
    ],
)
def test_a_command_loses_words_and_options(text: str, lies: list[str]) -> None:
    assert told(text, list(commands.edits(text))) == lies


def test_data_loses_lines_and_words() -> None:
    text = "[garden]\n# beds\nplants = 12"
    assert told(text, list(data.edits(text))) == [
        "# beds\nplants = 12",
        text.replace("garden", "gardex"),
        "[garden]\n# beds",
        text.replace("12", "13"),
    ]


def test_output_loses_lines_and_words_and_has_one_line_more() -> None:
    text = "one\n\ntook ... ms\n----"
    lies = told(text, list(outputs.edits(text)))
    assert lies[:3] == [
        text.replace("one", "onx"),
        text.split("\n", 1)[1],
        text.replace("one", f"one\n{outputs.EXTRA}"),
    ]
    assert text.replace("took", "toox") in lies
    assert text.replace("ms", "mx") in lies
    assert text + "+" in lies
    assert text.removesuffix("\n----") in lies
    assert len(lies) == 3 + 4 + 3


def test_a_line_beside_dots_is_not_dropped() -> None:
    text = "one\n...\ntwo\nthree"
    dropped = [edit for edit in outputs.edits(text) if edit.kind == "output line"]
    assert told(text, dropped) == ["one\n...\ntwo"]


def lies(page: str) -> list[str]:
    return [lie.key for lie in lies_of("ferns.md", read(page, Renderer(ROOT / "mkdocs.yml")))]


def test_a_lie_is_named_by_its_page_block_and_text() -> None:
    keys = lies(PAGE)
    assert "ferns.md::ferns.2 path: - garden/rules.py | + garden/rulex.py" in keys
    assert "ferns.md::ferns.2 statement: - MOST = 4" in keys
    assert "ferns.md::ferns.3 statement: - $ cd garden | + $ :" in keys
    assert "ferns.md::ferns.4 output word: - 2 | + 3" in keys
    assert keys == lies(PAGE.replace("# Ferns\n", "# Ferns\n\nA line more.\n"))


def test_what_the_reader_does_not_see_run_is_not_lied_about() -> None:
    assert lies("<!-- not run: slow -->\n```sql\nSELECT 1;\n```\n\n```text\nshown\n```\n") == []
    assert lies("# A\n\n<!-- invisible-code-block: python\nleaves = 3\n-->\n\n```bash\ntrue\n```\n") != []


def test_nor_what_a_page_within_a_page_does_not_run() -> None:
    hidden = "<!-- invisible-code-block: python\nleaves = 3\n-->\n"
    skipped = "<!-- not run: slow -->\n```sql\nSELECT 1;\n```\n"
    inner = f"{hidden}\n{skipped}\n```sql\nSELECT 2;\n```\n"
    told = "".join(lies(f'````markdown title="docs/basil.md"\n{inner}````\n'))
    assert "SELECT 2" in told
    assert "SELECT 1" not in told
    assert "leaves" not in told


ENDLESS = """\
# Ferns

```python
import subprocess

process = subprocess.Popen(["sleep", "4711.5"], env={}, start_new_session=True)
process.kill()
print(process.wait())
```

```text title="Output"
-9
```
"""


@dataclass(frozen=True)
class Told:
    """A run of `make lies`: its status, what it printed, and its report."""

    status: int
    output: str
    report: dict[str, Any]

    @property
    def fates(self) -> dict[str, str]:
        return {verdict["key"]: verdict["fate"] for verdict in self.report["pages"]["ferns.md"]["verdicts"]}


def tell(project: Project, *arguments: str) -> Told:
    environment = {**project.environment, "PYTHONPATH": "backend:tests:docs"}
    command = [sys.executable, "-m", "lies", "docs/ferns.md", "--workers", "1", *arguments]
    done = subprocess.run(command, cwd=project.directory, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    report = json.loads((project.directory / "build" / "lies.json").read_text())
    return Told(done.returncode, done.stdout, report)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("lies") / "project", own_server=True)
    made.write("ferns.md", PAGE)
    return made


@pytest.fixture(scope="module")
def compared(project: Project) -> Told:
    return tell(project)


@pytest.mark.slow
def test_a_lie_that_no_block_notices_survives(compared: Told) -> None:
    survived = [key for key, fate in compared.fates.items() if fate == "survived"]
    assert survived == [
        next(key for key in compared.fates if "basix" in key),
        "ferns.md::ferns.2 statement: - MOST = 4",
        "ferns.md::ferns.2 number: - MOST = 4 | + MOST = 5",
        "ferns.md::ferns.5 number: - >>> 1 / 0 | + >>> 2 / 0",
    ]
    assert compared.status == 1
    assert "docs/ferns.md:18: number\n      - MOST = 4\n      + MOST = 5\n" in compared.output


@pytest.mark.slow
def test_a_sample_may_hold_another_value(compared: Told) -> None:
    free = [key for key, fate in compared.fates.items() if fate == "of no effect on a sample"]
    assert free == [next(key for key in compared.fates if "Nephrolepix" in key)]


@pytest.mark.slow
def test_dots_are_counted(compared: Told) -> None:
    assert compared.report["pages"]["ferns.md"]["dots"] == {"within lines": 1, "for lines": 1}


@pytest.mark.slow
def test_a_lie_is_caught_at_the_block_that_shows_it(compared: Told) -> None:
    verdicts = {verdict["key"]: verdict for verdict in compared.report["pages"]["ferns.md"]["verdicts"]}
    moved = verdicts["ferns.md::ferns.2 path: - garden/rules.py | + garden/rulex.py"]
    assert moved["fate"] == "caught by a block"
    assert moved["failed"] == 25


@pytest.mark.slow
def test_comparing_an_output_agrees_with_running_its_page(project: Project, compared: Told) -> None:
    run = tell(project, "--run-output")
    assert run.fates.keys() == compared.fates.keys()
    noticed = {key: fate.startswith("caught") for key, fate in compared.fates.items()}
    assert {key: fate.startswith("caught") for key, fate in run.fates.items()} == noticed


@pytest.mark.slow
def test_a_page_that_fails_is_not_lied_about(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", own_server=True)
    project.write("ferns.md", "# Ferns\n\n```pycon\n>>> 1 + 1\n3\n```\n")
    failed = tell(project)
    assert failed.status == 1
    assert (
        failed.report["pages"]["ferns.md"]["failure"]
        == "line 5: the output differs (- is what the page shows, + what was printed)"
    )
    assert failed.fates == {}


@pytest.mark.slow
def test_what_a_lie_starts_does_not_outlive_it(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", own_server=True)
    project.write("ferns.md", ENDLESS)
    told = tell(project)
    lie = next(key for key in told.fates if "statement: - process.kill()" in key)
    assert told.fates[lie] == "caught by a block"
    assert not any("4711.5" in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))


@pytest.mark.slow
def test_a_role_that_a_lie_makes_is_not_there_for_the_next_lie(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", own_server=True)
    project.write("ferns.md", "# Ferns\n\n```sql\nCREATE ROLE gardener;\n```\n\n```sql\nDROP ROLE gardener;\n```\n")
    told = tell(project)
    made, dropped = (key for key in told.fates if " name: " in key)
    assert "+ CREATE ROLE gardenex" in made
    assert "+ DROP ROLE gardenex" in dropped
    assert {told.fates[made], told.fates[dropped]} == {"caught by a block"}

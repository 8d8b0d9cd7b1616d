"""The mutation testing of `tests/mutants`: which mutants are made, and what a small project's pages make of them."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import cast

import psutil
import pytest

from harness.project import ROOT, Project
from mutants import memory
from mutants.book import Book
from mutants.change import ChangeError, changed_lines, touches
from mutants.examination import Examination, Finding, Verdict
from mutants.keep import Keep
from mutants.mutant import Mutant, apply_all
from mutants.mutation import mutants_of
from mutants.order import Order
from mutants.pool import Plan, Pool
from mutants.reach import Reach
from mutants.reviewed import LIST, outdated, read_reviews
from mutants.trial import Bench, Result

GARDEN = """\
import sys

DAYS = {"fern": 9, "basil": 2}


def thirsty(days: dict[str, int], limit: int = 7) -> list[str]:
    return [name for name, ago in days.items() if ago >= limit]


def counted(left: int) -> int:
    while left > 1:
        left -= 1
    return left


def forgotten() -> str:
    return "no page asks"


if sys.argv[1:] == ["thirsty"]:
    print(f"thirsty: {thirsty(DAYS)}")
"""

PAGE = """\
# Water

```console
$ cd backend && python -m src.garden thirsty
thirsty: ['fern']
```

```pycon
>>> from src.garden import counted, thirsty
>>> counted(3)
1
```
"""

MENDED = """
```pycon
>>> thirsty({"fern": 7, "basil": 6})
['fern']
```
"""

REVIEWED = """\
[[mutant]]
file = "garden.py"
function = "counted"
before = "left -= 1"
after = "left -= 2"
reason = "Nobody asks for more than three."

[[mutant]]
file = "garden.py"
function = "counted"
before = "while left > 1:"
after = "while left > 2:"
reason = "A mistake."

[[mutant]]
file = "garden.py"
function = "gone"
before = "a = 1"
after = "a = 2"
reason = "Another one."
"""


def changes(source: str) -> list[str]:
    """What the mutants of a source make of its lines."""
    return [mutant.after for mutant in mutants_of("x.py", source.encode())]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = 1\n", ["a = 2"]),
        ("a = b\n", ["a = None"]),
        ("a = b and c\n", ["a = b or c"]),
        ("a = f(b, key=c)\n", ["a = f(None, key=c)", "a = f(b, )"]),
        ("a = f(key=c)\n", ["a = f(key=None)"]),
        ("a = 'fern'\n", ["a = 'XXfernXX'"]),
        ('a = """\nfern\n"""\n', ['a = """XX']),
        ("a = f'{b} fern {c} basil'\n", ["a = f'{b}XX fern {c} basil'"]),
        ("a = f'{b}'\n", ["a = None"]),
        ("await f()\n", ["pass"]),
        ("if a:\n    b()\n", ["if not (a):", "pass"]),
        ("a = (\n    b\n    and c\n)\n", ["b or c"]),
        ("if a is b: pass\n", ["if a is not b: pass"]),
        ("if not a: pass\n", ["if a: pass"]),
        ("while True:\n    break\n", ["while False:", "return"]),
        ("a = b if c else d\n", ["a = b if (c) and False else d", "a = b if (c) or True else d"]),
        ("'''A docstring.'''\n", []),
        ("import a\nfrom b import c\n", []),
        ("def f(a: 'int' = 1) -> 'str': ...\n", ["def f(a: 'int' = 2) -> 'str': ..."]),
        ("if TYPE_CHECKING:\n    a = 1\n", []),
        ("__all__ = ['a']\n", []),
        ("T = TypeVar('T')\nU: TypeAlias = 'int'\n", []),
        ("a = cast('int', isinstance(b, 1))\n", ["a = cast('int', isinstance(b, 2))"]),
        ("def f():  # pragma: no cover\n    return 1\n", []),
        ("f(a)  # pragma: no mutate - deletes what others use\n", []),
        ("a = ['ä', 'ö']\n", ["a = ['XXäXX', 'ö']", "a = ['ä', 'XXöXX']"]),
    ],
)
def test_the_mutants_of_a_line(source: str, expected: list[str]) -> None:
    assert changes(source) == expected


def test_mutants_are_named_apart_from_their_lines() -> None:
    source = "def f():\n    a(1)\n    a(1)\n"
    names = [mutant.id for mutant in mutants_of("x.py", source.encode())]
    assert names == [mutant.id for mutant in mutants_of("x.py", f"# moved\n\n{source}".encode())]
    assert names[0] == "x.py::f: a(1) -> pass"
    assert len(set(names)) == len(names) == 4


def test_the_lines_of_a_statement_are_those_before_its_body() -> None:
    source = "if (\n    a\n):\n    # Why b.\n    b()\n\n\n@c\ndef d(e=1): f()\n"
    assert [(mutant.after, mutant.statement) for mutant in mutants_of("x.py", source.encode())] == [
        ("not (a)", (1, 3)),
        ("pass", (5, 5)),
        ("def d(e=2): f()", (8, 9)),
        ("def d(e=1): pass", (8, 9)),
    ]


SHED = """\
import functools

class Shed:
    tools = 3

    @property
    def count(self):
        return self.tools + 1

    @staticmethod
    def named(number=7):
        return str(number + 1)

@functools.cache
def width():
    def doubled(side):
        return side + 1
    return doubled(4)

named = Shed.named
ASK = {"Shed.count": lambda: Shed().count, "Shed.named": lambda: named(1), "width.doubled": width}
"""


@pytest.fixture
def shed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "shed.py").write_text(SHED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shed", raising=False)
    return importlib.import_module("shed")


@pytest.mark.parametrize(("function", "changed"), [("Shed.count", 2), ("Shed.named", "0"), ("width.doubled", 3)])
def test_a_function_that_is_in_memory_is_changed(shed: ModuleType, function: str, changed: object) -> None:
    mutant = next(m for m in mutants_of("shed.py", SHED.encode()) if m.function == function and m.text == "-")
    memory.change(shed, mutant, SHED.encode())
    assert shed.ASK[function]() == changed


def test_what_is_no_body_of_a_function_cannot_be_changed_in_memory(shed: ModuleType) -> None:
    mutants = mutants_of("shed.py", SHED.encode())
    outside = [m for m in mutants if memory.function_of(m, SHED.encode()) is None]
    assert {m.before.strip().split(" = ")[0] for m in outside} == {"tools", "def named(number=7):", "named", "ASK"}
    with pytest.raises(LookupError, match=r"tools = 3 .* is in no function's body"):
        memory.change(shed, outside[0], SHED.encode())


def test_a_function_that_is_in_memory_no_more(shed: ModuleType) -> None:
    mutant = next(m for m in mutants_of("shed.py", SHED.encode()) if m.function == "Shed.count")
    del shed.Shed
    with pytest.raises(LookupError, match=r"shed has no Shed\.count"):
        memory.change(shed, mutant, SHED.encode())


def test_several_mutants_at_once() -> None:
    source = b"a = 1\nb = 2\n"
    one = Mutant("x.py", "", 4, 5, "10", 1, (1, 1), "", "")
    other = Mutant("x.py", "", 10, 11, "20", 2, (2, 2), "", "")
    assert apply_all([one, other], source) == b"a = 10\nb = 20\n"
    assert one.diff(source).splitlines()[3:] == ["-a = 1", "+a = 10", " b = 2"]


def mutants(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a project."""
    return subprocess.run(
        [sys.executable, "-m", "mutants", *arguments],
        cwd=project.directory,
        env={**project.environment, "PYTHONPATH": "backend:tests:docs"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def verdicts(project: Project) -> dict[str, tuple[str, str | None]]:
    """What the report says of each mutant, and which block killed it."""
    entries = json.loads((project.directory / "build" / "mutants.json").read_text())["all"]
    return {entry["after"]: (entry["verdict"], entry.get("block")) for entry in entries}


@pytest.mark.slow
def test_what_the_pages_notice(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", copied=("backend", "tests"))
    (project.directory / "backend" / "src" / "garden.py").write_text(GARDEN)
    reviewed = project.directory / "tests" / "mutants" / "reviewed.toml"
    reviewed.unlink(missing_ok=True)
    project.write("water.md", PAGE)

    ended = mutants(project, "--limit", "2", "backend/src/garden.py")

    assert verdicts(project) == {
        'DAYS = {"XXfernXX": 9, "basil": 2}': ("killed", "water[1]"),
        'DAYS = {"fern": 10, "basil": 2}': ("survived", None),
        'DAYS = {"fern": 9, "XXbasilXX": 2}': ("survived", None),
        'DAYS = {"fern": 9, "basil": 3}': ("survived", None),
        "def thirsty(days: dict[str, int], limit: int = 8) -> list[str]:": ("survived", None),
        "return [name for name, ago in days.items() if ago > limit]": ("survived", None),
        "return [name for name, ago in days.items() if not (ago >= limit)]": ("killed", "water[1]"),
        "while not (left > 1):": ("killed", "water[2]"),
        "while left >= 1:": ("killed", "water[2]"),
        "while left > 2:": ("killed", "water[2]"),
        "left += 1": ("killed", "water[2]"),
        "left -= 2": ("survived", None),
        "left = 1": ("survived", None),
        'return "XXno page asksXX"': ("not reached", None),
        'if sys.argv[2:] == ["thirsty"]:': ("killed", "water[1]"),
        'if sys.argv[1:] != ["thirsty"]:': ("killed", "water[1]"),
        'if sys.argv[1:] == ["XXthirstyXX"]:': ("killed", "water[1]"),
        "pass": ("killed", "water[1]"),
        'print(f"XXthirsty: {thirsty(DAYS)}")': ("killed", "water[1]"),
        'print(f"thirsty: {thirsty(None)}")': ("killed", "water[1]"),
    }, ended.stdout + ended.stderr
    assert (
        'backend/src/garden.py:17: no page executes it\n-    return "no page asks"\n+    return "XXno page asksXX"\n'
    ) in ended.stdout
    assert ended.stdout.endswith("mutants that were tried are killed, 60.0 %; at least 95 % must be\n")
    assert ended.returncode == 1

    # The page shows the default and the bound; what nobody can tell is reviewed, and so is what anybody can.
    project.write("water.md", PAGE + MENDED)
    reviewed.write_text(REVIEWED)
    ended = mutants(project, "--limit", "2", "backend/src/garden.py")

    after = verdicts(project)
    assert after["def thirsty(days: dict[str, int], limit: int = 8) -> list[str]:"] == ("killed", "water[3]")
    assert after["return [name for name, ago in days.items() if ago > limit]"] == ("killed", "water[3]")
    assert after["left -= 2"] == ("reviewed", None)
    assert after["while left > 2:"] == ("killable", "water[2]")
    told = ended.stdout.split("\n\n")[-1].splitlines()
    assert told == [
        "on the reviewed list, but docs/water.md:11 notices it: garden.py::counted: while left > 1: -> while left > 2:",
        "on the reviewed list, but there is no such mutant: garden.py::gone: a = 1 -> a = 2",
        "14 of 19 mutants that were tried are killed, 73.7 %; at least 95 % must be",
    ]


class TwoPages:
    """Runs two pages side by side: the first notices, and after that the second, which ran meanwhile, has not."""

    def carry_out(self, plans: Iterable[Plan | None]) -> None:
        """Start both plans, then give the first its result and after it the second."""
        started = [(plan, next(plan)) for plan in plans if plan is not None]
        for (plan, _), result in zip(started, (Result(0, 1, "differs"), Result(None)), strict=False):
            with pytest.raises(StopIteration):
                plan.send(result)


@pytest.mark.parametrize("expected", [True, False])
def test_a_kill_stays_one_when_another_page_passes(tmp_path: Path, *, expected: bool) -> None:
    mutant = Mutant("x.py", "", 0, 1, "XXb", 1, (1, 1), "'a garden'", "b")
    seconds = {"first.md": 0.2, "second.md": 0.1} if expected else {"first.md": 0.1, "second.md": 0.2}
    reaches = {name: Reach("", [taken], [{"x.py": [1]}]) for name, taken in seconds.items()}
    findings: dict[str, Finding] = {}
    told: list[Finding] = []
    order = Order(_garden(tmp_path, seconds), reaches, left={mutant.id} if expected else ())
    examination = Examination(order, TwoPages(), findings, lambda _, finding: told.append(finding))

    examination.run([mutant])

    assert [(finding.verdict, finding.page) for finding in told] == [(Verdict.KILLED, "first.md")]
    assert findings[mutant.id] is told[0]


class NoticesNothing:
    """Runs pages that all pass, and writes down which mutants each trial makes."""

    def __init__(self) -> None:
        self.trials: list[str] = []

    def carry_out(self, plans: Iterable[Plan | None]) -> None:
        """Run each plan to its end."""
        for plan in filter(None, plans):
            with suppress(StopIteration):
                trial = next(plan)
                while True:
                    self.trials.append("".join(mutant.text[-1] for mutant in trial.mutants))
                    trial = plan.send(Result(None))


@pytest.mark.parametrize(
    ("left", "reviewed", "trials"),
    [
        ("", "", ["aeg", "bf", "c", "d"]),
        ("abcdefg", "", ["acdefg", "b"]),
        ("bcdefg", "a", ["aefg", "bcd"]),
        ("a", "e", ["bfg", "c", "d", "ae"]),
        ("", "abcdefg", ["aeg", "bf", "c", "d"]),
    ],
)
def test_mutants_are_tried_together_where_they_can_be_told_apart(
    tmp_path: Path, left: str, reviewed: str, trials: list[str]
) -> None:
    places = {"a": ("cut", 0), "b": ("cut", 0), "c": ("cut", 4), "d": ("cut", 6)}
    places |= {"e": ("", 8), "f": ("", 12), "g": ("", 16)}
    mutants = [
        Mutant("x.py", function, start, start + 1, f"XX{letter}", 1, (start // 16,) * 2, "'a garden'", letter)
        for letter, (function, start) in places.items()
    ]
    reaches = {"garden.md": Reach("", [0.1], [{"x.py": [0, 1]}])}
    ids = {mutant.after: mutant.id for mutant in mutants}
    order = Order(_garden(tmp_path, reaches), reaches, left={ids[letter] for letter in left})
    carrier = NoticesNothing()
    findings: dict[str, Finding] = {}
    Examination(order, carrier, findings, lambda *_: None).run(mutants, {ids[letter] for letter in reviewed})
    assert carrier.trials == trials
    assert {finding.verdict for finding in findings.values()} == {Verdict.SURVIVED}
    assert len(findings) == len(mutants)


def _garden(directory: Path, pages: Iterable[str]) -> Book:
    """A handbook with some pages that show nothing of a module."""
    project = Project(directory / "project")
    for name in pages:
        project.write(name, "# Water\n\n```python\n1 + 1\n```\n")
    book = Book(project.directory)
    book.sources["x.py"] = b"'a garden'"
    return book


def test_a_page_that_has_noticed_a_mutant_is_tried_first(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    for name in ("quick.md", "slow.md"):
        project.write(name, "# Water\n" + 4 * "\n```python\n1 + 1\n```\n")
    book = Book(project.directory)
    book.sources["x.py"] = b"a"
    reaches = {
        name: Reach("", [seconds] * 4, [{"x.py": [1]}, {}, {}, {}], fit=[1, 2, 3])
        for name, seconds in (("quick.md", 0.1), ("slow.md", 0.5))
    }
    mutant = Mutant("x.py", "", 0, 1, "b", 1, (1, 1), "a", "b")
    assert [turn.page for turn in Order(book, reaches).turns(mutant)] == ["quick.md", "slow.md"]

    noticed = {"slow.md": {"water[2]": "0a1b2c3d", "water[4]": f"4e5f6071 {mutant.key}"}, "gone.md": {"a": "8d9e0f1a"}}
    (project.directory / "docs" / "mutants.json").write_text(
        json.dumps({"noticed": noticed, "left": f"9a8b7c6d {mutant.key}"})
    )
    places = Keep(book).places([mutant])
    assert Keep(book).left([mutant]) == {mutant.id}
    assert Order(book, reaches).is_hopeful(mutant)
    assert not Order(book, reaches, left={mutant.id}).is_hopeful(mutant)

    assert places == {mutant.id: ("slow.md", 3)}
    first, second = Order(book, reaches, places).turns(mutant)
    assert (first.page, first.start, first.last) == ("slow.md", 3, 3)
    assert second.page == "quick.md"
    # What is known of an older page is no reason to leave it out.
    assert Order(book, reaches, {mutant.id: ("slow.md", 4)}).turns(mutant)[0].page == "quick.md"


def test_an_entry_of_the_reviewed_list_needs_a_reason(tmp_path: Path) -> None:
    path = tmp_path / LIST
    path.parent.mkdir(parents=True)
    entry = '[[mutant]]\nfile = "a.py"\nbefore = "a"\nafter = "b"\nreason = "{}"\n'
    path.write_text(entry.format("the same"))
    assert list(read_reviews(tmp_path)) == ["a.py::: a -> b"]
    path.write_text(entry.format(" "))
    with pytest.raises(ValueError, match="no reason for a"):
        read_reviews(tmp_path)
    path.write_text(2 * entry.format("the same"))
    with pytest.raises(ValueError, match="twice: a"):
        read_reviews(tmp_path)


@pytest.mark.slow
def test_the_committed_list_names_mutants_that_are_made() -> None:
    reviews = read_reviews(ROOT)
    sources = Book(ROOT).sources
    files = {review.file for review in reviews.values()}
    made = [mutant for file in files for mutant in mutants_of(file, sources[file])]
    assert outdated(reviews.values(), made, files) == []


def test_the_lines_of_a_branch(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=fern", "-c", "user.email=fern@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    source = tmp_path / "backend" / "src" / "db" / "status.py"
    source.parent.mkdir(parents=True)
    source.write_text("a = 1\nb = 2\nc = 3\n")
    git("init", "--initial-branch=main")
    git("add", ".")
    git("commit", "--message", "begin")
    git("checkout", "-b", "change")
    source.write_text("a = 1\nb = 20\nc = 3\n")
    git("commit", "--all", "--message", "change")
    source.write_text("a = 1\nb = 20\nc = 3\nd = 4\n")
    git("branch", "--force", "main", "main")

    changed = changed_lines(tmp_path, "main")

    assert changed == {"db/commands/status.py": {2, 4}}
    lines = [Mutant("db/commands/status.py", "", 0, 1, "", n, (n, n), "", "") for n in (1, 2, 3, 4)]
    assert [mutant.line for mutant in lines if touches(changed, mutant)] == [2, 4]
    with pytest.raises(ChangeError, match="nowhere"):
        changed_lines(tmp_path, "nowhere")


FORGOTTEN = """\
LEAVES = 3


def leaves() -> int:
    return LEAVES


def forgotten() -> str:
    return "no page asks"


def lost() -> str:
    return "nobody asks"
"""

TESTS = """\
import subprocess
import sys

from src.garden import forgotten, leaves


def test_that_it_can_be_imported():
    subprocess.run([sys.executable, "-c", "import src.garden"], cwd="backend", check=True)


def test_how_many_leaves_there_are():
    assert leaves() == 3


def test_what_is_no_business_of_the_backend():
    assert "fern" < "ivy"


def test_what_is_forgotten():
    assert forgotten() == "no page asks"
"""


@pytest.mark.slow
def test_the_suite_is_asked_what_no_page_notices(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", copied=("backend", "tests"))
    for directory in ("backend/tests", "tests"):
        for file in (project.directory / directory).glob("*test*.py"):
            file.unlink()
    (project.directory / "backend" / "src" / "garden.py").write_text(FORGOTTEN)
    (project.directory / "backend" / "tests" / "test_garden.py").write_text(TESTS)
    project.write("water.md", "```python\n1 + 1\n```\n")

    ended = mutants(project, "--suite", "--workers", "1", "backend/src/garden.py")

    entries = json.loads((project.directory / "build" / "mutants.json").read_text())["all"]
    tests = {entry["after"]: entry["test"] for entry in entries if "test" in entry}
    assert tests == {
        "LEAVES = 4": "backend/tests/test_garden.py::test_how_many_leaves_there_are",
        'return "XXno page asksXX"': "backend/tests/test_garden.py::test_what_is_forgotten",
    }, ended.stdout + ended.stderr
    assert ended.stdout.endswith(
        'no test notices either: garden.py::lost: return "nobody asks" -> return "XXnobody asksXX"\n'
    )
    assert ended.returncode == 1

    (project.directory / "backend" / "tests" / "conftest.py").write_text("import nothing_of_that_name\n")
    ended = mutants(project, "--suite", "--workers", "1", "backend/src/garden.py")
    assert ended.stderr == (
        "The tests of backend/tests and tests did not run to their end with the code as it is: pytest ended with "
        "status 4. Run `make test` to see why.\n"
    )
    assert ended.returncode == 1


@dataclass
class Place:
    """A bench without a server."""

    def mend(self) -> bool:
        return True

    def limit(self, *_: object) -> float:
        return 60.0


@dataclass
class Leaving:
    """A job whose process starts another one and is killed, as by a changed program."""

    file: Path
    page: str = "ferns.md"

    def make(self, *_: object) -> str:
        started = subprocess.Popen(["sleep", "600"], start_new_session=True)
        self.file.write_text(str(started.pid))
        os.kill(os.getpid(), signal.SIGKILL)
        return "not reached"

    def killed(self, *_: object) -> str:
        return "killed"


@dataclass
class Looking:
    """A job that looks which of some files it has open."""

    files: list[int]
    page: str = "ferns.md"

    def make(self, *_: object) -> list[bool]:
        return [Path(f"/dev/fd/{number}").exists() for number in self.files]

    def killed(self, *_: object) -> None: ...


def test_a_job_does_not_hold_what_others_have_open(tmp_path: Path) -> None:
    results = []

    def plan(files: list[int]) -> Plan:
        results.append((yield Looking(files)))

    with (tmp_path / "first.lock").open("w") as first, (tmp_path / "second.lock").open("w") as second:
        # Beyond the pool's own pipes as well as below them.
        high = os.dup2(second.fileno(), 200)
        Pool([cast(Bench, Place())]).carry_out([plan([0, first.fileno(), high])])
        os.close(high)
    assert results == [[True, False, False]]


def test_what_a_killed_job_has_started_is_ended(tmp_path: Path) -> None:
    results = []

    def plan() -> Plan:
        results.append((yield Leaving(tmp_path / "number")))

    Pool([cast(Bench, Place())]).carry_out([plan()])
    assert results == ["killed"]
    with suppress(psutil.NoSuchProcess):
        assert psutil.Process(int((tmp_path / "number").read_text())).status() == psutil.STATUS_ZOMBIE

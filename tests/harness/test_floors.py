"""The checks are watched: a stage that runs less than its floor fails, and so does an edit that takes a stage out."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness import floors

ROOT = Path(__file__).resolve().parents[2]
# In the place of the project's Python: it writes what pytest would have run, a thousand cases a module.
PYTHON = f"""#!{sys.executable}
import os, sys
from pathlib import Path
_, *words = sys.argv
if words[:2] == ["-m", "pytest"]:
    ignored = words[words.index("--ignore") + 1] if "--ignore" in words else None
    report = Path(words[words.index("--junit-xml") + 1])
    modules = []
    for word in map(Path, words):
        modules += [word] if word.name.startswith("test_") else sorted(word.rglob("test_*.py"))
    cases = "".join(
        f'<testcase classname="{{module.with_suffix("")}}"/>'.replace("/", ".").replace(".>", "/>") * 1000
        for module in dict.fromkeys(modules)
        if str(module) != ignored and (module.parts[1] != "browser" or "tests/browser" in words)
    )
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(f"<testsuites>{{cases}}</testsuites>")
elif words[:2] == ["-m", "harness.floors"]:
    os.execv(sys.executable, [sys.executable, *words])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The commands of the project and its test modules, with nothing that takes long."""
    names = ["Makefile", "pyproject.toml", ".ci/run", ".ci/state.py", "tests/browser/chromium.py"]
    names += [f"{path.relative_to(ROOT)}" for path in ROOT.glob("tests/*/test_*.py")]
    names += [f"{path.relative_to(ROOT)}" for path in ROOT.glob("backend/tests/test_*.py")]
    for name in (*names, "tests/harness/floors.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "install.sh").write_text("exit 0\n")
    (tmp_path / "backend" / "src").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").write_text(PYTHON)
    # Coverage is measured by a run, which is not made here.
    (tmp_path / ".venv" / "bin" / "python").chmod(0o755)
    module = tmp_path / "tests" / "harness" / "floors.py"
    module.write_text(module.read_text().replace('stage == "backend" and not found', "False"))
    return tmp_path


def make(project: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *targets], cwd=project, capture_output=True, text=True, check=False)


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_the_checks_as_they_are_reach_their_floors(project: Path) -> None:
    told = make(project, "check", "test-slow", "check-site")
    assert told.returncode == 0, told.stderr
    assert not list((project / "build" / "ran").iterdir()), "nothing is left that another run could pass by"


@pytest.mark.parametrize(
    ("before", "after", "missed"),
    [
        ("$(PAGES) tests $(if", "$(PAGES) $(if", "tests/harness: 0 cases, and 220 are the least"),
        ("test_site.py backend/tests -m", "test_site.py -m", "backend/tests: 0 cases"),
        ("pytest tests/site/test_site.py backend", "pytest backend", "tests/site/test_site.py: no case"),
        ("$(PAGES) tests $(if", "$(PAGES) tests/prose $(if", "tests/commands: 0 cases"),
        ("-m pytest tests/browser", "-m pytest README.md", "tests/browser: 0 cases"),
    ],
    ids=["no tests", "no backend", "no site", "some tests", "no browser"],
)
def test_a_stage_of_the_makefile_that_runs_less_is_noticed(before: str, after: str, missed: str, project: Path) -> None:
    edit(project / "Makefile", before, after)
    told = make(project, "check", "check-site")
    assert told.returncode != 0
    assert missed in told.stderr


def test_every_stage_is_compared() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.findall(r"^\t\$\(FLOOR\) (\w+)$", makefile, re.MULTILINE) == ["tests", "backend", "browser", "slow"]
    assert set(floors.FLOORS) == {"tests", "backend", "browser", "slow"}


def test_the_coverage_that_is_demanded_is_the_floors() -> None:
    coverage = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]
    assert coverage["report"]["fail_under"] == floors.COVERAGE
    assert coverage["run"]["branch"] is True
    assert coverage["run"]["source_pkgs"] == ["src"]
    assert not {"omit", "exclude_lines", "exclude_also"} & (coverage["report"].keys() | coverage["run"].keys())


@pytest.mark.parametrize("browser", [True, False])
def test_ci_runs_every_stage(browser: bool, project: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (project / "build").mkdir()
    for name, text in (("make", f'echo "$PATH: $*" >>{project}/build/told'), ("chromium", "")):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    chromium = str(programs / "chromium") if browser else "/nowhere"
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "CHROMIUM": chromium, "HOME": "/nowhere"}
    if not browser:
        edit(project / ".ci" / "run", "command -v apt-get", "false")
    told = subprocess.run([project / ".ci" / "run"], env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    setup, run = (project / "build" / "told").read_text().splitlines()
    assert setup.endswith(": setup")
    path, _, targets = run.partition(": ")
    expected = {"check", "test-slow", "bench", "bench-handbook"} | ({"check-site"} if browser else set())
    assert set(targets.split()) == {"ALL=1", *expected}
    assert path.count(":") == 0
    assert path != environment["PATH"]


def test_ci_notices_what_a_run_has_written_to_the_checkout(project: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "make").write_text('#!/bin/sh\ncase $* in *check*) echo "# a line" >>pyproject.toml;; esac\n')
    (programs / "make").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "CHROMIUM": str(programs / "make")}
    told = subprocess.run([project / ".ci" / "run"], env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert re.search(r"^> \S+/pyproject\.toml [0-9a-f]{64}$", told.stderr, re.MULTILINE)


def test_the_rules_of_axe_that_are_on_are_the_floors() -> None:
    text = (ROOT / "tests" / "browser" / "test_accessibility.py").read_text()
    (tags,) = re.findall(r"runOnly: \[(.*)\]", text)
    assert set(re.findall(r'"([^"]+)"', tags)) == set(floors.AXE_TAGS)
    assert set(re.findall(r'"([\w-]+)": \{ enabled: false \}', text)) == floors.AXE_OFF
    assert text.count("page.evaluate(RUN, contrast)") == 1
    assert text.count("assert findings(") == 4, "each kind of screen is looked at"


def test_no_variable_of_git_reaches_a_recipe() -> None:
    """Otherwise what a hook or `git rebase --exec` starts would commit into the caller's repository."""
    names = subprocess.check_output(["git", "rev-parse", "--local-env-vars"], text=True).split()
    caller = {**os.environ, **dict.fromkeys(names, "/nowhere"), "GARDEN": "fern"}
    told = subprocess.check_output(["make", "--eval", "show:; @env", "show"], cwd=ROOT, env=caller, text=True)
    reached = {line.partition("=")[0] for line in told.splitlines()}
    assert "GARDEN" in reached
    assert not reached & set(names)

"""The checks are watched: a stage that runs less than its floor fails, and so does an edit that takes a stage out."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness import floors, unchanged

ROOT = Path(__file__).resolve().parents[2]
# In the place of the project's Python: it writes what pytest would have run, a thousand cases a module.
PYTHON = f"""#!{sys.executable}
import os, sys
from pathlib import Path
_, *words = sys.argv
if words[:2] == ["-m", "pytest"]:
    ignored = tuple(word.removeprefix("--ignore=") for word in words if word.startswith("--ignore="))
    report = Path(words[words.index("--junit-xml") + 1])
    modules = []
    for word in map(Path, words):
        modules += [word] if word.name.startswith("test_") else sorted(word.rglob("test_*.py"))
    cases = "".join(
        f'<testcase classname="{{module.with_suffix("")}}"/>'.replace("/", ".").replace(".>", "/>") * 1000
        for module in dict.fromkeys(modules)
        if not str(module).startswith(ignored) and (module.parts[1] != "browser" or "tests/browser" in words)
    )
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(f"<testsuites>{{cases}}</testsuites>")
    print("ran", report.stem)
elif words[:2] in (["-m", "harness.floors"], ["-m", "harness.unchanged"]):
    os.execv(sys.executable, [sys.executable, *words])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The commands of the project and its test modules, with nothing that takes long."""
    names = ["Makefile", "pyproject.toml", ".ci/run", ".ci/state.py", "tests/browser/chromium.py"]
    names += [f"{path.relative_to(ROOT)}" for path in ROOT.glob("tests/*/test_*.py")]
    names += [f"{path.relative_to(ROOT)}" for path in ROOT.glob("backend/tests/test_*.py")]
    for name in (*names, "tests/harness/floors.py", "tests/harness/unchanged.py"):
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
        ("$(PAGES) $(READERS) $(if", "$(PAGES) $(if", "tests/prose: 0 cases, and 110 are the least"),
        ("-m pytest backend/tests $(R", "-m pytest $(R", "backend/tests: 0 cases"),
        ("-m pytest tests/site/test_site.py", "-m pytest README.md", "tests/site/test_site.py: no case"),
        ("tests/harness tests/commands $(R", "tests/harness $(R", "tests/commands: 0 cases"),
        ("-m pytest tests/browser", "-m pytest README.md", "tests/browser: 0 cases"),
    ],
    ids=["no tests", "no backend", "no site", "some tests", "no browser"],
)
def test_a_stage_of_the_makefile_that_runs_less_is_noticed(before: str, after: str, missed: str, project: Path) -> None:
    edit(project / "Makefile", before, after)
    told = make(project, "check", "check-site")
    assert told.returncode != 0
    assert missed in told.stderr


def stages(project: Path, *arguments: str) -> list[str]:
    """The stages that `make check` runs, if it passes."""
    told = make(project, "check", *arguments)
    assert told.returncode == 0, told.stderr
    return re.findall(r"^ran (\w+)$", told.stdout, re.MULTILINE)


def test_stages_are_left_out_that_have_passed_on_the_same_files(project: Path) -> None:
    (project / ".gitignore").write_text("/.venv\n/build\n__pycache__/\n")
    assert unchanged.digest(project) is None, "without a repository, nothing is known"
    subprocess.run(["git", "init", "--quiet", project], check=True)
    everything = ["pages", "site", "tools", "backend"]
    assert stages(project) == everything
    (project / "docs").mkdir()
    (project / "docs" / "ferns.md").write_text("# Ferns\n")
    assert stages(project) == ["pages", "site"]
    (project / "backend" / "src" / "ferns.py").write_text("FERNS = 1\n")
    edit(project / "Makefile", "-m pytest backend/tests $(R", "-m pytest $(R")
    assert make(project, "check").returncode != 0
    assert "ran backend" in make(project, "check").stdout, "it has not passed yet"
    edit(project / "Makefile", "-m pytest $(R", "-m pytest backend/tests $(R")
    assert stages(project) == everything
    assert stages(project, "ALL=1") == everything
    assert stages(project) == ["pages", "site"]


def test_what_reads_a_page_runs_with_the_pages() -> None:
    """Otherwise it would be left out when a page alone has changed."""
    for stage, directory in (("tools", "tests/harness"), ("tools", "tests/commands"), ("backend", "backend/tests")):
        for name in floors.modules_of(ROOT / directory, stage):
            assert not re.search(r'(ROOT|parents.*) / "docs" / "(?!assets|website)\w', (ROOT / name).read_text()), name


def test_every_stage_is_compared() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.findall(r"^\t\$\(FLOOR\) (\w+)$", makefile, re.MULTILINE) == [*floors.FLOORS]


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

"""The pages on several PostgreSQL: the command that runs them, and what the site makes of their proofs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands.versions import INSTALLATIONS, NEWEST, PIN, supported
from harness.project import ROOT, Project
from website import proof as site
from website.marks import totals
from website.marks.mark import mark
from website.proof import Proof

Content = dict[str, Any]


def entry(key: str, status: str = "passed", kind: str = "sql") -> dict[str, Any]:
    return {"id": key, "key": key, "line": 1, "kind": kind, "status": status, "reason": None, "hidden": False}


def content(version: str) -> Content:
    """A proof in which three blocks of a page passed."""
    digests = {"a.md": {"page": "1", "code": "1"}}
    return {"postgresql": version, "digests": digests, "pages": {"a.md": [entry(key) for key in "abc"]}}


def written(directory: Path, proof: Content, *others: Content) -> Proof:
    """A proof as the site reads it, from a file with others beside it."""
    (directory / "build").mkdir(exist_ok=True)
    (directory / site.PROOF).write_text(json.dumps(proof))
    for number, other in enumerate(others):
        (directory / "build" / f"proof-{number}.json").write_text(json.dumps(other))
    return site.read(directory)


def test_a_mark_names_every_version_on_which_the_block_ran(tmp_path: Path) -> None:
    proof = written(tmp_path, content("18.6"), content("17.11"), content("9.6"))
    assert 'aria-label="Ran on PostgreSQL 9.6, 17.11 and 18.6"' in mark(proof.pages["a.md"][0])
    table = totals.replace("<!-- verification: pages -->", proof, "verification.md")
    assert '<a href="a.html">a</a></td><td>3</td><td></td><td>9.6, 17.11 and 18.6</td>' in table


def test_one_version_is_named(tmp_path: Path) -> None:
    proof = written(tmp_path, content("18.6"))
    assert 'aria-label="Ran on PostgreSQL 18.6"' in mark(proof.pages["a.md"][0])


def test_a_proof_beside_it_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "proof-14.json").write_text("{")
    with pytest.raises(Exception, match=r"proof-14\.json: not a proof"):
        written(tmp_path, content("18.6"))


def change_code(proof: Content) -> None:
    proof["digests"]["a.md"]["code"] = "2"


def change_second(proof: Content) -> None:
    proof["pages"]["a.md"][1]["key"] = "other"


def fail_second(proof: Content) -> None:
    proof["pages"]["a.md"][1]["status"] = "failed"


def lose_second(proof: Content) -> None:
    del proof["pages"]["a.md"][1]


def lose_page(proof: Content) -> None:
    proof["pages"] = {}


def show_text(proof: Content) -> None:
    proof["pages"]["a.md"].insert(1, entry("text", "shown", "shown"))


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        (change_code, [False, False, False]),
        (change_second, [True, False, False]),
        (fail_second, [True, False, True]),
        (lose_second, [True, False, False]),
        (lose_page, [False, False, False]),
        (show_text, [True, True, True]),
    ],
)
def test_another_proof_counts_where_nothing_up_to_the_block_differs(
    change: Callable[[Content], None], counted: list[bool], tmp_path: Path
) -> None:
    other = content("14.23")
    change(other)
    entries = written(tmp_path, content("18.6"), other).pages["a.md"]
    assert ["14.23" in found["versions"] for found in entries] == counted


def test_a_block_that_did_not_pass_has_no_version(tmp_path: Path) -> None:
    failed = content("18.6")
    fail_second(failed)
    entries = written(tmp_path, failed, content("14.23")).pages["a.md"]
    assert [found["versions"] for found in entries] == [["14.23", "18.6"], [], ["14.23", "18.6"]]


def lock_of(version: str) -> str:
    return (ROOT / "requirements" / f"versions-{version}.txt").read_text()


def pin_of(version: str) -> str:
    found = PIN.search(lock_of(version))
    assert found is not None
    return found[1]


def test_each_older_version_is_pinned_with_hashes() -> None:
    *older, newest = supported(ROOT)
    assert (older, newest) == (["14", "15", "16", "17"], NEWEST)
    assert [pin_of(version).split(".")[0] for version in older] == older
    assert all("--hash=sha256:" in lock_of(version) and "://" not in lock_of(version) for version in older)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


def check(project: Project, version: str) -> tuple[int, str]:
    """Run the pages of a project on a version, and return the command's status and what it printed."""
    ended = subprocess.run(
        [sys.executable, "-m", "commands.versions", "docs", "--versions", version],
        cwd=project.directory,
        # It needs no workers for one page.
        env={**project.environment, "PYTHONPATH": "backend:tests:docs", "PYTEST_XDIST_AUTO_NUM_WORKERS": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout


def install(project: Project, version: str, **programs: str) -> None:
    """Put programs, shell scripts, where those of an older PostgreSQL are kept."""
    directory = project.directory / INSTALLATIONS / pin_of(version) / "bin"
    directory.mkdir(parents=True)
    for name, script in programs.items():
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (directory / name).chmod(0o755)


@pytest.mark.slow
def test_the_command_fails_where_a_page_fails_and_does_not_say_so(project: Project) -> None:
    project.write("a.md", "# A\n\n```sql\nSELECT 1;\n```\n")
    elsewhere = "Since PostgreSQL 18 it is wrong.\n\n## C\n\nOn PostgreSQL 18 this is wrong.\n"
    project.write("b.md", f"# B\n\n```sql\nSELECT 1;\nSELECT wrong;\n```\n\n{elsewhere}")
    project.environment["TEST_DATABASE_URL"] = "postgresql://localhost:1/none"
    status, output = check(project, NEWEST)
    assert status == 1
    assert output.startswith(f"\n== PostgreSQL {NEWEST}.")
    assert "handbook: 1 passed, 1 failed on PostgreSQL " in output
    assert f"\ndocs/b.md:3: does not hold on PostgreSQL {NEWEST}. Change the block so that it does, or tell" in output
    assert output.endswith(f"\nfails on PostgreSQL {NEWEST}\n")
    assert (project.directory / "build" / "proof.json").exists()
    project.write(
        "b.md", "# A\n\n## B\n\n```sql\nSELECT wrong;\n```\n\nOn PostgreSQL 14\nand 18 it is wrong.\n\n## C\n"
    )
    status, output = check(project, NEWEST)
    assert status == 0
    assert output.endswith(
        f"\ndocs/b.md:5: differs on PostgreSQL {NEWEST}, as the page says\n\nholds on PostgreSQL {NEWEST}\n"
    )


def test_an_older_version_runs_from_its_own_programs(project: Project) -> None:
    install(project, "14", postgres="echo 14", initdb="echo no cluster here >&2; exit 3")
    status, output = check(project, "14")
    assert status == 1
    assert output.startswith("PostgreSQL did not start: ")
    assert "    no cluster here\n" in output


def test_programs_that_do_not_start_here_are_told_with_their_own_words(project: Project) -> None:
    install(project, "15", postgres="echo libicuuc.so.72 is missing >&2; exit 127")
    status, output = check(project, "15")
    assert status == 1
    assert f"PostgreSQL {pin_of('15')} does not start on this machine:\nlibicuuc.so.72 is missing\n" in output

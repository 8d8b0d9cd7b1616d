"""The workflows: they are in order, may do no more than they need, and run what exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
# A tag can be moved to other code; the comment is what Dependabot and people read.
PINNED = re.compile(r"\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def load(name: str) -> dict[str, Any]:
    workflow: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8"))
    return workflow


def commands(job: dict[str, Any]) -> list[str]:
    return [line for step in job["steps"] for line in step.get("run", "").splitlines()]


def test_what_fails_is_not_published() -> None:
    jobs = load("publish.yml")["jobs"]
    assert list(jobs) == ["check", "build", "publish"]
    assert [job.get("needs") for job in jobs.values()] == [None, "check", "build"]
    assert ".ci/run" in commands(jobs["check"])
    made = [line for line in commands(jobs["build"]) if line.startswith("make ")]
    assert [" ".join(line.split()[:2]) for line in made] == ["make check-versions", "make site", "make version"]
    steps = [step for job in jobs.values() for step in [job, *job["steps"]]]
    assert not any({"if", "continue-on-error"} & step.keys() for step in steps), (
        "each job needs the success of the one before"
    )


def test_only_what_publishes_may_write_and_it_runs_nothing_of_the_project() -> None:
    workflow = load("publish.yml")
    assert workflow["permissions"] == {"contents": "read"}
    allowed = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert allowed == {"publish": {"contents": "write"}}
    assert all(line.startswith("git ") for line in commands(workflow["jobs"]["publish"]))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_what_exists(path: Path) -> None:
    workflow = load(path.name)
    assert "permissions" in workflow, "without them a workflow may write"
    for job in workflow["jobs"].values():
        assert "timeout-minutes" in job
        for line in commands(job):
            target = re.match(r"make ([a-z-]+)", line)
            assert target is None or target[1] in TARGETS, line
            assert not line.startswith(".") or (ROOT / line.split()[0]).is_file(), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_leave_no_credentials(path: Path) -> None:
    used = re.findall(r"^ +(?:- )?uses: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    assert [action for action in used if not PINNED.fullmatch(action)] == []
    for job in load(path.name)["jobs"].values():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_a_published_handbook_is_pushed_with_the_token_of_one_step() -> None:
    holders = [step for step in load("publish.yml")["jobs"]["publish"]["steps"] if "github.token" in str(step)]
    assert [step["run"].count("git push ") for step in holders] == [1]


def test_dependabot_knows_the_workflows_and_the_lock_files() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    places = {update["package-ecosystem"]: ROOT / update["directory"].lstrip("/") for update in updates}
    assert places.keys() == {"github-actions", "pip"}
    assert places["github-actions"] == ROOT
    assert list(places["pip"].glob("*.txt"))


def test_the_hooks_of_pre_commit_run_what_exists() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local", "nothing is downloaded"
    assert [hook["entry"].removeprefix("make ") in TARGETS for hook in repository["hooks"]] == [True]

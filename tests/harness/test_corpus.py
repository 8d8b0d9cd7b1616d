"""The corpus: one small page for each thing that a page can do right or wrong, and what the harness makes of it.

Beside each page stands a text with what is collected from it and what is reported when it runs. To write these texts
anew, and then read their difference: UPDATE_CORPUS=1 .venv/bin/pytest tests/harness/test_corpus.py
"""

import fcntl
import os
from pathlib import Path

import pytest

from handbook.postgres import Postgres
from harness.project import Project

CORPUS = Path(__file__).parents[1] / "corpus"
PAGES = sorted(CORPUS.rglob("*.md"))
UPDATING = "UPDATE_CORPUS" in os.environ


@pytest.fixture(scope="session")
def listings(tmp_path_factory: pytest.TempPathFactory, worker_id: str, postgres: Postgres) -> Path:
    """The directory of what one run of all pages made of each of them; the processes of a run share it."""
    assert postgres.run
    base = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    directory = base / "corpus-listings"
    with (base / "corpus.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            project = Project(base / "corpus-project")
            for page in PAGES:
                project.write(page.relative_to(CORPUS).as_posix(), page.read_bytes())
            draft = base / "corpus-listings-draft"
            project.environment["LISTING"] = str(draft)
            run = project.pytest("-p", "harness.listing", "docs")
            assert run.status == 1, f"the corpus holds wrong pages, so its run must fail:\n{run.output}"
            draft.rename(directory)
    return directory


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(CORPUS).with_suffix("").as_posix())
def test_page(page: Path, listings: Path) -> None:
    """What is collected and what is reported is what the text beside the page says."""
    actual = (listings / page.relative_to(CORPUS)).with_suffix(".txt").read_text()
    expected = page.with_suffix(".txt")
    if UPDATING:
        expected.write_text(actual)
    assert actual == expected.read_text()


def test_each_text_has_its_page() -> None:
    assert {page.with_suffix(".txt") for page in PAGES} == set(CORPUS.rglob("*.txt"))
    assert len(PAGES) >= 60

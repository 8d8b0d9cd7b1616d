"""Expected output: how it is compared, how a difference is shown, and how it is brought up to date in the page."""

from pathlib import Path

import pytest

from handbook.output import compare, lines_of
from handbook.postgres import Postgres
from handbook.python import without_frames
from handbook.run import Edit
from handbook.update import UpdateError, apply_edits
from harness.project import Project, Run


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("", ""),
        ("one", "one"),
        ("one  ", "one"),
        ("one", "one\n\n"),
        ("one\n\ntwo", "one\n\ntwo"),
        ("one\r\ntwo", "one\ntwo"),
        ("...", ""),
        ("...", "one\ntwo"),
        ("one\n...", "one"),
        ("...\ntwo", "one\ntwo"),
        ("one\n...\nthree", "one\nthree"),
        ("one\n...\nthree", "one\ntwo\nthree\nthree"),
        ("...\none\n...\none\n...", "one\ntwo\none"),
        ("...\n...", "one"),
        ("took ... ms", "took 17 ms"),
        ("took ... ms", "took  ms"),
        ("a...b...c", "a1b2c"),
        ("[...]", "[.*+]"),
        ("...end", "the end"),
    ],
)
def test_matches(expected: str, actual: str) -> None:
    assert compare(lines_of(expected), lines_of(actual)).matches


@pytest.mark.parametrize(
    ("expected", "actual", "place", "difference"),
    [
        ("one", "two", 0, ["- one", "+ two"]),
        ("", "one", 0, ["+ one"]),
        ("one", "", 0, ["- one"]),
        (" one", "one", 0, ["-  one", "+ one"]),
        ("one", "One", 0, ["- one", "+ One"]),
        ("one\ntwo", "two", 0, ["- one", "  two"]),
        ("one\ntwo", "one", 1, ["  one", "- two"]),
        ("one", "one\ntwo", 1, ["  one", "+ two"]),
        ("one\n\ntwo", "one\ntwo", 1, ["  one", "-", "  two"]),
        ("one\ntwo", "one\n\ntwo", 1, ["  one", "+", "  two"]),
        ("one\n...\nthree", "one\ntwo", 2, ["  one", "  ...", "- three", "+ two"]),
        ("one\n...", "two\nthree", 0, ["- one", "+ two", "  ...", "~ three"]),
        ("took ... ms", "took 17 s", 0, ["- took ... ms", "+ took 17 s"]),
        ("a.c", "abc", 0, ["- a.c", "+ abc"]),
        (".. .", "...", 0, ["- .. .", "+ ..."]),
    ],
)
def test_differs(expected: str, actual: str, place: int, difference: list[str]) -> None:
    comparison = compare(lines_of(expected), lines_of(actual))
    assert comparison.first_difference == place
    assert not comparison.matches
    assert comparison.difference() == difference


@pytest.mark.parametrize(
    ("expected", "actual", "updated"),
    [
        ("one", "two", ["two"]),
        ("one\ntook ... ms", "two\ntook 3 ms", ["two", "took ... ms"]),
        ("...\nold", "one\ntwo\nnew", ["...", "new"]),
        ("one\n...\nold", "one\nnew", ["one", "...", "new"]),
        ("one\ntook ... s", "one\ntook 3 ms", ["one", "took 3 ms"]),
        ("one\ntwo\nthree", "one\nthree", ["one", "three"]),
        ("", "one\n\ntwo", ["one", "", "two"]),
        ("one", "", []),
    ],
)
def test_update_keeps_what_still_matches(expected: str, actual: str, updated: list[str]) -> None:
    assert compare(lines_of(expected), lines_of(actual)).updated() == updated
    assert compare(updated, lines_of(actual)).matches


@pytest.mark.parametrize("margin", ["", "  | "])
def test_a_frame_may_show_empty_lines_of_its_statement(margin: str) -> None:
    printed = ["Traceback (most recent call last):", '  File "page.md", line 3, in <module>', "    call(", "", "    )"]
    shown = without_frames([*(margin + line if line else line for line in printed), margin + "ValueError: none"])
    assert shown == [margin + "Traceback (most recent call last):", margin + "  ...", margin + "ValueError: none"]


def test_a_long_output_is_compared_in_time() -> None:
    """What differs in a thousand lines is found without comparing every line with every other as a pattern."""
    lines = [f"line {number}" for number in range(1000)]
    other = [*lines[:500], "new", *lines[501:]]
    assert compare([*lines[:10], "...", *lines[990:]], lines).matches
    assert compare(lines, other).difference()[500:502] == ["- line 500", "+ new"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("final", [True, False])
def test_edits_leave_every_other_byte(end: str, final: bool, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    lines = ["a \t", "\x0c\u2028\x85", "> old", "> older", ">", "y", "z"]
    page.write_bytes(b"\xef\xbb\xbf" + (end.join(lines) + (end if final else "")).encode())
    apply_edits(page, [Edit(3, 2, "> ", ["new", "", "newer"]), Edit(6, 1, "", ["Y"])], page.read_bytes())
    after = ["a \t", "\x0c\u2028\x85", "> new", ">", "> newer", ">", "Y", "z"]
    assert page.read_bytes() == b"\xef\xbb\xbf" + (end.join(after) + (end if final else "")).encode()
    assert list(tmp_path.iterdir()) == [page]


def test_edits_can_put_output_where_there_was_none(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_bytes(b"```text\r\n```")
    apply_edits(page, [Edit(2, 0, "", ["one", "two"])], page.read_bytes())
    assert page.read_bytes() == b"```text\r\none\r\ntwo\r\n```"


def test_edits_go_to_what_a_link_names_and_keep_its_mode(tmp_path: Path) -> None:
    page, link = tmp_path / "page.md", tmp_path / "link.md"
    page.write_text("```text\nold\n```\n")
    page.chmod(0o640)
    link.symlink_to(page)
    apply_edits(link, [Edit(2, 1, "", ["new"])], page.read_bytes())
    assert link.is_symlink()
    assert page.read_text() == "```text\nnew\n```\n"
    assert page.stat().st_mode & 0o777 == 0o640


def test_a_page_that_has_changed_since_it_was_read_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("written meanwhile\n")
    with pytest.raises(UpdateError, match="has changed since it was read"):
        apply_edits(page, [Edit(1, 1, "", ["new"])], b"what was read\n")
    assert page.read_text() == "written meanwhile\n"


def output(text: str) -> str:
    return f'```text title="Output"\n{text}```\n'


def block(text: str, language: str = "python") -> str:
    return f"```{language}\n{text}```\n"


ONE = block('print("one")\n')
# Each page as it is, and as it is after the update.
UPDATED: dict[str, tuple[str, str]] = {
    "python": (ONE + output("old\n"), ONE + output("one\n")),
    "carriage returns": ((ONE + output("old\n")).replace("\n", "\r\n"), (ONE + output("one\n")).replace("\n", "\r\n")),
    "byte order mark": ("\ufeff" + ONE + output("old\n"), "\ufeff" + ONE + output("one\n")),
    "no final newline": ((ONE + output("old\n")).rstrip("\n"), (ONE + output("one\n")).rstrip("\n")),
    "strange characters": (
        "\x0c \x85\u2028\t \n\n" + ONE + output("old\n"),
        "\x0c \x85\u2028\t \n\n" + ONE + output("one\n"),
    ),
    "tabs": (
        '-\tItem\n\n\t```python\n\tprint("one")\n\t```\n\n\t```text title="Output"\n\told\n\t```\n',
        '-\tItem\n\n\t```python\n\tprint("one")\n\t```\n\n\t```text title="Output"\n\tone\n\t```\n',
    ),
    "quote": (
        '> ```python\n> print("one\\n\\ntwo")\n> ```\n>\n> ```text title="Output"\n> old\n> ```\n',
        '> ```python\n> print("one\\n\\ntwo")\n> ```\n>\n> ```text title="Output"\n> one\n>\n> two\n> ```\n',
    ),
    "ellipsis": (
        block('print("took 3 ms", "a", "b", "new", sep="\\n")\n') + output("took ... ms\n...\nold\n"),
        block('print("took 3 ms", "a", "b", "new", sep="\\n")\n') + output("took ... ms\n...\nnew\n"),
    ),
    "empty": (ONE + output(""), ONE + output("one\n")),
    "silence": (block("x = 1\n") + output("old\n"), block("x = 1\n") + output("")),
    "several": (
        ONE + output("old\nolder\noldest\n") + ONE + output("one\n") + block('print("a\\nb")\n') + output("old\n"),
        ONE + output("one\n") + ONE + output("one\n") + block('print("a\\nb")\n') + output("a\nb\n"),
    ),
    "console": (
        block("$ echo one\nold\nolder\n$ echo two\ntwo\n$ echo three\n$ (exit 3)\n$ echo $?\n1\n", "console"),
        block("$ echo one\none\n$ echo two\ntwo\n$ echo three\nthree\n$ (exit 3)\n$ echo $?\n3\n", "console"),
    ),
    "pycon": (
        block('>>> 1 + 1\n3\n>>> for n in range(2):\n...     n\n...\n0\n>>> {}["x"]\n', "pycon"),
        block(
            ">>> 1 + 1\n2\n>>> for n in range(2):\n...     n\n...\n0\n1\n"
            ">>> {}[\"x\"]\nTraceback (most recent call last):\n  ...\nKeyError: 'x'\n",
            "pycon",
        ),
    ),
    "sql": (
        block("SELECT 1 AS one;\n", "sql") + output(" one\n-----\n   2\n(1 row)\n"),
        block("SELECT 1 AS one;\n", "sql") + output(" one\n-----\n   1\n(1 row)\n"),
    ),
}
VOLATILE = block('import os\n\nprint("process", os.getpid(), "waters", 3)\n')
UPDATED["volatile"] = VOLATILE + output("old\n"), VOLATILE + output("process ... waters 3\n")
# Pages that an update leaves as they are.
LEFT = {
    "prints a prompt": block("$ printf '$ false\\n'\nold\n", "console"),
    "prints a statement": block('>>> print(">>> 1")\nold\n', "pycon"),
    "prints a fence": block('print("```")\n') + output("old\n"),
    "prints dots": block('print("fern ... moss")\n') + output("old\n"),
    "another block fails": ONE + output("old\n") + block("raise SystemExit\n"),
    "a block above fails": block("raise SystemExit\n") + ONE + output("old\n"),
    "its own block fails": block('print("new")\nraise SystemExit\n') + output("old\n"),
    "a command fails": block("$ echo one\nold\n$ false\n", "console"),
    "it has a problem": ONE + output("old\n") + block("x\n", "nonsense"),
    "up to date": ONE + output("one\n"),
    "not run": "<!-- not run: needs a sensor -->\n" + ONE + output("old\n"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Project:
    assert postgres.run
    made = Project(tmp_path_factory.mktemp("update") / "project")
    for name, (before, _) in UPDATED.items():
        made.write(f"{name}.md", before)
    for name, text in LEFT.items():
        made.write(f"{name}.md", text)
    return made


@pytest.fixture(scope="module")
def update(project: Project) -> Run:
    """One update of all pages."""
    return project.pytest("--update-docs", "docs")


@pytest.mark.parametrize("name", UPDATED)
def test_update_writes_what_was_printed(name: str, project: Project, update: Run) -> None:
    assert (project.docs / f"{name}.md").read_bytes() == UPDATED[name][1].encode(), update.output


@pytest.mark.parametrize("name", LEFT)
def test_update_leaves_a_page_as_it_is(name: str, project: Project, update: Run) -> None:
    assert update.status == 1
    assert (project.docs / f"{name}.md").read_bytes() == LEFT[name].encode()


def test_update_prints_a_summary(update: Run) -> None:
    for line in (
        "docs/python.md: 1 output rewritten",
        "docs/several.md: 2 outputs rewritten",
        "docs/console.md: 3 outputs rewritten",
        "docs/another block fails.md: left as it is: another of its blocks fails",
        "docs/it has a problem.md: left as it is: line 7",
        "docs/up to date.md: up to date",
        "docs/prints a fence.md: left as it is: line 5: what is printed would read as a prompt or a fence: ```",
        (
            "docs/prints dots.md: left as it is: line 5: what is printed holds ..., which would stand for anything: "
            "fern ... moss"
        ),
    ):
        assert line in update.output.splitlines(), update.output


@pytest.mark.slow
def test_an_updated_page_passes(project: Project, update: Run) -> None:
    names = [f"docs/{name}.md" for name in UPDATED]
    run = project.pytest(*(f"--deselect={name}::examples" for name in names), *names)
    assert run.status == 0, run.output + update.output


def test_update_proves_nothing(update: Run) -> None:
    assert update.status == 1
    assert "proof in" not in update.output


@pytest.mark.slow
def test_update_by_workers(tmp_path: Path, postgres: Postgres) -> None:
    """The summary is printed where a person reads it, whichever process has rewritten the page."""
    assert postgres.run
    project = Project(tmp_path / "project")
    for name in ("a", "b", "c"):
        project.write(f"{name}.md", ONE + output("old\n"))
    run = project.pytest("--update-docs", "-n", "2", "docs")
    for name in ("a", "b", "c"):
        assert (project.docs / f"{name}.md").read_text() == ONE + output("one\n"), run.output
        assert f"docs/{name}.md: 1 output rewritten" in run.output.splitlines()

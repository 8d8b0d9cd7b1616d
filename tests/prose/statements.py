"""What must not be said otherwise: sentences below the tests that show them, and who waits for a lock of each mode."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path

from prose.literals import is_of_the_project
from prose.sections import LINK, ROOT, Finding, Section, plain
from src.db.rehearsal.lock import MODES

STATEMENTS = Path(__file__).with_name("statements.md")
OWN_BLOCKS = "The blocks of their own pages"
# The line of a guide that says what a migration locks, and what the rehearsal on its page reports.
LOCK = re.compile(r"(?s)\*\*Lock:\*\* (?P<what>.*?)(?=\n\s*\n|\Z)")
MODE = re.compile(rf"`({'|'.join(sorted(MODES, key=len, reverse=True))})`")
HOLDS = re.compile(
    rf"holds +(?P<mode>{'|'.join(sorted(MODES, key=len, reverse=True))}) on (?P<rest>.*?)(?= locks | \d{{3}}_|\n|$)"
)
DURATION = re.compile(r"for a moment|while it re(?:ads|writes)")
WAIT = re.compile(
    r"(?i)\b(?:only )?(?P<who>everybody|nobody|readers and writers|readers?|writers?)\b(?P<whom>(?: [\w`']+){0,7}?)"
    r" (?P<does>waits?|goe?s? on|continues?)\b"
)


@cache
def statements() -> list[tuple[str, str, str]]:
    """What is said: the page, the statement, and the test that shows it."""
    found, test = [], ""
    for line in STATEMENTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            test = line.removeprefix("## ")
        elif said := re.fullmatch(r"- ([\w/-]+): (.*)", line):
            page = f"{said[1]}.md" if (ROOT / f"{said[1]}.md").exists() else f"docs/{said[1]}.md"
            found.append((page, said[2], test))
    return found


def spoken(text: str) -> str:
    """A text as it is read: links are their texts, and nothing is emphasized."""
    return plain(LINK.sub(r"\g<text>", text).replace("*", ""))


def check(page: Sequence[Section]) -> Iterator[Finding]:
    """A page says what it has to say; where it does not, the finding is at what is most like it."""
    mine = [(said, test) for name, said, test in statements() if name == page[0].page]
    text = spoken(" ".join(section.source for section in page)) if mine else ""
    for said, test in mine:
        if test != OWN_BLOCKS and not is_of_the_project(test):
            yield Finding(page[0].page, 1, f"{STATEMENTS.name}: there is no test {test}")
        elif not re.search(rf"(?<!\w){re.escape(said)}(?!\w)", text):
            sentences = [(line, spoken(one)) for section in page for line, one in section.sentences()]
            like = {one: SequenceMatcher(None, said, one).ratio() for _, one in sentences}
            line, nearest = max(sentences, key=lambda entry: like[entry[1]])
            shows = "its blocks show" if test == OWN_BLOCKS else f"{test} shows"
            yield Finding(page[0].page, line, f"says {nearest!r}, and not {said!r}, as {shows}")


def check_locks(section: Section) -> Iterator[Finding]:
    """The lock line of a guide is that of a rehearsal on its page, and who waits is said as the mode has it."""
    reported = [(one["mode"], one["rest"]) for one in HOLDS.finditer(section.top.scope)]
    for found in LOCK.finditer(section.prose):
        line, what = section.line_of(found.start()), plain(found["what"])
        modes = MODE.findall(what)
        first = re.split(r"\. |;", what)[0]
        tables = set(re.findall(r"`([a-z_]+)`", first))
        duration = DURATION.findall(first)
        if (
            modes
            and reported
            and not any(
                mode == modes[0]
                and (":" in first or tables <= set(re.findall(r"\w+", rest)))
                and (not duration or duration[0] in rest or "2 more" in rest)
                for mode, rest in reported
            )
        ):
            told = "; ".join(sorted({f"{mode} on {rest.strip()}" for mode, rest in reported}))
            yield Finding(section.page, line, f"the lock line says {first!r}, and the rehearsals: {told}")
        if modes and duration == ["for a moment"] and "no row is read" not in what and "rows are" in what:
            yield Finding(section.page, line, "for a moment means that no row is read or rewritten")
    for line, sentence in _sentences_with_locks(section):
        modes = MODE.findall(sentence)
        strongest = max(modes, key=MODES.index) if modes else ""
        for said in WAIT.finditer(sentence) if len(set(modes)) == 1 else ():
            if said["who"].lower() not in waiting(strongest, said["does"], said["whom"]):
                yield Finding(section.page, line, f"{strongest}: {said[0]!r} is not who waits for that lock")


def _sentences_with_locks(section: Section) -> Iterator[tuple[int, str]]:
    """The lock lines as wholes, and the other sentences."""
    for found in LOCK.finditer(section.prose):
        yield section.line_of(found.start()), plain(found["what"])
    yield from ((line, one) for line, one in section.sentences() if "**Lock:**" not in one and not one.startswith("|"))


def waiting(mode: str, does: str, whom: str) -> set[str]:
    """Who may be said to wait for a table lock of a mode, or to continue."""
    level = MODES.index(mode)
    goes_on = does.lower().startswith(("go", "continue"))
    if level == len(MODES) - 1:
        return set() if goes_on else {"everybody", "readers", "reader", "readers and writers"}
    if level >= MODES.index("SHARE"):
        return {"readers", "reader"} if goes_on else {"writers", "writer"} | ({"nobody"} if mode != "SHARE" else set())
    # A lock of a row stops those who write the same row, whatever that of the table.
    rows = {"writers", "writer"} if mode == "ROW EXCLUSIVE" and "row" in whom else set()
    return {"readers and writers", "readers", "writers"} if goes_on else {"nobody", *rows}

"""What must not be said otherwise: sentences below the tests that show them, and who waits for a lock of each mode."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path

from prose.literals import LEFT_OPEN, is_of_the_project
from prose.sections import LINK, ROOT, Finding, Section, plain
from src.db.rehearsal.lock import MODES

STATEMENTS = Path(__file__).with_name("statements.md")
BLOCKS = "The blocks of the handbook"
# The line of a guide that says what a migration locks, and what the rehearsal on its page reports.
ANY = "|".join(sorted(MODES, key=len, reverse=True))
LOCK = re.compile(r"\s*\*\*Lock:\*\* (?P<what>(?P<first>.*?)(?:\. |;|$).*)")
MODE = re.compile(rf"`({ANY})`")
HOLDS = re.compile(rf"holds +(?P<mode>{ANY}) on (?P<rest>.*?)(?= locks | \d{{3}}_|\n|$)")
DURATION = re.compile(r"for a moment|while it re(?:ads|writes)")
WAIT = re.compile(
    r"(?i)\b(?P<who>everybody|nobody|readers and writers|readers?|writers?)\b(?P<whom>(?: [\w`']+){0,10}?)"
    r" (?P<does>waits?|goe?s? on|continues?)\b"
)
END = re.compile(r"[.:] ")


@cache
def statements() -> list[tuple[str, str, str]]:
    """What is said: the page, the statement, and the test that shows it."""
    found, test = [], ""
    for line in STATEMENTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            test = line.removeprefix("## ")
        elif said := re.fullmatch(r"- ([\w/, -]+): (.*)", line):
            for name in said[1].split(", "):
                page = f"{name}.md" if (ROOT / f"{name}.md").exists() else f"docs/{name}.md"
                found.append((page, said[2], test))
    return found


def spoken(text: str) -> str:
    """A text as it is read: links are their texts, and nothing is emphasized."""
    return plain(LINK.sub(r"\g<text>", text).replace("*", ""))


def pattern(said: str) -> re.Pattern[str]:
    """A pattern for a statement, in which "…" stands for any words of a sentence."""
    parts = (r"\s+".join(map(re.escape, part.split())) for part in LEFT_OPEN.split(said))
    return re.compile(rf"(?<!\w){'[^.]*?'.join(parts)}(?!\w)")


def check(page: Sequence[Section]) -> Iterator[Finding]:
    """A page says what it has to say; where it does not, the finding is at what is most like it."""
    mine = [(said, test) for name, said, test in statements() if name == page[0].page]
    text = spoken(" ".join(section.source for section in page)) if mine else ""
    for said, test in mine:
        if test != BLOCKS and not is_of_the_project(test):
            yield Finding(page[0].page, 1, f"{STATEMENTS.name}: there is no test {test}")
        elif not pattern(said).search(text):
            sentences = [(line, spoken(one)) for section in page for line, one in section.sentences()]
            like = {one: SequenceMatcher(None, said, one).ratio() for _, one in sentences}
            line, nearest = max(sentences, key=lambda entry: like[entry[1]])
            problem = (
                f"says {nearest!r}, and not {said!r}, as {test} has it; if it still does, change {STATEMENTS.name}"
            )
            yield Finding(page[0].page, line, problem)


def check_locks(section: Section) -> Iterator[Finding]:
    """The lock line of a guide is that of a rehearsal on its page, and who waits is said as the mode has it."""
    for place, text in section.paragraphs():
        line = section.line_of(place)
        if found := LOCK.fullmatch(text):
            yield from _unlike_the_rehearsals(section, line, found)
        for said in WAIT.finditer(text) if not text.startswith("|") else ():
            # The lock is the one named last, or next in the sentence.
            modes = MODE.findall(text[: said.start()])[-1:] or MODE.findall(END.split(text[said.end() :])[0])[:1]
            if modes and said["who"].lower() not in waiting(modes[0], said["does"], said["whom"]):
                yield Finding(section.page, line, f"{modes[0]}: {said[0]!r} is not who waits for that lock")


def _unlike_the_rehearsals(section: Section, line: int, found: re.Match[str]) -> Iterator[Finding]:
    first, modes = found["first"], MODE.findall(found["what"])
    reported = [(one["mode"], one["rest"]) for one in HOLDS.finditer(section.top.scope)]
    tables, duration = set(re.findall(r"`([a-z_]+)`", first)), DURATION.findall(first)
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
    if modes and duration == ["for a moment"] and "no row is read" not in found["what"] and "rows are" in found["what"]:
        yield Finding(section.page, line, "for a moment means that no row is read or rewritten")


def waiting(mode: str, does: str, whom: str) -> set[str]:
    """Who may be said to wait for a table lock of a mode, or to continue."""
    level = MODES.index(mode)
    goes_on = not does.lower().startswith("wait")
    if level == len(MODES) - 1:
        return set() if goes_on else {"everybody", "readers", "reader", "readers and writers"}
    if level >= MODES.index("SHARE"):
        return {"readers", "reader"} if goes_on else {"writers", "writer"} | ({"nobody"} if mode != "SHARE" else set())
    # A lock of a row stops those who write the same row, whatever that of the table.
    rows = {"writers", "writer"} if mode == "ROW EXCLUSIVE" and "row" in whom else set()
    return {"readers and writers"} if goes_on else {"nobody", *rows}

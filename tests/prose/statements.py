"""What must be said as it is, below the test or the page that shows it, and who waits for a lock of each mode."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import cache
from itertools import pairwise
from pathlib import Path

from prose.sections import Finding, Section, handbook, plain
from src.db.rehearsal.lock import MODES

STATEMENTS = Path(__file__).with_name("statements.md")
SHOWN_BY = re.compile(r"(?m)^## (\S+)$")
WORD = re.compile(r"\w[\w'/-]*")
# Where a link leads to is not read, nor what sets a word apart.
NOT_READ = re.compile(r"\]\([^)]*\)|\]\[[^\]]*\]|[`*]")
# Words that turn a sentence round where they stand for one another, are left out or added.
TURNS = (
    "before after until from never always not no none nobody everybody nothing everything all each every only",
    "first last once twice again old new older newer oldest newest earlier later next previous most least more fewer",
    "reads writes read write readers writers reader writer waits wait waiting continues continue starts stops",
    "kept keeps keep undone undoes lost loses gone committed commits released releases rolls holds stays leaves",
    "stronger weaker strongest weakest strong weak longer shorter second seconds minute minutes hour hours half",
    "transaction session statement server database applied recorded pending ready health error warning",
    "succeeds fails succeeded failed with without inside outside above below both either neither valid invalid",
    "refuses allows does do did keep commit lose release hold stay leave undo roll try tries start stop fail succeed",
)
TURNING = frozenset(" ".join(TURNS).split())
# A statement of so few words may be said of something else; so many places are turned at once.
FEW, AT_ONCE = 6, 2
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
def statements() -> Mapping[str, tuple[str, str]]:
    """The words of what is said, each with how it is written and what shows it: a test, or the blocks of a page."""
    _, *parts = SHOWN_BY.split(STATEMENTS.read_text(encoding="utf-8"))
    return {
        words(said): (plain(said), shown_by)
        for shown_by, text in zip(parts[::2], parts[1::2], strict=True)
        for said in text.split("\n- ")[1:]
    }


def words(text: str) -> str:
    """The words of a text as they are read, one blank between two."""
    read = (
        NOT_READ.sub("", text).lower().replace("can't", "can not").replace("n't", " not").replace("cannot", "can not")
    )
    return " ".join(WORD.findall(read))


def pairs(said: str) -> set[tuple[str, str]]:
    """The words that follow each other."""
    return set(pairwise(said.split()))


def spoken(page: Sequence[Section]) -> list[tuple[int, str]]:
    """The words of each sentence of a page, with its line."""
    return [(line, words(sentence)) for section in page for line, sentence in section.sentences]


@cache
def homes() -> Mapping[str, frozenset[str]]:
    """The pages that say each statement; if none does, the page with the sentence that is most like it."""
    said = {name: spoken(page) for name, page in handbook().items()}
    texts = {name: _text(sentences) for name, sentences in said.items()}
    found = {one: frozenset(name for name, text in texts.items() if f" {one} " in text) for one in statements()}
    nearest = {one: max(said, key=lambda name: _nearest(one, said[name])) for one in found if not found[one]}
    return found | {one: frozenset([name]) for one, name in nearest.items()}


def _text(sentences: Sequence[tuple[int, str]]) -> str:
    return f" {' '.join(sentence for _, sentence in sentences)} "


def _nearest(statement: str, sentences: Sequence[tuple[int, str]]) -> tuple[int, int]:
    """How many pairs of words the most similar sentence has in common with a statement, and its line."""
    return max(((len(pairs(statement) & pairs(one)), line) for line, one in sentences), default=(0, 1))


def check(page: Sequence[Section]) -> Iterator[Finding]:
    """Each statement is said where it was."""
    name, sentences = page[0].page, spoken(page)
    text = _text(sentences)
    for said, (written, shown_by) in statements().items():
        if homes()[said] == {name} and f" {said} " not in text:
            problem = f"no longer says {written!r}, which {shown_by} shows; if it is true, correct {STATEMENTS.name}"
            yield Finding(name, _nearest(said, sentences)[1], problem)


@cache
def by_pair() -> Mapping[tuple[str, str], list[str]]:
    """The statements of more than a few words, by each pair of their words."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for said in statements():
        for pair in pairs(said) if said.count(" ") >= FEW else ():
            found[pair].append(said)
    return found


def check_turned(section: Section) -> Iterator[Finding]:
    """No sentence is a statement but for words that turn it round."""
    for line, sentence in section.sentences:
        spoken_ = words(sentence)
        like = Counter(said for pair in pairs(spoken_) for said in by_pair().get(pair, ()))
        for said, count in like.items():
            if count * 5 >= said.count(" ") * 2 and said not in spoken_ and (turned := _turned(said, spoken_)):
                written, shown_by = statements()[said]
                yield Finding(section.page, line, f"says {turned!r}, and {shown_by} shows {written!r}")


def _turned(said: str, sentence: str) -> str:
    """The part of a sentence that is the statement but for words that turn it round, or nothing."""
    one, other = said.split(), sentence.split()
    steps = SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    while steps and steps[0][0] == "insert":
        del steps[0]
    while steps and steps[-1][0] == "insert":
        del steps[-1]
    changed = [{*one[a:b], *other[c:d]} for kind, a, b, c, d in steps if kind != "equal"]
    part = " ".join(other[steps[0][3] : steps[-1][4]])
    turns = 0 < len(changed) <= AT_ONCE and all(some <= TURNING or all(map(str.isdigit, some)) for some in changed)
    whole = turns and "delete" not in (steps[0][0], steps[-1][0])
    return part if whole and not any(part in known for known in statements()) else ""


def check_locks(section: Section) -> Iterator[Finding]:
    """The lock line of a guide is that of a rehearsal on its page, and who waits is said as the mode has it."""
    for line, text in section.paragraphs():
        found = LOCK.fullmatch(text)
        if found:
            yield from _unlike_the_rehearsals(section, line, found)
        no_lock = found is not None and found["first"].startswith("none")
        for said in WAIT.finditer(text) if not text.startswith("|") else ():
            # The lock is the one named last, or next in the sentence.
            modes = MODE.findall(text[: said.start()])[-1:] or MODE.findall(END.split(text[said.end() :])[0])[:1]
            if no_lock and said["who"].lower() not in ("nobody", "readers and writers"):
                yield Finding(section.page, line, f"no lock: {said[0]!r} is not who waits")
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

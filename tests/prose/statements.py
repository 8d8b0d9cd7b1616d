"""What must not be said otherwise: phrases below the tests that show them, and who waits for a lock of each mode."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from prose.sections import Finding, Section, blank
from src.db.rehearsal.lock import MODES

STATEMENTS = Path(__file__).with_name("statements.md")
BLOCKS = "The blocks of the handbook"
# Words that turn a sentence round where one stands for another.
VOCABULARY = (
    *("before after", "never always", "first last", "once twice", "old new", "older newer", "oldest newest"),
    *("reads writes", "read write", "readers writers everybody nobody", "reader writer", "nothing everything"),
    *("kept undone lost committed gone", "keeps undoes loses rolls commits releases", "holds releases", "starts stops"),
    *("waits continues", "wait continue", "least most", "more fewer", "stronger weaker", "strongest weakest"),
    *("transaction statement session", "second minute hour", "seconds minutes hours", "autumn spring", "start stop"),
    *("applied recorded pending", "ready health", "200 503 500", "succeeds fails", "earlier later", "next previous"),
    *("with without", "inside outside", "all no none", "each no", "every no", "from until", "above below"),
    *("valid invalid", "longer shorter", "strong weak", "began ended", "error output", "both neither"),
    *("refuses allows", "keep stop"),
)
OTHERS = {
    word: {other for group in VOCABULARY if word in group.split() for other in group.split()} - {word}
    for word in " ".join(VOCABULARY).split()
}
VERBS = "is|are|was|were|can|could|must|will|has|have|had|should"
SPOKEN = re.compile(
    rf"(?i)\b(?:do|does)(?:n't|\s+not)\s+(?P<base>\w+)|\b(?P<verb>{VERBS})(?:n't|'t|\s*not)\b|\w[\w'-]*"
)
# Where a link leads to is not read.
ADDRESS = re.compile(r"\]\([^)]*\)")
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
def statements() -> Mapping[str, str]:
    """What is said, and the test that shows it."""
    _, *parts = re.split(r"(?m)^## (.*)$", STATEMENTS.read_text(encoding="utf-8"))
    return {
        " ".join(said.split()): test
        for test, phrases in zip(parts[::2], parts[1::2], strict=True)
        for said in phrases.split(";")
    }


def words(text: str) -> Iterator[tuple[str, int]]:
    """The words of a text as they are read, each with its place; one that is negated is "not" and the word."""
    for found in SPOKEN.finditer(ADDRESS.sub(blank, text)):
        negated = found["base"] or found["verb"]
        yield (f"not {negated}" if negated else found[0]).lower(), found.start()


def others(word: str) -> set[str]:
    """What says the contrary of a word in its place."""
    if word in ("never", "not"):
        return OTHERS.get(word, set()) | {""}
    if word.startswith("not "):
        base = word.removeprefix("not ")
        return {base, f"{base}s", f"{base}es"}
    if re.fullmatch(VERBS, word):
        return OTHERS.get(word, set()) | {f"not {word}", f"{word} never"}
    # Versions from 007 on are examples, and each page has its own.
    if re.fullmatch(r"[1-9]\d*|00[1-6]", word):
        return OTHERS.get(word, set()) | {
            str(number).zfill(len(word)) for number in (int(word) - 1, int(word) + 1, int(word) * 2, int(word) * 10)
        }
    bases = [word[:-1], word[:-2], re.sub("ies$", "y", word)] if word.endswith("s") else []
    return OTHERS.get(word, set()) | {f"not {base}" for base in bases}


@cache
def contraries() -> Mapping[str, list[tuple[str, int, str]]]:
    """By a word: what no page may say with it, where it stands there, and the statement that it turns round."""
    found: dict[str, list[tuple[str, int, str]]] = {}
    for said in statements():
        spoken = [word for word, _ in words(said)]
        for place, word in enumerate(spoken):
            # Without the "never" or "not" that it starts with, a statement is a part of itself.
            for other in others(word) - ({""} if place == 0 else set()):
                turned = " ".join(["", *spoken[:place], *([other] if other else []), *spoken[place + 1 :], ""])
                before = sum(len(one.split()) for one in spoken[:place])
                key = "never" if other.endswith("never") else other or spoken[place - 1]
                found.setdefault(key, []).append((turned, before, said))
    return found


def check(section: Section) -> Iterator[Finding]:
    """No sentence says the contrary of a statement."""
    spoken = [*words(section.prose)]
    text = f" {' '.join(word for word, _ in spoken)} "
    # A negated word is two words of the text.
    places = [place for word, place in spoken for _ in word.split()]
    for word in {word for word, _ in spoken} & contraries().keys():
        for contrary, turned, said in contraries()[word]:
            if contrary in text:
                place = places[text[: text.index(contrary)].count(" ") + turned]
                problem = f"says {contrary.strip()!r}; {statements()[said]} shows {said!r}, as {STATEMENTS.name} has it"
                yield Finding(section.page, section.line_of(place), problem)


def check_locks(section: Section) -> Iterator[Finding]:
    """The lock line of a guide is that of a rehearsal on its page, and who waits is said as the mode has it."""
    for place, text in section.paragraphs():
        line = section.line_of(place)
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

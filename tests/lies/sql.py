"""Lies about SQL: a statement that is missing, a constraint that is missing, another type, another word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from lies.lie import Edit, altered, words

TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?\*/ )
    | (?P<body> \$(?P<tag>\w*)\$ .*? \$(?P=tag)\$ )
    | (?P<string> [eE]?'(?:[^'\\]|''|\\.)*' )
    | (?P<quoted> "(?:[^"]|"")*" )
    | (?P<parameter> \$\d+ | :'?\w+'? (?<!::\w) )
    | (?P<number> \b\d+(?:\.\d+)?\b )
    | (?P<word> [^\W\d]\w* )
    | (?P<other> . )
    """,
    re.DOTALL | re.VERBOSE,
)
WORDS = re.compile(r"\w+")
VERBS = frozenset(
    WORDS.findall("""
    ALTER ANALYZE BEGIN CALL CLUSTER COMMENT COMMIT COPY CREATE DELETE DO DROP EXPLAIN GRANT INSERT LISTEN LOCK
    MERGE NOTIFY PREPARE REFRESH REINDEX RELEASE RESET REVOKE ROLLBACK SAVEPOINT SELECT SET SHOW START TABLE
    TRUNCATE UPDATE VACUUM VALUES WITH
    """)
)
# To misspell one of these is no lie: PostgreSQL does not understand it.
KEYWORDS = VERBS | frozenset(
    WORDS.findall("""
    ADD AFTER ALL ALWAYS AND ANY AS ASC BEFORE BETWEEN BY CASCADE CASE CAST CHECK COALESCE COLUMN CONCURRENTLY
    CONFLICT CONSTRAINT CROSS DATABASE DECLARE DEFAULT DEFERRABLE DESC DISTINCT DOMAIN EACH ELSE END EXCEPT
    EXCLUDE EXECUTE EXISTS EXTENSION FALSE FILTER FIRST FOR FOREIGN FROM FULL FUNCTION GENERATED GROUP HAVING
    IDENTITY IF ILIKE IMMUTABLE IN INDEX INNER INTERSECT INTERVAL INTO IS JOIN KEY LANGUAGE LAST LATERAL LEFT
    LIKE LIMIT LOCAL LOOP MATERIALIZED MODE NEW NO NOT NOTHING NOWAIT NULL NULLS OF OFFSET OLD ON ONLY OR ORDER
    OUTER OVER OWNED OWNER PARTITION POLICY PRIMARY PRIVILEGES PROCEDURE RAISE REFERENCES RENAME REPLACE
    RESTRICT RETURN RETURNING RETURNS RIGHT ROLE ROW ROWS SCHEMA SEQUENCE SESSION SKIP STORED TEMP TEMPORARY
    THEN TO TRANSACTION TRIGGER TRUE TYPE UNION UNIQUE USING VALID VALIDATE VIEW WHEN WHERE WHILE WITHOUT WORK
    """)
)
# Another type that a column could have as well.
TYPES = {
    "bigint": "integer",
    "boolean": "integer",
    "date": "timestamptz",
    "double precision": "real",
    "int": "bigint",
    "integer": "bigint",
    "interval": "text",
    "jsonb": "json",
    "numeric": "real",
    "real": "double precision",
    "serial": "bigserial",
    "smallint": "integer",
    "text": "varchar",
    "timestamptz": "timestamp",
    "uuid": "text",
    "varchar": "text",
}
_TYPE = "|".join(sorted(TYPES, key=len, reverse=True))
# A column's type: after its name, which no keyword is, and not in an expression.
COLUMN_TYPE = re.compile(
    rf"(?:\bTYPE\s+|(?:\bADD\s+COLUMN\s+(?:IF\s+NOT\s+EXISTS\s+)?|[(,]\s*)(?!(?:CONSTRAINT|CHECK|PRIMARY|FOREIGN|UNIQUE)\b)\w+\s+)"
    rf"(?P<type>{_TYPE})\b(?!\s*\()",
    re.IGNORECASE,
)
# How long something may take is not told, nor by how much a bound is kept. SELECT 1 stands for any statement.
WAIT = re.compile(
    r"""
    (?: \bpg_sleep\( | \bpg_terminate_backend\([^,()]*(?:\(\))?,\ | \ASELECT\ (?=1;?\Z)
      | [<>]\ (?:now\(\)\ -\ )?interval\  | [<>]\ (?=\d+\ AS\ ) )
    ('?[\d.]+)
    """,
    re.VERBOSE,
)
DEFINES = re.compile(r"\s*(CREATE\s+TABLE|ALTER\s+TABLE|CREATE\s+UNIQUE\s+INDEX|CREATE\s+INDEX)\b", re.IGNORECASE)
# What a definition can lose and still be SQL, mostly with another effect.
CLAUSES = re.compile(
    r"""
      (?<!IS\ )\bNOT\ NULL\b
    | \bDEFAULT\s+(?:'(?:[^']|'')*' | \w+\([^()]*\) | [\w.]+)
    | \bUNIQUE\b
    | \bPRIMARY\ KEY\b(?!\s*\()
    | \bREFERENCES\s+\w+\s*(?:\(\w+\))?(?:\s+ON\s+(?:DELETE|UPDATE)\s+(?:CASCADE|RESTRICT|SET\ NULL|NO\ ACTION))*
    | \bON\s+(?:DELETE|UPDATE)\s+(?:CASCADE|RESTRICT|SET\ NULL|NO\ ACTION)
    | \bNOT\ VALID\b
    | \bCONCURRENTLY\b
    | \bDESC\b
    """,
    re.VERBOSE,
)


# The values that an example makes up: of the rows that it inserts, and of those that it changes.
SAMPLE = re.compile(
    r"\b(?:INSERT\s+INTO\s+[\w.]+\s*(?:\([^()]*\))?\s*(?:VALUES|SELECT)|UPDATE\s+[\w.]+\s+SET)\b"
    r"(?P<rows>.*?)(?=\b(?:FROM|WHERE|ON\s+CONFLICT|RETURNING)\b|;|\Z)",
    re.DOTALL,
)


def looks_like_sql(text: str) -> bool:
    """Whether a string is SQL: it starts with one of its verbs, in capitals, with something after it."""
    match = re.match(r"\s*([A-Z]+)\b", text)
    return match is not None and match[1] in VERBS


def edits(text: str) -> Iterator[Edit]:
    """Every lie about a text of SQL, which may hold several statements."""
    yield from missing_statements(text)
    yield from missing_clauses(text)
    yield from other_types(text)
    yield from other_words(text)


def statements(text: str) -> list[tuple[int, int]]:
    """Where the statements of a text start and end, each with its semicolon, comments left out."""
    found = []
    start: int | None = None
    depth = 0
    line_command = False
    for match in TOKEN.finditer(text):
        token = match[0]
        if match["comment"] or (token.isspace() and not (line_command and "\n" in token)):
            continue
        if line_command:
            if "\n" in token and start is not None:
                found.append((start, match.start()))
                start, line_command = None, False
            continue
        if start is None:
            start = match.start()
            line_command = match[0] == "\\"
            continue
        depth += {"(": 1, ")": -1}.get(token, 0)
        if match[0] == ";" and depth == 0:
            found.append((start, match.end()))
            start = None
    if start is not None:
        found.append((start, len(text.rstrip())))
    return found


def missing_statements(text: str) -> Iterator[Edit]:
    """Each statement dropped. Of one alone nothing would be left, and what is asked of it is asked of its words."""
    found = statements(text)
    if len(found) > 1:
        for start, end in found:
            yield Edit("SQL statement", start, end, "")


def missing_clauses(text: str) -> Iterator[Edit]:
    """Each constraint, default and option of a definition dropped."""
    masked = _masked(text)
    for start, end in statements(text):
        if DEFINES.match(masked, start):
            for match in CLAUSES.finditer(masked, start, end):
                before = match.start() - (masked[match.start() - 1 : match.start()] == " ")
                yield Edit("clause", before, match.end(), "")


def other_types(text: str) -> Iterator[Edit]:
    """Each column with another type."""
    masked = _masked(text)
    for start, end in statements(text):
        if DEFINES.match(masked, start):
            for match in COLUMN_TYPE.finditer(masked, start, end):
                old = match["type"]
                yield Edit("type", match.start("type"), match.end("type"), TYPES[old.lower()])


def other_words(text: str) -> Iterator[Edit]:
    """Each name, number and string altered."""
    samples = {place for match in SAMPLE.finditer(_masked(text)) for place in range(*match.span("rows"))}
    types = {match.start("type") for match in COLUMN_TYPE.finditer(_masked(text))}
    waits = {place for match in WAIT.finditer(text) for place in range(*match.span(1))}
    for match in TOKEN.finditer(text):
        token, start = match[0], match.start()
        if match["body"]:
            mark = len(match["tag"]) + 2
            yield from (edit.moved(start + mark) for edit in other_words(token[mark:-mark]))
        elif match["string"] or match["quoted"]:
            quote = token.index(token[-1]) + 1
            inside = token[quote:-1]
            if match["string"] and looks_like_sql(inside):
                yield from (edit.moved(start + quote) for edit in other_words(inside))
            elif start not in waits:
                kind = "name" if match["quoted"] else "sample" if start in samples else "string"
                for edit in words(inside) if match["string"] else [Edit(kind, 0, len(inside), altered(inside))]:
                    yield replace(edit.moved(start + quote), kind=kind)
        elif match["number"]:
            if start not in waits:
                yield Edit("sample" if start in samples else "number", start, match.end(), altered(token))
        elif match["word"] and token.upper() not in KEYWORDS and start not in types and not _is_idle(text, match):
            yield Edit("name", start, match.end(), altered(token))


def _is_idle(text: str, match: re.Match[str]) -> bool:
    """Whether to alter a word is no lie: it is the type of a cast, or the name of a part that nothing refers to."""
    if text[: match.start()].rstrip().endswith("::") or match[0].lower() == "precision":
        return True
    names_a_part = re.match(r"\s+AS\s+(MATERIALIZED\s+)?\(", text[match.end() :]) is not None
    return names_a_part and len(re.findall(rf"\b{match[0]}\b", text)) == 1


def _masked(text: str) -> str:
    """The text with blanks for comments, and for the insides of strings."""

    def blank(match: re.Match[str]) -> str:
        token = match[0]
        if match["comment"] or match["body"]:
            return re.sub(r"[^\n]", " ", token)
        if match["string"]:
            return "'" + "_" * (len(token) - 2) + "'" if token.startswith("'") else "_" * len(token)
        return token

    return TOKEN.sub(blank, text)

"""How SQL is read."""

from __future__ import annotations

import time

import pytest

from src.db.runner.lexer import begins_transaction, controls_transaction, ends_transaction, statements_of


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("", []),
        (";; SELECT 1;", [("select",)]),
        ("BEGIN; select a, b, c, d, e", [("begin",), ("select", "a", "b", "c")]),
        ("-- ; COMMIT\nSELECT 1", [("select",)]),
        ("/* ; /* ; */ COMMIT; */ SELECT 1", [("select",)]),
        ("SELECT 1 /* COMMIT; /* */", [("select",)]),
        ("SELECT ';', E'\\';', \";\", $$;$$, $a$;$$;$a$", [("select",)]),
        ("SELECT E'a''\\'; COMMIT', 'it''s \\'; COMMIT", [("select",), ("commit",)]),
        ("SELECT $1; COMMIT", [("select",), ("commit",)]),
        (
            "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; END; COMMIT",
            [("create", "function", "f", "begin"), ("commit",)],
        ),
    ],
)
def test_the_statements_of_a_string(sql: str, statements: list[tuple[str, ...]]) -> None:
    assert statements_of(sql) == statements


@pytest.mark.parametrize(
    ("sql", "ends", "controls"),
    [
        ("COMMIT AND CHAIN", True, True),
        ("end", True, True),
        ("ABORT", True, True),
        ("ROLLBACK WORK", True, True),
        ("PREPARE TRANSACTION 'x'", True, True),
        ("PREPARE x AS SELECT 1", False, False),
        ("ROLLBACK TO s", False, True),
        ("ROLLBACK WORK TO SAVEPOINT s", False, True),
        ("START TRANSACTION", False, True),
        ("SAVEPOINT s", False, True),
        ("SELECT commit FROM t", False, False),
    ],
)
def test_what_controls_a_transaction(sql: str, ends: bool, controls: bool) -> None:
    [statement] = statements_of(sql)
    assert (ends_transaction(statement), controls_transaction(statement)) == (ends, controls)


@pytest.mark.parametrize(
    ("sql", "begins"),
    [("BEGIN", True), ("START TRANSACTION", True), ("COMMIT WORK AND CHAIN", True), ("COMMIT", False)],
)
def test_what_begins_a_transaction(sql: str, begins: bool) -> None:
    [statement] = statements_of(sql)
    assert begins_transaction(statement) == begins


def test_a_long_literal_is_read_at_once() -> None:
    started = time.process_time()
    assert statements_of(f"SELECT '{10_000_000 * 'a'}', E'{10_000_000 * 'a'}'") == [("select",)]
    assert time.process_time() - started < 1

"""The schema's growth: which migration brings which table, with how many columns, and what the table refers to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from website.diagrams.drawing import LINE, Drawing, width_of
from website.words import in_words

Row = Mapping[str, str]

TITLE = "The schema after each migration"
PADDING = 10.0
HEIGHT = LINE + 6
STEP = HEIGHT + 10
TOP = 34.0


@dataclass(frozen=True)
class State:
    """A table as it is after a migration."""

    columns: int
    refers_to: tuple[str, ...]


def history_of(rows: Sequence[Row]) -> dict[str, dict[str, State]]:
    """The tables after each migration, from a list with a row for each table after each migration."""
    history: dict[str, dict[str, State]] = {}
    for row in rows:
        state = State(int(row["columns"]), tuple(filter(None, row["refers to"].split(", "))))
        history.setdefault(row["migration"], {})[row["table"]] = state
    return history


def draw(rows: Sequence[Row]) -> Drawing:
    """Draw a bar for each table, from the migration that brings it to the last; a mark where it changes.

    Lines lead from the beginning of a table's bar to the bars of those that it refers to.
    """
    history = history_of(rows)
    migrations = list(history)
    tables = list(dict.fromkeys(table for tables in history.values() for table in tables))
    names = {table: f"{table} " for table in tables}
    cell = max(width_of(text) for text in ("00 columns", *migrations)) + 2 * PADDING
    left = max(width_of(name) for name in names.values()) + PADDING
    drawing = Drawing()
    for index, migration in enumerate(migrations):
        drawing.words(left + cell * index + PADDING, 14, migration, "name")
        drawing.line([(left + cell * index, 22), (left + cell * index, TOP + STEP * len(tables) - 10)], "grid")
    for place, table in enumerate(tables):
        y = TOP + STEP * place
        first = next(index for index, migration in enumerate(migrations) if table in history[migration])
        drawing.words(0, y + HEIGHT - 8, table, "name")
        gone = [
            index for index, migration in enumerate(migrations) if index > first and table not in history[migration]
        ]
        end = gone[0] if gone else len(migrations)
        drawing.box(left + cell * first, y, cell * (end - first), HEIGHT, "table")
        before: State | None = None
        for index in range(first, end):
            state = history[migrations[index]][table]
            x = left + cell * index
            if before is None or state.columns != before.columns:
                drawing.words(x + PADDING, y + HEIGHT - 8, _columns(state.columns))
            for number, parent in enumerate(sorted(set(state.refers_to) - set(before.refers_to if before else ()))):
                drawing.line(_reference(x + 14 * number, y, TOP + STEP * tables.index(parent)), "reference")
                drawing.box(x + 14 * number - 3, TOP + STEP * tables.index(parent) + HEIGHT / 2 - 3, 6, 6, "dot")
            before = state
    return drawing


def _reference(x: float, start: float, end: float) -> list[tuple[float, float]]:
    return [(x, start), (x, end + HEIGHT / 2)]


def _columns(count: int) -> str:
    return f"{count} column" if count == 1 else f"{count} columns"


def description(rows: Sequence[Row]) -> str:
    """What the drawing says, in words."""
    sentences = []
    before: dict[str, State] = {}
    for migration, tables in history_of(rows).items():
        changes = [
            f"{table} with {_columns(state.columns)}"
            + (f", which refers to {in_words(state.refers_to)}" if state.refers_to else "")
            for table, state in tables.items()
            if before.get(table) != state
        ]
        gone = [f"{table} gone" for table in before if table not in tables]
        sentences.append(f"After {migration}: {in_words([*changes, *gone] or ['the same'])}.")
        before = tables
    return " ".join(sentences)

"""The entity-relationship diagram: the tables of a database, their columns, and what refers to what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from website.diagrams.drawing import LINE, Drawing, width_of
from website.words import in_words

Row = Mapping[str, str]

TITLE = "The tables, their columns and their foreign keys"
PADDING = 8.0
HEAD = 24.0
GAP = 24.0
NARROW = 310.0
# The room between two columns of tables: what it is without a line in it, and what each line adds.
GUTTER, TRACK = 32.0, 6.0
SIGNS = {"primary": "●", "unique": "○"}  # filled and hollow: no other key has the sign of the primary one
KEYS = {"primary": "primary key", "unique": "unique"}
RULES = {
    "a": "",
    "r": "",
    "c": "is deleted with it",
    "n": "is set to null with it",
    "d": "is set to its default with it",
}
# How the line of a foreign key is drawn, by what becomes of the row; the legend is made of this.
LINES = {"c": "reference", "n": "reference weak"}


class Column(NamedTuple):
    """A column of a table, and the one that it refers to."""

    name: str
    type: str
    key: str
    required: bool
    refers_to: tuple[str, str] | None
    rule: str


@dataclass
class Table:
    """A table, and where it is drawn."""

    name: str
    columns: list[Column] = field(default_factory=list)
    layer: int = 0
    x: float = 0
    y: float = 0
    width: float = 0

    @property
    def height(self) -> float:
        return HEAD + LINE * len(self.columns) + PADDING / 2

    def level(self, column: str) -> float:
        """The middle of a column's line."""
        return self.y + HEAD + LINE * ([c.name for c in self.columns].index(column) + 0.5)

    @property
    def parents(self) -> set[str]:
        return {column.refers_to[0] for column in self.columns if column.refers_to} - {self.name}


def tables_of(rows: Sequence[Row]) -> dict[str, Table]:
    """The tables that a catalog lists, a row for each column."""
    tables: dict[str, Table] = {}
    for row in rows:
        parent, _, target = row["refers_to"].removesuffix(")").partition("(")
        refers_to = (parent, target) if parent else None
        column = Column(row["column"], row["type"], row["key"], row["required"] == "t", refers_to, row["on_delete"])
        tables.setdefault(row["table"], Table(row["table"])).columns.append(column)
    return tables


class Reference(NamedTuple):
    """A foreign key, from the column of one table to that of another, and the tracks that its line takes."""

    table: Table
    column: Column
    parent: Table
    target: str
    track: int
    lane: float | None


def draw(rows: Sequence[Row]) -> Drawing:
    """Draw the tables that a catalog lists: each to the right of those that it refers to."""
    tables = tables_of(rows)
    layers = _layers(tables)
    references = _references(tables)
    lanes = sum(reference.lane is not None for reference in references)
    _place(layers, top=TRACK * lanes, lines=len(references))
    drawing = Drawing()
    for reference in references:
        _connect(drawing, reference)
    for table in tables.values():
        _draw_table(drawing, table)
    _draw_legend(drawing)
    return drawing


def draw_narrow(rows: Sequence[Row]) -> Drawing:
    """Draw the tables below each other, for a narrow screen; words say what refers to what."""
    drawing = Drawing()
    y = 0.0
    for table in tables_of(rows).values():
        table.columns = [
            column._replace(type=f"→ {column.refers_to[0]}" if column.refers_to else column.type)
            for column in table.columns
        ]
        table.y, table.width = y, NARROW
        _draw_table(drawing, table)
        y += table.height + GAP / 2
    return drawing


def _references(tables: dict[str, Table]) -> list[Reference]:
    """The foreign keys. Each has a track of its own in the gutters, and a lane above the tables that it passes."""
    found: list[Reference] = []
    lane = 0
    for table in tables.values():
        for column in table.columns:
            if column.refers_to:
                parent = tables[column.refers_to[0]]
                far = table.layer - parent.layer != 1
                place = TRACK * lane if far else None
                lane += far
                found.append(Reference(table, column, parent, column.refers_to[1], len(found), place))
    return found


def _layers(tables: dict[str, Table]) -> list[list[Table]]:
    """The tables by the longest way to one that refers to none; in each layer those first that others refer to."""
    for _ in tables:
        for table in tables.values():
            above = (tables[name].layer + 1 for name in table.parents)
            table.layer = min(max(above, default=0), len(tables))
    wanted = {name for table in tables.values() for name in table.parents}
    order = sorted(tables.values(), key=lambda table: (table.layer, table.name not in wanted, table.name))
    return [[table for table in order if table.layer == layer] for layer in sorted({table.layer for table in order})]


def _place(layers: list[list[Table]], *, top: float, lines: int) -> None:
    x = 0.0
    for tables in layers:
        y = top
        width = max(_width(table) for table in tables)
        for table in tables:
            table.x, table.y, table.width = x, y, width
            y += table.height + GAP
        x += width + GUTTER + TRACK * lines


def _width(table: Table) -> float:
    names = max(width_of(column.name) for column in table.columns)
    types = max(width_of(column.type) for column in table.columns)
    return max(width_of(table.name) * 1.1, names + types + width_of("●   ")) + 2 * PADDING


def _connect(drawing: Drawing, reference: Reference) -> None:
    """Draw the line from a column to the one that it refers to, from right to left."""
    table, column, parent, target, track, lane = reference
    start, end = table.level(column.name), parent.level(target)
    leaving = table.x - GUTTER / 2 - TRACK * track
    arriving = parent.x + parent.width + GUTTER / 2 + TRACK * track
    above = [(leaving, start), (leaving, lane), (arriving, lane), (arriving, end)] if lane is not None else []
    beside = [(leaving, start), (leaving, end)]
    points = [(table.x, start), *(above or beside), (parent.x + parent.width, end)]
    drawing.line(points, LINES.get(column.rule, LINES["n"]), arrow=True)


def _draw_table(drawing: Drawing, table: Table) -> None:
    drawing.box(table.x, table.y, table.width, table.height, "table")
    drawing.box(table.x, table.y, table.width, HEAD, "head")
    drawing.words(table.x + PADDING, table.y + HEAD - 7, table.name, "name")
    for column in table.columns:
        base = table.level(column.name) + 4
        drawing.words(table.x + PADDING, base, SIGNS.get(column.key, " "))
        drawing.words(table.x + PADDING + width_of("● "), base, column.name, "required" if column.required else "")
        drawing.words(table.x + table.width - PADDING, base, column.type, "type", "end")


def _draw_legend(drawing: Drawing) -> None:
    y = drawing.height + GAP
    drawing.words(0, y, "   ".join([*(f"{SIGNS[key]} {name}" for key, name in KEYS.items()), "bold: not null"]))
    for rule, style in LINES.items():
        y += LINE
        drawing.line([(0, y - 4), (30, y - 4)], style)
        drawing.words(38, y, RULES[rule].removeprefix("is ").replace("with it", "with the row that it refers to"))


def description(rows: Sequence[Row]) -> str:
    """What the diagram says, in words."""
    return " ".join(
        f"{table.name}: {in_words(_in_words(column) for column in table.columns)}."
        for table in tables_of(rows).values()
    )


def _in_words(column: Column) -> str:
    notes = [column.type, KEYS.get(column.key, ""), "not null" if column.required and column.key != "primary" else ""]
    if column.refers_to:
        notes += [f"refers to {'.'.join(column.refers_to)}", RULES[column.rule]]
    return f"{column.name} ({'; '.join(filter(None, notes))})"

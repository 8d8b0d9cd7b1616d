"""What `make mutants` and `make lies` have found: figures that are committed, and shown with their dates.

A file that is missing, or holds other things than are shown, is left out: the page is about the blocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from website.proof import PROJECT

MUTANTS, LIES, PROSE = (Path("docs") / name for name in ("mutants.json", "lies.json", "prose.json"))


def render() -> str:
    """Return the figures as a table in HTML; nothing if there are none."""
    rows = [*_row(MUTANTS, "a place of the backend's code", "mutants", "noticed", "reviewed")]
    rows += _row(LIES, "a place of a page", "lies", "caught", "free")
    rows += _row(PROSE, "a word, a number or a cell beside the blocks", "lies", "caught")
    head = "<tr><th>What was changed</th><th>How often</th><th>Noticed</th><th>Measured</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>" if rows else ""


def _row(file: Path, what: str, total: str, noticed: str, *left_out: str) -> Iterator[str]:
    try:
        found: Mapping[str, Any] = json.loads((PROJECT / file).read_text(encoding="utf-8"))
        count = found[total] - sum(found[name] for name in left_out)
        day = date.fromisoformat(found["date"])
        server = f", PostgreSQL {found['postgresql']}" if "postgresql" in found else ""
        measured = f"{day.day} {day:%B %Y}{server}"
        files, all_files = len(found.get("files", [])), found.get("of", 0)
        part = f", in {files} of {all_files} files" if files < all_files else ""
        cells = (f"{what}{part}", f"{count:,}", _percent(found[noticed], count), measured)
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    except (OSError, ValueError, KeyError, TypeError):
        return


def _percent(part: int, whole: int) -> str:
    """A share that says 100 only if it is that."""
    return f"{1000 * part // whole / 10 if whole else 100.0:g} %"

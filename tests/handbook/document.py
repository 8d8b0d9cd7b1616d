"""Pages as Sybil sees them: a document with a region for each block that is tested."""

from __future__ import annotations

from pathlib import Path

from sybil import Document, Region
from sybil.text import LineNumberOffsets
from sybil.typing import Evaluator

from handbook.block import Kind
from handbook.files import evaluate_data, evaluate_file
from handbook.program import evaluate_bash, evaluate_console, evaluate_sql
from handbook.python import evaluate_pycon, evaluate_python
from handbook.reading import read, text_of
from handbook.rendering import Renderer

CONFIGURATION = "mkdocs.yml"
EVALUATORS: dict[Kind, Evaluator] = {
    Kind.PYTHON: evaluate_python,
    Kind.PYCON: evaluate_pycon,
    Kind.SQL: evaluate_sql,
    Kind.CONSOLE: evaluate_console,
    Kind.BASH: evaluate_bash,
    Kind.FILE: evaluate_file,
    Kind.DATA: evaluate_data,
}


class PageDocument(Document):
    """A page as Sybil sees it; `source` is its file as it was read.

    Arguments:
        path: the page's file.
        renderer: renders it as the site does.
    """

    def __init__(self, path: Path, renderer: Renderer) -> None:
        self.source = path.read_bytes()
        super().__init__(text_of(self.source), str(path))
        self.page = read(self.text, renderer)
        offsets = LineNumberOffsets(self.text)
        for block in self.page:
            if block.kind is not Kind.SHOWN:
                start = offsets.get(block.line - 1, 0)
                end = offsets.get(block.fence.end_line - 1, 0)
                self.add(Region(start, end, parsed=block, evaluator=EVALUATORS[block.kind]))

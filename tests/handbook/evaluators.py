"""What runs a block of each kind."""

from __future__ import annotations

from sybil.typing import Evaluator

from handbook.block import Kind
from handbook.files import evaluate_data, evaluate_file
from handbook.program import evaluate_bash, evaluate_console, evaluate_sql
from handbook.python import evaluate_pycon, evaluate_python

EVALUATORS: dict[Kind, Evaluator] = {
    Kind.PYTHON: evaluate_python,
    Kind.PYCON: evaluate_pycon,
    Kind.SQL: evaluate_sql,
    Kind.CONSOLE: evaluate_console,
    Kind.BASH: evaluate_bash,
    Kind.FILE: evaluate_file,
    Kind.DATA: evaluate_data,
}

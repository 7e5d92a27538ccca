"""What a feedback page shows of a graded cell: the visible check and its message, never the hidden tests."""

from __future__ import annotations

from typing import Any

from nbgrader import utils
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.notebooks import BEGIN_HIDDEN, END_HIDDEN


class HideTests(NbGraderPreprocessor):
    """Cuts the hidden tests out of graded cells and reduces an error there to its message (a traceback quotes source)."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        if utils.is_grade(cell) and cell.cell_type == "code":
            cell.source = _without_hidden(cell.source)
            cell.outputs = [_message_only(output) if output.output_type == "error" else output for output in cell.outputs]
        return cell, resources


def _without_hidden(source: str) -> str:
    before, begin, rest = source.partition(BEGIN_HIDDEN)
    if not begin:
        return source
    after = rest.partition(END_HIDDEN)[2]
    return f"{before.rstrip()}\n# (hidden tests ran here){after.rstrip()}"


def _message_only(output: Any) -> Any:
    text = f"{output.ename}: {output.evalue}"
    output.traceback = text.splitlines()
    return output

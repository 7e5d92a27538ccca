"""A feedback page: points on top, at each exercise what its tests say and where to read again, and no hidden test."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import quote

from nbformat.v4 import new_markdown_cell
from nbgrader import utils
from nbgrader.preprocessors import NbGraderPreprocessor

from aieng.lesson import course
from autograder.notebooks import BEGIN_HIDDEN, END_HIDDEN, grade_id
from autograder.planning import exercise_of


class Explain(NbGraderPreprocessor):
    """Adds a table of points, cuts the hidden tests out, and reduces errors to their message (a traceback quotes source).

    Runs after nbgrader's GetGrades, which puts the scores into the cells' metadata.
    """

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        headings = _headings(nb.cells)
        rows = []
        cells = []
        for number, cell in enumerate(nb.cells):
            if utils.is_grade(cell):
                name = exercise_of(grade_id(cell))
                anchor, heading = headings[number]
                if cell.cell_type == "code":
                    _without_hidden_tests(cell)
                    message = _message(cell)
                    if message:
                        cells.append(new_markdown_cell(_what_to_mend(name, message, anchor, heading)))
                rows.append(_row(name, cell.metadata["nbgrader"], anchor))
            cells.append(cell)
        nb.cells = [new_markdown_cell(_table(rows)), *cells] if rows else cells
        return nb, resources


def _headings(cells: list[Any]) -> list[tuple[str, str]]:
    """For each cell, the (anchor, text) of the last heading above it; the anchor as nbconvert makes it."""
    found, now = [], ("", "")
    for cell in cells:
        if cell.cell_type == "markdown":
            titles = re.findall(r"^#{1,3} +(.+?)\s*$", cell.source, re.M)
            if titles:
                now = (titles[-1].replace(" ", "-"), titles[-1])
        found.append(now)
    return found


def _row(name: str, marks: Any, anchor: str) -> str:
    points = float(marks.get("points", 0))
    score = marks.get("score")
    earned = "not graded yet" if score is None or marks.get("needs_manual_grade") else f"{float(score):g} of {points:g}"
    state = "" if score is None else "✓" if float(score) >= points else "✗" if float(score) == 0 else "≈"
    return f"| {state} | [{_title(name)}](#{quote(anchor)}) | {earned} |"


def _title(name: str) -> str:
    try:
        return f"{name} {course.exercise(name).title}"
    except ValueError:
        return {"quiz": "Quiz"}.get(name, "Written question" if name.endswith("written") else name)


def _table(rows: list[str]) -> str:
    return "\n".join(["**Your points.** A line leads to its place in the notebook.", "", "| | exercise | points |", "|---|---|---|", *rows])


def _message(cell: Any) -> str:
    return "\n".join(o.evalue for o in cell.outputs if o.output_type == "error")


def _what_to_mend(name: str, message: str, anchor: str, heading: str) -> str:
    lines = "".join(f"<li style='white-space:pre-wrap'>{html.escape(line)}</li>" for line in message.split("\n") if line.strip())
    again = f" Read again: <a href='#{quote(anchor)}'>{html.escape(heading)}</a>." if heading else ""
    return (
        f"<div style='border-left:6px solid #D55E00;padding:.4em 1em;background:#fdf3ec;color:#222'><b>{html.escape(_title(name))}: "
        f"what the tests say</b><ul>{lines}</ul>{again}</div>"
    )


def _without_hidden_tests(cell: Any) -> None:
    before, begin, rest = cell.source.partition(BEGIN_HIDDEN)
    if begin:
        cell.source = f"{before.rstrip()}\n# (hidden tests ran here){rest.partition(END_HIDDEN)[2].rstrip()}"
    for output in cell.outputs:
        if output.output_type == "error":
            output.traceback = f"{output.ename}: {output.evalue}".splitlines()

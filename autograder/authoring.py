"""Notebook ⇄ text, so that a section can be written in an editor and reviewed as a diff.

The notebook in solutions/ is the one source; `to_script` writes it as text, `from_script` builds it again. Cells begin with a
directive line:

    # %% [markdown]                    text, each line after "# "
    # %%                               code (`# %% tag=setup` for the cells that graded exercises may rely on)
    # %% solution 1.3                  an answer, with nbgrader's BEGIN/END SOLUTION markers
    # %% tests 1.3 points=11           its graded cell, with BEGIN/END HIDDEN TESTS markers
    # %% manual 01-written points=10   a written question, graded by a person
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.notebooks import grade_id, solution_id, tags, tests_id

_DIRECTIVE = re.compile(r"^# %%(.*)$", re.M)
_ID = re.compile(r"\d+\.\d+$")


def from_script(text: str) -> Any:
    """Build a notebook from its text form."""
    parts = _DIRECTIVE.split(text)
    if parts[0].strip():
        raise ValueError(f"text before the first '# %%' line: {parts[0].strip()[:60]!r}")
    cells: list[Any] = []
    used: set[str] = set()
    for directive, body in zip(parts[1::2], parts[2::2], strict=True):
        cell = _cell(directive.strip(), body.strip("\n"))
        cell.id = _cell_id(cell, used)
        cells.append(cell)
    book = new_notebook(cells=cells)
    book.metadata = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
                     "language_info": {"name": "python"}}
    nbformat.validate(book)
    return book


def to_script(book: Any) -> str:
    """The text form of a notebook; `from_script` gives the same notebook back."""
    parts = []
    for cell in book.cells:
        body = cell.source
        if cell.cell_type == "markdown":
            body = "\n".join(f"# {line}".rstrip() for line in body.split("\n"))
        parts.append(f"# %%{_directive(cell)}\n{body}\n")
    return "\n".join(parts)


def _cell(directive: str, body: str) -> Any:
    words = directive.split()
    options = dict(w.split("=", 1) for w in words if "=" in w)
    kind = words[0] if words and "=" not in words[0] else "code"
    if kind in ("[markdown]", "manual"):
        lines = (re.sub(r"^# ?", "", line) for line in body.split("\n"))
        cell = new_markdown_cell("\n".join(lines).strip("\n"))
    elif kind in ("code", "solution", "tests"):
        cell = new_code_cell(body)
    else:
        raise ValueError(f"unknown cell directive {directive!r}")
    if kind == "solution":
        _mark(cell, _name(words[1], solution_id), solution=True)
    elif kind == "tests":
        _mark(cell, _name(words[1], tests_id), grade=True, locked=True, points=float(options["points"]))
    elif kind == "manual":
        _mark(cell, words[1], grade=True, solution=True, points=float(options["points"]))
    if "tag" in options:
        cell.metadata["tags"] = options["tag"].split(",")
    return cell


def _name(word: str, make: Any) -> str:
    return make(word) if _ID.match(word) else word + ("-tests" if make is tests_id else "")


def _mark(cell: Any, name: str, *, grade: bool = False, solution: bool = False, locked: bool = False, points: float = 0) -> None:
    marks: dict[str, Any] = {"grade": grade, "grade_id": name, "locked": locked, "schema_version": 3,
                             "solution": solution, "task": False}
    if grade:
        marks["points"] = int(points) if points == int(points) else points
    cell.metadata["nbgrader"] = marks


def _directive(cell: Any) -> str:
    marks = cell.metadata.get("nbgrader", {})
    name = re.sub(r"^exercise-(\d+)-(\d+)", r"\1.\2", grade_id(cell))
    tag = f" tag={','.join(tags(cell))}" if tags(cell) else ""
    if marks.get("grade") and marks.get("solution"):
        return f" manual {name} points={marks['points']}{tag}"
    if marks.get("grade"):
        return f" tests {name.removesuffix('-tests')} points={marks['points']}{tag}"
    if marks.get("solution"):
        return f" solution {name}{tag}"
    return (" [markdown]" if cell.cell_type == "markdown" else "") + tag


def _cell_id(cell: Any, used: set[str]) -> str:
    """A stable id: nbgrader's name, or a digest of the text, so that an unchanged cell keeps its id."""
    base = grade_id(cell) or hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
    name, n = base, 1
    while name in used:
        n += 1
        name = f"{base}-{n}"
    used.add(name)
    return name[:64]

"""Reads the source notebooks: which cells set up, which hold an exercise's answer, and which grade it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from aieng.lesson import course

ROOT = Path(__file__).resolve().parents[1]
SOLUTIONS = ROOT / "solutions"
NOTEBOOKS = ROOT / "notebooks"

BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"


@dataclass(frozen=True)
class Exercise:
    """One exercise's reference answer and its tests."""

    solution: str  # the reference answer
    tests: str  # visible check and hidden tests

    @property
    def hidden(self) -> str:
        return split_tests(self.tests)[1]


def split_tests(source: str) -> tuple[str, str]:
    """A graded cell's visible and hidden part; ValueError when the markers are not a pair."""
    if source.count(BEGIN_HIDDEN) != 1 or source.count(END_HIDDEN) != 1:
        raise ValueError(f"a graded cell needs one {BEGIN_HIDDEN!r} and one {END_HIDDEN!r}")
    visible, rest = source.split(BEGIN_HIDDEN)
    hidden, after = rest.split(END_HIDDEN)
    return visible.strip() + "\n" + after.strip(), hidden.strip()


def solution_id(exercise_id: str) -> str:
    """nbgrader's grade_id of an exercise's solution cell (it allows letters, digits, - and _ only)."""
    return f"exercise-{exercise_id.replace('.', '-')}"


def tests_id(exercise_id: str) -> str:
    """nbgrader's grade_id of an exercise's graded cell."""
    return f"exercise-{exercise_id.replace('.', '-')}-tests"


def source_path(key: str) -> Path:
    """The source notebook of a section; ValueError where it is not written yet."""
    slug = course.section(key).slug
    path = SOLUTIONS / slug / f"{slug}.ipynb"
    if not path.exists():
        raise ValueError(f"section {slug} has no notebook yet ({path} does not exist)")
    return path


def read(path: Path) -> Any:
    """A notebook from a file; ValueError with the reason when it is none."""
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist") from None
    except Exception as error:  # nbformat raises several unrelated types for broken files
        raise ValueError(f"{path} is not a readable notebook: {type(error).__name__}: {error}") from error


def grade_id(cell: Any) -> str:
    """The nbgrader id of a cell, "" where it has none."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def load_exercise(exercise_id: str) -> Exercise:
    """One exercise from its section's source notebook."""
    cells = read(source_path(course.section_of(exercise_id).slug)).cells
    by_id = {grade_id(c): c for c in cells if grade_id(c)}
    try:
        solution, tests = by_id[solution_id(exercise_id)], by_id[tests_id(exercise_id)]
    except KeyError as missing:
        raise ValueError(f"exercise {exercise_id} has no cell with grade_id {missing} in its notebook") from None
    return Exercise(solution.source, tests.source)

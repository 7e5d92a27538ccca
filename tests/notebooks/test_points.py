"""The plan in aieng.lesson.course, the notebooks and the README say the same."""

from __future__ import annotations

import pytest

from aieng.lesson import course
from autograder import notebooks

READY = [s for s in course.SECTIONS if s.ready]


@pytest.mark.parametrize("section", READY, ids=lambda s: s.slug)
def test_points_are_those_of_the_plan(section):
    marks = {notebooks.grade_id(c): c.metadata.nbgrader for c in notebooks.read(notebooks.source_path(section.slug)).cells
             if notebooks.grade_id(c)}
    for exercise in section.exercises:
        assert marks[notebooks.tests_id(exercise.id)].points == exercise.points
    assert sum(m.points for m in marks.values() if m.grade) == section.points == 100


@pytest.mark.parametrize("section", READY, ids=lambda s: s.slug)
def test_texts_name_the_plans_minutes_and_points(section):
    text = "\n".join(c.source for c in notebooks.read(notebooks.source_path(section.slug)).cells if c.cell_type == "markdown")
    for e in section.exercises:
        assert f"{e.dots} · {e.minutes} min · {e.points} points" in text, e.id


@pytest.mark.parametrize("section", READY, ids=lambda s: s.slug)
def test_the_written_question_is_still_there_after_release(section):
    """nbgrader empties the whole cell of a written answer, so the question has to stand in the cell before it."""
    cells = notebooks.read(notebooks.NOTEBOOKS / section.slug / f"{section.slug}.ipynb").cells
    manual = [i for i, c in enumerate(cells) if c.cell_type == "markdown" and c.metadata.get("nbgrader", {}).get("grade")]
    assert len(manual) == 1
    assert f"{section.written_points} points" in cells[manual[0] - 1].source


def test_the_readme_lists_every_section():
    readme = (notebooks.ROOT / "README.md").read_text(encoding="utf-8")
    for section in course.SECTIONS:
        row = next(line for line in readme.splitlines() if section.slug in line and line.startswith("|"))
        assert f"| {section.minutes} |" in row
        assert f"| {section.points} |" in row

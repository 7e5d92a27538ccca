"""Every right answer earns full points; every wrong one does not, and is told why."""

from __future__ import annotations

from pathlib import Path

import pytest

from aieng.lesson import course
from autograder import grading, notebooks, planning

BANKS = Path(__file__).parent
ANSWERS = sorted(p for p in BANKS.glob("*/*/*.py") if p.name.startswith(("right_", "wrong_")))
EXERCISES = [e.id for s in course.SECTIONS for e in s.exercises]


def in_its_section(value, exercise, name):
    """A parameter whose test runs in the same worker as the others of its section: one prepared sandbox serves them."""
    return pytest.param(value, id=name, marks=pytest.mark.xdist_group(f"bank {course.section_of(exercise).slug}"))


every_exercise = pytest.mark.parametrize("exercise", [in_its_section(e, e, e) for e in EXERCISES])


@pytest.mark.parametrize("path", [in_its_section(p, p.parent.name, f"{p.parent.name}-{p.stem}") for p in ANSWERS])
def test_answer(path):
    score = grading.try_answer(path.parent.name, path.read_text(encoding="utf-8"))
    if path.name.startswith("right_"):
        assert (score.score, score.messages) == (score.max_score, ())
    else:
        assert score.score < score.max_score
        assert score.messages
        assert all(len(m) > 10 for m in score.messages), score.messages


@every_exercise
def test_bank_is_large_enough(exercise):
    folder = BANKS / course.section_of(exercise).slug / exercise
    assert len(list(folder.glob("right_*.py"))) >= 2
    assert len(list(folder.glob("wrong_*.py"))) >= 5


@every_exercise
def test_reference_alone_earns_everything(exercise):
    """A graded cell relies on setup cells and its own answer only, so an exercise skipped before it costs nothing.

    The hidden tests' seeds are moved: with their own, the notebooks' tests run the references.
    """
    score = grading.try_answer(exercise, notebooks.load_exercise(exercise).solution, shift=planning.shift_of("the suite", exercise))
    assert (score.score, score.messages) == (score.max_score, ())


@every_exercise
def test_untouched_stub_earns_nothing(exercise):
    slug = course.section_of(exercise).slug
    cells = notebooks.read(notebooks.NOTEBOOKS / slug / f"{slug}.ipynb").cells
    stub = next(c.source for c in cells if notebooks.grade_id(c) == notebooks.solution_id(exercise))
    assert grading.try_answer(exercise, stub).score == 0

"""Every right answer earns full points; every wrong one does not, and is told why."""

from __future__ import annotations

from pathlib import Path

import pytest

from aieng.lesson import course
from autograder import grading, notebooks

BANKS = Path(__file__).parent
ANSWERS = sorted(p for p in BANKS.glob("*/*/*.py") if p.name.startswith(("right_", "wrong_")))
EXERCISES = [e.id for s in course.SECTIONS for e in s.exercises]


@pytest.mark.parametrize("path", ANSWERS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_answer(path):
    score = grading.try_answer(path.parent.name, path.read_text(encoding="utf-8"))
    if path.name.startswith("right_"):
        assert (score.score, score.messages) == (score.max_score, ())
    else:
        assert score.score < score.max_score
        assert score.messages
        assert all(len(m) > 10 for m in score.messages), score.messages


@pytest.mark.parametrize("exercise", EXERCISES)
def test_bank_is_large_enough(exercise):
    folder = BANKS / course.section_of(exercise).slug / exercise
    assert len(list(folder.glob("right_*.py"))) >= 2
    assert len(list(folder.glob("wrong_*.py"))) >= 5


@pytest.mark.parametrize("exercise", EXERCISES)
def test_reference_alone_earns_everything(exercise):
    """A graded cell relies on setup cells and its own answer only, so an exercise skipped before it costs nothing."""
    score = grading.try_answer(exercise, notebooks.load_exercise(exercise).solution)
    assert (score.score, score.messages) == (score.max_score, ())


@pytest.mark.parametrize("exercise", EXERCISES)
def test_untouched_stub_earns_nothing(exercise):
    slug = course.section_of(exercise).slug
    cells = notebooks.read(notebooks.NOTEBOOKS / slug / f"{slug}.ipynb").cells
    stub = next(c.source for c in cells if notebooks.grade_id(c) == notebooks.solution_id(exercise))
    assert grading.try_answer(exercise, stub).score == 0

"""Scores: one exercise from a file (`try`), or a learner's whole notebook (`grade`)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from aieng.lesson import course
from autograder import notebooks, planning
from autograder.execution import Cell, CellResult, run_cells
from autograder.inside.isolation import Limits
from autograder.sandbox import rehearse

_tried: Counter[str] = Counter()


@dataclass(frozen=True)
class Score:
    """What an exercise earned and what its learner should read."""

    exercise: str
    score: float
    max_score: float
    messages: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        return {"exercise": self.exercise, "score": self.score, "max_score": self.max_score, "messages": list(self.messages)}


def try_answer(exercise_id: str, answer: str, time_limit: float = 120.0, shift: int = 0) -> Score:
    """Grade the text of one solution cell against the visible and hidden tests of its exercise; `shift` moves the hidden tests' seeds."""
    slug, tests = course.section_of(exercise_id).slug, notebooks.tests_id(exercise_id)
    plan = planning.plan_of(notebooks.source_path(slug), slug)
    if tests not in plan.tests:
        raise ValueError(f"exercise {exercise_id} has no graded cell with grade_id {tests} in its notebook")
    points = float(plan.tests[tests].metadata.nbgrader.points)
    cells = [*(Cell(source, f"setup {i}") for i, source in enumerate(plan.setup)), Cell(answer, "your answer"),
             plan.graded(tests, shift=shift)]
    preparation = plan.preparation(Limits(seconds=time_limit))
    _tried[slug] += 1
    if _tried[slug] == 2:  # one answer is graded sooner without
        rehearse(preparation, plan.rehearsal())
    results = run_cells(preparation, cells, reveal=True)
    for cell, result in zip(cells, results[:-2], strict=False):
        if not result.ok:
            raise RuntimeError(f"{cell.name} of exercise {exercise_id} failed: {'; '.join(result.messages)}")
    return _score(exercise_id, points, results[-2], results[-1])


def grade_notebook(path: Path, key: str, time_limit: float = 300.0) -> list[Score]:
    """Grade a learner's notebook of a section with the hidden tests, on this machine.

    The learner's cells run in their order; graded cells are taken from the source notebook, so edits to them count for nothing.
    An exercise whose cells are missing earns 0 and says so. Written questions are graded by a person and left out.
    """
    slug = course.section(key).slug
    plan = planning.plan_of(notebooks.source_path(key), slug)
    cells: list[Cell] = []
    place: dict[str, int] = {}
    for i, cell in enumerate(notebooks.read(path).cells):
        if cell.cell_type != "code":
            continue
        name = notebooks.grade_id(cell)
        if name in plan.tests:
            if name not in place:
                place[name] = len(cells)
                cells.append(plan.graded(name))
        elif name or "skip-grading" not in notebooks.tags(cell):
            place.setdefault(name, len(cells))
            cells.append(Cell(cell.source, name or f"cell {i}"))
    results = run_cells(plan.preparation(Limits(seconds=time_limit, total_seconds=4 * time_limit)), cells, reveal=True)
    scores = []
    for name, cell in plan.tests.items():
        title, points = planning.exercise_of(name), float(cell.metadata.nbgrader.points)
        if name not in place:
            scores.append(Score(title, 0.0, points, ("its graded cell is missing from your notebook",)))
            continue
        own = place.get(name.removesuffix("-tests"))
        scores.append(_score(title, points, CellResult(True) if own is None else results[own], results[place[name]]))
    return scores


def _score(exercise_id: str, points: float, answer: CellResult, tests: CellResult) -> Score:
    if not tests.ok:
        before = tuple(f"your cell stops with an error: {m}" for m in answer.messages) if not answer.ok else ()
        return Score(exercise_id, 0.0, points, tuple(dict.fromkeys(before + tests.messages)))
    earned = points if tests.value is None else min(points, max(0.0, tests.value))
    return Score(exercise_id, earned, points, (f"partly right: {earned:g} of {points:g} points",) if earned < points else ())

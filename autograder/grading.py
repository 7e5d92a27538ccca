"""Scores: one exercise from a file (`try`), or a learner's whole notebook (`grade`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aieng.lesson import course
from autograder import notebooks
from autograder.runner import CellRun, run_cells


@dataclass(frozen=True)
class Score:
    """What an exercise earned and what its learner should read."""

    exercise: str
    score: float
    max_score: float
    messages: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        return {"exercise": self.exercise, "score": self.score, "max_score": self.max_score, "messages": list(self.messages)}


def try_answer(exercise_id: str, answer: str, time_limit: float = 120.0) -> Score:
    """Grade the text of one solution cell against the visible and hidden tests of its exercise."""
    exercise = notebooks.load_exercise(exercise_id)
    setup = [(f"setup {i}", source) for i, source in enumerate(exercise.setup)]
    cells = [*setup, ("your answer", answer), ("visible check", exercise.visible), ("hidden tests", exercise.hidden)]
    runs = run_cells(cells, time_limit)
    for run in runs[: len(setup)]:
        if not run.ok:
            raise RuntimeError(f"{run.name} of exercise {exercise_id} failed: {'; '.join(run.messages)}")
    return _score(exercise_id, exercise.points, runs[len(setup)], runs[-2], runs[-1])


def grade_notebook(path: Path, key: str, time_limit: float = 300.0) -> list[Score]:
    """Grade a learner's notebook of a section with the hidden tests, on this machine.

    The learner's cells run in their order; graded cells are taken from the source notebook, so edits to them count for nothing.
    An exercise whose cells are missing earns 0 and says so. Written questions are graded by a person and left out.
    """
    source = {notebooks.grade_id(c): c for c in notebooks.read(notebooks.source_path(key)).cells if notebooks.grade_id(c)}
    graded = {i: c for i, c in source.items() if c.metadata.nbgrader.grade and not c.metadata.nbgrader.solution}
    cells: list[tuple[str, str]] = []
    seen: set[str] = set()
    for i, cell in enumerate(notebooks.read(path).cells):
        if cell.cell_type != "code":
            continue
        name = notebooks.grade_id(cell)
        if name in graded:
            if name not in seen:
                seen.add(name)
                visible, hidden = notebooks.split_tests(graded[name].source)
                cells += [(f"{name} visible", visible), (f"{name} hidden", hidden)]
        elif name or "skip-grading" not in notebooks.tags(cell):
            cells.append((name or f"cell {i}", cell.source))
    runs = {run.name: run for run in run_cells(cells, time_limit)}
    scores = []
    for name, cell in graded.items():
        title, points = _title(name), float(cell.metadata.nbgrader.points)
        if name not in seen:
            scores.append(Score(title, 0.0, points, ("its graded cell is missing from your notebook",)))
            continue
        own = runs.get(name.removesuffix("-tests"), CellRun(name, True))
        scores.append(_score(title, points, own, runs[f"{name} visible"], runs[f"{name} hidden"]))
    return scores


def _title(name: str) -> str:
    for section in course.SECTIONS:
        for exercise in section.exercises:
            if notebooks.tests_id(exercise.id) == name:
                return exercise.id
    return name.removesuffix("-tests")


def _score(exercise_id: str, points: float, answer: CellRun, visible: CellRun, hidden: CellRun) -> Score:
    messages: list[str] = []
    if not answer.ok:
        messages += [f"your cell stops with an error: {m}" for m in answer.messages]
    if not visible.ok:
        messages += visible.messages
    elif not hidden.ok:
        messages += [f"hidden test: {m}" for m in hidden.messages]
    if not visible.ok or not hidden.ok:
        return Score(exercise_id, 0.0, points, tuple(dict.fromkeys(messages)))
    earned = points if hidden.value is None else min(points, max(0.0, hidden.value))
    if earned < points:
        messages.append(f"partly right: {earned:g} of {points:g} points")
    return Score(exercise_id, earned, points, tuple(messages))

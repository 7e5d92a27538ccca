"""The tests, measured: `make graders` grades every answer of the banks, `make mutants` small faults planted in the reference answers."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from aieng.lesson import course
from autograder import grading, notebooks, planning
from autograder.mutants import Mutant, mutants

FOLDER = notebooks.ROOT / "tests" / "graders"
EXPLAINED = FOLDER / "surviving_mutants.json"  # exercise -> what was changed -> why no test can or should notice
MUTANT_SECONDS = 20.0  # a fault may make a loop endless


@dataclass(frozen=True)
class Outcome:
    """What became of one answer."""

    exercise: str
    name: str
    caught: bool  # whether it lost points
    messages: tuple[str, ...]

    def first_line(self) -> str:
        return self.messages[0].splitlines()[0][:110] if self.messages else "(nothing)"


def ready_exercises(asked: Sequence[str] = ()) -> list[str]:
    """Ids of the exercises of all ready sections, or of those asked for ("1.3", "01")."""
    every = [e.id for s in course.SECTIONS for e in s.exercises]
    chosen = [e for e in every if not asked or {e, course.section_of(e).slug, course.section_of(e).number} & set(asked)]
    if not chosen:
        raise ValueError(f"no exercise is called {', '.join(asked)}; give ids such as 1.3, or sections such as 01")
    return chosen


def grade_banks(exercises: Iterable[str], workers: int, seeds: int = 0) -> list[Outcome]:
    """Grade every answer in the exercises' banks; with `seeds` again that often, each time with other seeds in the hidden tests."""
    shifts = [0, *(planning.shift_of("banks", str(i)) for i in range(seeds))]
    jobs = [(e, path.stem + (f" (seeds moved by {shift})" if shift else ""), path.read_text(encoding="utf-8"), 120.0, shift)
            for e in exercises for path in sorted((FOLDER / course.section_of(e).slug / e).glob("*_*.py")) for shift in shifts]
    return _grade(jobs, workers)


def grade_mutants(exercises: Iterable[str], workers: int, limit: int, seed: int = 0) -> list[Outcome]:
    """Grade at most `limit` mutants of each exercise's reference answer, drawn with `seed`."""
    jobs = []
    for e in exercises:
        every: list[Mutant] = list(mutants(notebooks.load_exercise(e).solution))
        chosen = random.Random(f"{seed} {e}").sample(every, min(limit, len(every)))
        jobs += [(e, m.about, m.source, MUTANT_SECONDS, 0) for m in chosen]
    return _grade(jobs, workers)


def _grade(jobs: Sequence[tuple[str, str, str, float, int]], workers: int) -> list[Outcome]:
    def one(job: tuple[str, str, str, float, int]) -> Outcome:
        exercise, name, source, seconds, shift = job
        score = grading.try_answer(exercise, source, seconds, shift)
        return Outcome(exercise, name, score.score < score.max_score, score.messages)

    with ThreadPoolExecutor(workers) as pool:
        return list(track(pool.map(one, jobs), "grading", total=len(jobs), console=Console(stderr=True)))


def report_banks(outcomes: Sequence[Outcome]) -> bool:
    """Print the table and the totals; returns whether the course's own bar is met (all right accepted, 98 % of wrong caught)."""
    table = Table("exercise", "right accepted", "wrong caught", "what each wrong answer is told")
    for exercise in dict.fromkeys(o.exercise for o in outcomes):
        own = [o for o in outcomes if o.exercise == exercise]
        right, wrong = ([o for o in own if o.name.startswith(k)] for k in ("right_", "wrong_"))
        told = "\n".join(f"{o.name.removeprefix('wrong_')}: {o.first_line()}" for o in wrong)
        accepted, caught = sum(not o.caught for o in right), sum(o.caught for o in wrong)
        table.add_row(exercise, f"{accepted} of {len(right)}", f"{caught} of {len(wrong)}", told)
    Console(markup=False).print(table)
    right, wrong = ([o for o in outcomes if o.name.startswith(k)] for k in ("right_", "wrong_"))
    accepted, caught = sum(not o.caught for o in right), sum(o.caught for o in wrong)
    share = caught / max(1, len(wrong))
    print(f"right answers accepted: {accepted} of {len(right)}; wrong answers caught: {caught} of {len(wrong)} ({share:.1%})")
    return accepted == len(right) and caught >= 0.98 * len(wrong)


def explanations(path: Path = EXPLAINED) -> dict[str, dict[str, str]]:
    """Why known survivors survive: exercise -> change -> reason."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def report_mutants(outcomes: Sequence[Outcome]) -> bool:
    """Print how many mutants were caught and every survivor; returns whether 90 % of those that are not equivalent were caught."""
    reasons = explanations()
    table = Table("exercise", "caught", "survivors")
    equivalent = 0
    for exercise in dict.fromkeys(o.exercise for o in outcomes):
        own = [o for o in outcomes if o.exercise == exercise]
        lines = []
        for o in own:
            if not o.caught:
                reason = reasons.get(exercise, {}).get(o.name, "")
                equivalent += reason.startswith("equivalent")
                lines.append(f"{o.name}: {reason or 'NOT EXPLAINED'}")
        table.add_row(exercise, f"{sum(o.caught for o in own)} of {len(own)}", "\n".join(lines))
    Console(markup=False).print(table)
    caught, real = sum(o.caught for o in outcomes), len(outcomes) - equivalent
    print(f"mutants caught: {caught} of {real} that are not equivalent ({caught / max(1, real):.1%}); {equivalent} equivalent")
    return caught >= 0.9 * real


def save(outcomes: Sequence[Outcome]) -> None:
    """Print the outcomes as JSON."""
    json.dump([{"exercise": o.exercise, "answer": o.name, "caught": o.caught, "messages": list(o.messages)} for o in outcomes],
              sys.stdout, indent=1, ensure_ascii=False)
    print()

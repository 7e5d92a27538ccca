"""Grades a class: nbgrader's folders and gradebook, our execution, many submissions at a time.

The calling process prepares and records one submission after the other and is the gradebook's only writer; workers run the notebooks.
It can be killed at any moment: a submission counts as graded once its folder stands in autograded/, which happens last.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from filelock import FileLock, Timeout

from autograder import execution, notebooks, planning, sandbox
from autograder.converter import Course, Prepared, Submission
from autograder.execution import Cell, CellResult
from autograder.inside.isolation import Limits

REHEARSE_FROM = 6  # submissions of a section from which compiling everything beforehand pays
ATTEMPTS = 2  # how often a submission is run when its worker is lost


@dataclass(frozen=True)
class Report:
    """What became of one submission."""

    student: str
    section: str
    score: float = 0.0
    max_score: float = 0.0
    exercises: dict[str, tuple[float, float]] = field(default_factory=dict)
    messages: tuple[str, ...] = ()
    problem: str = ""  # why it could not be graded: never the submission's fault

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"messages": list(self.messages)}


def grade(
    course: Course,
    section: str = "*",
    student: str = "*",
    *,
    force: bool = False,
    workers: int = 2,
    scheduler: str | None = None,
    seed: str = "",
    limits: Limits = planning.CLASSROOM,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Report]:
    """Grade every submission that is new (or every one, with `force`), and return a report for each.

    Parameters
    ----------
    workers : submissions that run at a time on this machine
    scheduler : the address of a Dask scheduler, whose workers then run them instead
    seed : a text from which, with the student's name, each student's hidden tests get seeds of their own; "" leaves all seeds as they are
    progress : called with (done, all, whose turn it is)
    """
    found = course.submissions(section, student)
    if not found:
        raise ValueError(
            f"no submissions match {course.directory.submitted_directory}/{student}/{section}; collect them (nbgrader collect) or copy "
            "them there. For your own notebook name its section: make grade NB=01"
        )
    course.staging.mkdir(parents=True, exist_ok=True)
    lock = FileLock(course.staging.with_name(".grading.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RuntimeError("another grader is at work on this course; wait for it to end") from None
    try:
        todo = [s for s in found if force or not course.is_graded(s)]
        for number, name in enumerate(dict.fromkeys(s.section for s in todo)):
            _rehearse(course, name, limits, sum(s.section == name for s in todo))
            if number == 0 and scheduler is None:  # its libraries load while nbgrader enters the assignment
                execution.template_for(planning.plan_of(course.source_path(name), name).preparation(limits))
            course.enter_assignment(name)
        with _executor(workers, scheduler) as pool:
            start = partial(_start, course, pool, limits, seed)
            return list(_grade_all(course, todo, start, 2 * workers, progress or (lambda *_: None)))
    finally:
        course.close()
        shutil.rmtree(course.staging, ignore_errors=True)
        lock.release()


Running = Future[list[dict[str, Any]]]  # of a submission in a worker


def _grade_all(
    course: Course, todo: list[Submission], start: Callable[[Prepared], Running], window: int, progress: Callable[[int, int, str], None]
) -> Iterator[Report]:
    waiting = list(reversed(todo))
    running: dict[Running, tuple[Prepared, int]] = {}
    done = 0
    while waiting or running:
        while waiting and len(running) < window:
            submission = waiting.pop()
            try:
                prepared = course.prepare(submission)
            except Exception as error:  # one submission that nbgrader refuses must not stop the others
                logging.getLogger(__name__).exception("%s %s", submission.student, submission.section)
                done += 1
                yield Report(submission.student, submission.section, problem=f"{type(error).__name__}: {error}")
                continue
            running[start(prepared)] = prepared, 1
        progress(done, len(todo), ", ".join(p.submission.student for p, _ in list(running.values())[:2]))
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            prepared, attempt = running.pop(future)
            try:
                results = [CellResult(**r) for r in future.result()]
            except Exception as error:
                if attempt < ATTEMPTS:
                    running[start(prepared)] = prepared, attempt + 1
                    continue
                done += 1
                yield Report(prepared.submission.student, prepared.submission.section, problem=f"{type(error).__name__}: {error}")
                continue
            done += 1
            yield _report(course, prepared, results)
        progress(done, len(todo), "")


def _report(course: Course, prepared: Prepared, results: list[CellResult]) -> Report:
    submission = prepared.submission
    try:
        scores = course.record(prepared, results)
    except Exception as error:
        logging.getLogger(__name__).exception("%s %s", submission.student, submission.section)
        return Report(submission.student, submission.section, problem=f"{type(error).__name__}: {error}")
    cells = [c for c in prepared.book.cells if c.cell_type == "code"]
    told = [
        f"{planning.exercise_of(notebooks.grade_id(c))}: {m}"
        for c, r in zip(cells, results, strict=True)
        if r.suspicious
        for m in r.messages
    ]
    named = {planning.exercise_of(name): score for name, score in scores.items()}
    return Report(
        submission.student,
        submission.section,
        sum(s for s, _ in named.values()),
        sum(m for _, m in named.values()),
        named,
        tuple(prepared.messages + told),
    )


def _start(course: Course, pool: Executor, limits: Limits, seed: str, prepared: Prepared) -> Running:
    section = prepared.submission.section
    shift = planning.shift_of(seed, prepared.submission.student)
    plan = planning.plan_of(course.source_path(section), section)
    code = [c for c in prepared.book.cells if c.cell_type == "code"]
    spared = plan.spared(c.source for c in code if notebooks.grade_id(c) not in plan.tests)
    cells = []
    for cell in code:
        name = notebooks.grade_id(cell)
        cells.append(plan.graded(name, cell.source, shift) if name in plan.tests
                     else Cell("" if cell.source in spared else cell.source, name))
    return pool.submit(execution.run, asdict(plan.preparation(limits)), [asdict(c) for c in cells])


def _rehearse(course: Course, section: str, limits: Limits, count: int) -> None:
    if count >= REHEARSE_FROM:
        plan = planning.plan_of(course.source_path(section), section)
        sandbox.rehearse(plan.preparation(limits), plan.rehearsal())


@contextmanager
def _executor(workers: int, scheduler: str | None) -> Iterator[Executor]:
    if scheduler is None:
        with ThreadPoolExecutor(workers) as pool:
            yield pool
        return
    from distributed import Client

    with Client(scheduler, timeout=30) as client, client.get_executor(pure=False, retries=ATTEMPTS) as pool:
        yield pool

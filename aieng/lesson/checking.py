"""`check`: the visible properties of an exercise, each with a diagnosis.

The same call serves three readers: in the lab it shows a card and never stops "Run All"; under nbgrader it raises, so the
very same cell is graded; in the answer-bank tests it is asked for its messages.
"""

from __future__ import annotations

import copy
import importlib
import linecache
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from IPython.display import display

from aieng.lesson import course, progress, session
from aieng.lesson.environment import grading, spare_stderr
from aieng.lesson.html import Card, Line

PACKAGE = Path(__file__).resolve().parents[1]


class CheckFailed(AssertionError):
    """A property of an exercise does not hold. Its text is written for the learner."""

    def __init__(self, message: str, messages: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.messages = messages or (message,)


@dataclass(frozen=True)
class Property:
    """One visible property: its name and the function that tests the learner's answer."""

    name: str
    test: Callable[..., None]


@dataclass(frozen=True)
class Outcome:
    """What one property said: `problem` is empty where it holds."""

    name: str
    problem: str = ""
    attempted: bool = True


_PROPERTIES: dict[str, list[Property]] = {}
_HINTS: dict[str, tuple[str, ...]] = {}


def prop(exercise_id: str, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register the decorated function as a visible property of an exercise, in the order of definition."""

    def register(test: Callable[..., None]) -> Callable[..., None]:
        known = _PROPERTIES.setdefault(exercise_id, [])
        known[:] = [p for p in known if p.name != name]
        known.append(Property(name, test))
        return test

    return register


def hints(exercise_id: str, *texts: str) -> None:
    """Register an exercise's three staged hints: a nudge, the way, the skeleton in words."""
    if len(texts) != 3:
        raise ValueError(f"exercise {exercise_id} has {len(texts)} hints; write three: a nudge, the way, a skeleton")
    _HINTS[exercise_id] = texts


def properties_of(exercise_id: str) -> list[Property]:
    """The visible properties of an exercise; reads its module in `aieng.lesson.exercises` at the first call."""
    _load(exercise_id)
    return _PROPERTIES[exercise_id]


def hints_of(exercise_id: str) -> tuple[str, ...]:
    """The three hints of an exercise."""
    _load(exercise_id)
    return _HINTS[exercise_id]


def evaluate(exercise_id: str, *answers: Any) -> list[Outcome]:
    """Run every visible property on the learner's answers and return what each said.

    Where every property meets a NotImplementedError, nothing was attempted; where only some do, they name the part that is left.
    """
    outcomes = []
    for p in properties_of(exercise_id):
        try:
            p.test(*answers)
        except NotImplementedError as left:
            outcomes.append(Outcome(p.name, f"`{_raised_in(left)}` is not written yet: it raises NotImplementedError", attempted=False))
        except CheckFailed as failed:
            outcomes.append(Outcome(p.name, str(failed)))
        except Exception as error:
            outcomes.append(Outcome(p.name, _describe(error)))
        else:
            outcomes.append(Outcome(p.name))
    if not any(o.attempted for o in outcomes):
        return [Outcome(outcomes[0].name, "not attempted yet", attempted=False)]
    return outcomes


def _raised_in(error: BaseException) -> str:
    return traceback.extract_tb(error.__traceback__)[-1].name


def check(exercise_id: str, *answers: Any) -> None:
    """Check an answer, show a card with a diagnosis per property and remember the result.

    In the lab a failed check shows the card and lets the notebook go on. Under nbgrader it raises `CheckFailed`, so the
    cell earns nothing. Before that, `use(exercise_id, …)` learns whether to hand out the learner's code or the helper's.
    """
    spare_stderr()
    outcomes = evaluate(exercise_id, *answers)
    passed = all(not o.problem for o in outcomes)
    session.remember(exercise_id, passed, answers)
    if not grading() and any(o.attempted for o in outcomes):
        progress.record_check(exercise_id, passed)
    display(_card(exercise_id, outcomes))
    if grading() and not passed:
        failed = tuple(f"{o.name}: {o.problem}" for o in outcomes if o.problem)
        raise CheckFailed("\n".join((f"{len(failed)} of {len(outcomes)} visible properties do not hold:", *failed)), failed)


def _card(exercise_id: str, outcomes: list[Outcome]) -> Card:
    about = course.exercise(exercise_id)
    heading = f"{about.id} {about.title}"
    if not any(o.attempted for o in outcomes):
        return Card(f"{heading}: not attempted yet", "open",
                    note=f"Write your answer in the cell above and run both again. Stuck? `hint(\"{about.id}\")` above. "
                         "You can also go on: later cells then use the course's own version.")
    held = sum(not o.problem for o in outcomes)
    lines = tuple(Line("✗" if o.problem else "✓", o.name, o.problem) for o in outcomes)
    if held == len(outcomes):
        return Card(f"{heading}: all {held} properties hold", "good", lines,
                    f"From here on the notebook runs on your code. Graded with hidden tests too: {about.points} points.")
    return Card(f"{heading}: {held} of {len(outcomes)} properties hold", "bad", lines)


def _load(exercise_id: str) -> None:
    course.exercise(exercise_id)  # a clear error for an id that does not exist
    importlib.import_module(f"aieng.lesson.exercises.ex_{exercise_id.replace('.', '_')}")


def _describe(error: Exception) -> str:
    """What went wrong inside the learner's code: type, message, and the last line of theirs that was running."""
    text = f"your code raised {type(error).__name__}: {error}" if str(error) else f"your code raised {type(error).__name__}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        inside = Path(frame.filename)
        if "site-packages" in inside.parts or PACKAGE in inside.parents or not frame.lineno:
            continue
        line = (frame.line or linecache.getline(frame.filename, frame.lineno)).strip()
        if line:
            return f"{text}\nin {frame.name}, at: `{line}`"
    return text


# --- what a property says ---------------------------------------------------------------------------------------------


def expect(condition: Any, message: str) -> None:
    """Raise `CheckFailed` with `message` unless the condition holds."""
    if not bool(condition):
        raise CheckFailed(message)


def expect_shape(value: Any, shape: tuple[int, ...], name: str, hint: str = "") -> None:
    """Expect an array (numpy or torch) of exactly this shape; say what came instead."""
    if value is None:
        raise CheckFailed(f"`{name}` is None: does your function end without a `return`?")
    got = getattr(value, "shape", None)
    if got is None:
        raise CheckFailed(f"`{name}` is a {type(value).__name__}, expected an array of shape {shape}. {hint}".strip())
    if tuple(got) != tuple(shape):
        raise CheckFailed(f"`{name}` has shape {tuple(got)}, expected {tuple(shape)}. {hint}".strip())


def expect_dtype(value: Any, dtype: Any, name: str, hint: str = "") -> None:
    """Expect an array of this numpy dtype."""
    got = np.asarray(value).dtype
    if got != np.dtype(dtype):
        raise CheckFailed(f"`{name}` has dtype {got}, expected {np.dtype(dtype)}. {hint}".strip())


def expect_close(got: Any, want: Any, message: str, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Expect numbers equal within the tolerance; the first difference is added to the message. Shapes are compared first."""
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    if got.shape != want.shape:
        raise CheckFailed(f"{message} (shape {got.shape}, expected {want.shape})")
    wrong = ~np.isclose(got, want, rtol=rtol, atol=atol)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f" at {list(at)}" if at else ""
        raise CheckFailed(f"{message} (you gave {got[at]:.6g}{where}, expected {want[at]:.6g})")


def expect_raises(kinds: type[BaseException] | tuple[type[BaseException], ...], call: Callable[[], Any], message: str) -> None:
    """Expect the call to raise one of these errors."""
    try:
        call()
    except NotImplementedError:
        raise
    except kinds:
        return
    except Exception as error:
        raise CheckFailed(f"{message} (it raised {type(error).__name__}: {error})") from error
    raise CheckFailed(f"{message} (it raised nothing)")


@contextmanager
def untouched(**arrays: Any) -> Iterator[None]:
    """Expect that the code inside leaves these arrays as they were."""
    before = {name: copy.deepcopy(np.asarray(value)) for name, value in arrays.items()}
    yield
    for name, value in arrays.items():
        if not np.array_equal(before[name], np.asarray(value), equal_nan=True):
            raise CheckFailed(f"your code changed its input `{name}`: work on a copy")

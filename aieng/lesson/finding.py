"""What an experiment found: a figure, a sentence with the measured numbers, and the numbers themselves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from IPython.display import Markdown, display

from aieng.lesson.environment import grading

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """Shown by being a cell's last expression; `data` holds the numbers for the cells (and claims) that follow."""

    sentence: str
    figure: Any = None
    data: dict[str, Any] = field(default_factory=dict)

    def _ipython_display_(self) -> None:
        if self.figure is not None:
            display(self.figure)
        display(Markdown(self.sentence))


class Skipped(Finding):
    """Stands in for a finding where an experiment was not run; every number asked of it is NaN."""


class _NotMeasured(dict[str, Any]):
    def __missing__(self, key: str) -> float:
        return float("nan")


def experiment(measure: Callable[..., Finding]) -> Callable[..., Finding]:
    """Skip the decorated experiment while grading: its numbers earn no points, and a grader has many notebooks to run."""

    @functools.wraps(measure)
    def run(*args: Any, **kwargs: Any) -> Finding:
        if grading():
            return Skipped(f"*{measure.__name__} was not run: experiments are skipped while grading.*", data=_NotMeasured())
        return measure(*args, **kwargs)

    return run


def whose(*answers: Any, alone: bool = False) -> str:
    """What a sentence calls the functions or classes that were measured: "your", or "the course's" where `use` handed out only those.

    alone : no noun follows, as in a legend; "yours" in place of "your"
    """
    if all((getattr(answer, "__module__", None) or "").startswith("aieng.") for answer in answers):
        return "the course's"
    return "yours" if alone else "your"


def drawn(draw: Callable[P, T]) -> Callable[P, T | Skipped]:
    """Skip the decorated figure or widget while grading, when nobody looks at it."""

    @functools.wraps(draw)
    def run(*args: P.args, **kwargs: P.kwargs) -> T | Skipped:
        if grading():
            return Skipped(f"*{draw.__name__} was not drawn: figures are skipped while grading.*")
        return draw(*args, **kwargs)

    return run

"""No hostile submission earns a point, learns the tests, leaves the sandbox or disturbs the next one."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import catalogue

from aieng.lesson import course
from autograder import notebooks, planning, sandbox
from autograder.execution import Cell, run_cells
from autograder.inside.isolation import Limits

needs_sandbox = pytest.mark.skipif(not sandbox.bubblewrap(), reason=f"needs bubblewrap: {sandbox.missing_protections()}")
ALL = catalogue.load()
SLUG = course.section_of(catalogue.EXERCISE).slug


def grade(hostile):
    """(results of the graded cell, and of its hidden part alone, all results) of a submission."""
    plan = planning.plan_of(notebooks.source_path(SLUG), SLUG)
    whole = plan.graded(notebooks.tests_id(catalogue.EXERCISE))
    source = f"{notebooks.BEGIN_HIDDEN}\n{notebooks.load_exercise(catalogue.EXERCISE).hidden}\n{notebooks.END_HIDDEN}"
    hidden = replace(whole, source=source, hidden=planning.hidden_part(source)[0], visible="")
    both = [hidden] if hostile.only == "hidden" else [whole, hidden]
    cells = [
        *(Cell(s) for s in plan.setup),
        *(Cell(s) for s in hostile.before),
        Cell(hostile.answer),
        *both,
        *(Cell(s) for s in hostile.after),
    ]
    limits = Limits(seconds=hostile.seconds, total_seconds=2 * hostile.seconds, memory=1 << 30)
    results = run_cells(plan.preparation(Limits()), cells, limits=limits)
    first = len(plan.setup) + len(hostile.before) + 1
    return results[first : first + len(both)], results


@needs_sandbox
@pytest.mark.parametrize("hostile", ALL, ids=lambda h: f"{h.kind}-{h.name}")
def test_withstood(hostile):
    verdicts, results = grade(hostile)
    told = " ".join(m for v in verdicts for m in v.messages)
    for verdict in verdicts:
        if hostile.expects == "full":
            assert verdict.ok and verdict.value is None, told
        else:
            assert not verdict.ok and verdict.messages
    assert re.search(hostile.says, told), told
    shown = " ".join(str(r.outputs) + " ".join(r.messages) for r in results)
    assert not re.search(r"(?<!print\(')(?<!')LEAK(?!')", shown), shown[:2000]
    hidden = [line.strip() for line in notebooks.load_exercise(catalogue.EXERCISE).hidden.splitlines() if len(line.strip()) > 30]
    assert not [line for line in hidden if line in shown]
    assert len(shown) < 8 << 20


def test_there_are_enough_of_each_class():
    assert len(ALL) >= 60
    assert {h.kind for h in ALL} >= {
        "tampering",
        "lying_objects",
        "frames",
        "memory",
        "exit_and_forgery",
        "reading",
        "helper",
        "exhaustion",
        "escape",
        "cross_submission",
    }


def test_without_bubblewrap_the_missing_protections_are_named(monkeypatch):
    monkeypatch.setattr(sandbox, "bubblewrap", lambda: None)
    assert "UNSAFE" in sandbox.missing_protections() and "network" in sandbox.missing_protections()

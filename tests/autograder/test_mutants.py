"""The faults that are planted in reference answers, and the reports that count what the tests caught."""

from __future__ import annotations

import ast

import pytest

from aieng.lesson import course
from autograder import banks, notebooks
from autograder.banks import Outcome
from autograder.mutants import mutants

SOURCE = '''
def clip(values, low, high=10):
    """Keep what is between low and high: 3 stays."""
    if not values:
        raise ValueError("no values")
    kept = [v for v in values if v >= low and v < high]
    kept.sort(reverse=False)
    return -kept[0] + 2
'''


def test_each_kind_of_fault_is_planted_once():
    found = {m.about.split(" in `")[0] for m in mutants(SOURCE)}
    assert found == {  # turning `not values` round is the same as leaving `not` out, and is planted once
        ">= became >", "< became <=", "and became the other", "not was left out", "- was left out", "+ became -",
        "0 became 1", "2 became 3", "reverse= was left out", "False became True", "the statement was left out"}


def test_mutants_are_programs_that_differ_from_the_answer_and_each_other():
    texts = [m.source for m in mutants(SOURCE)]
    assert len(set(texts)) == len(texts) and ast.unparse(ast.parse(SOURCE)) not in texts
    for text in texts:
        compile(text, "mutant", "exec")


def test_signatures_and_the_words_of_errors_stay():
    source = "def f(x, k=5):\n    if x < 1:\n        raise ValueError(f'{x - 1} of {k + 2}')\n    return x"
    assert {m.about.split(" in ")[0] for m in mutants(source)} == {"< became <=", "1 became 2", "the statement was left out"}
    assert all("k=5" in m.source for m in mutants(source))


def test_a_mutant_behaves_differently():
    changed = next(m for m in mutants(SOURCE) if m.about.startswith(">= became >"))
    space: dict = {}
    exec(changed.source, space)
    assert space["clip"]([1, 5], 1) == -5 + 2


@pytest.mark.parametrize("exercise", [e.id for s in course.SECTIONS for e in s.exercises])
def test_every_reference_answer_has_mutants(exercise):
    assert next(mutants(notebooks.load_exercise(exercise).solution), None)


def test_the_reports_meet_their_bars_only_when_they_should(capsys):
    good = [Outcome("1.1", "right_a", False, ()), Outcome("1.1", "wrong_b", True, ("a reason",))]
    assert banks.report_banks(good)
    assert "1 of 1 (100.0%)" in capsys.readouterr().out
    assert not banks.report_banks([*good, Outcome("1.1", "right_c", True, ("refused",))])
    assert not banks.report_banks([*good, Outcome("1.1", "wrong_c", False, ())])
    caught = [Outcome("1.1", f"m{i}", True, ("x",)) for i in range(9)]
    assert banks.report_mutants([*caught, Outcome("1.1", "kept", False, ())])
    assert not banks.report_mutants([*caught[:8], Outcome("1.1", "kept", False, ()), Outcome("1.1", "also", False, ())])
    assert "NOT EXPLAINED" in capsys.readouterr().out


def test_explained_survivors_are_mutants_that_exist():
    for exercise, reasons in banks.explanations().items():
        known = {m.about for m in mutants(notebooks.load_exercise(exercise).solution)}
        assert set(reasons) <= known, exercise
        assert all(len(r) > 10 for r in reasons.values())


def test_unknown_exercises_are_refused():
    with pytest.raises(ValueError, match=r"no exercise is called 9\.9"):
        banks.ready_exercises(["9.9"])
    assert banks.ready_exercises(["1.3"]) == ["1.3"]
    assert len(banks.ready_exercises(["01"])) == 8

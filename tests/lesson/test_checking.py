"""`check` shows, stores and raises as promised; `use` hands out the right version; diagnoses name the learner's line."""

from __future__ import annotations

import dataclasses
import operator

import numpy as np
import pytest

from aieng.lesson import checking, course, progress, session, use
from aieng.lesson.checking import (
    CheckFailed,
    check,
    evaluate,
    expect,
    expect_close,
    expect_raises,
    expect_shape,
    untouched,
)


@pytest.fixture
def double(monkeypatch):
    """A stand-in for exercise 1.3 with two properties: the answer must double, and must not change its input."""
    monkeypatch.setitem(checking._PROPERTIES, "1.3", [])
    monkeypatch.setitem(checking._HINTS, "1.3", ("a", "b", "c"))
    about = dataclasses.replace(course.exercise("1.3"), helper={"double": "operator:neg"})
    monkeypatch.setattr(checking, "_load", lambda exercise_id: None)
    monkeypatch.setattr(session.course, "exercise", lambda exercise_id: about)

    @checking.prop("1.3", "doubles")
    def doubles(f):
        expect_close(f(np.array([1.0, 2.0])), [2.0, 4.0], "twice the input")

    @checking.prop("1.3", "leaves its input alone")
    def pure(f):
        x = np.ones(3)
        with untouched(x=x):
            f(x)

    return monkeypatch


def right(x):
    return x * 2


def mutating(x):
    x *= 2
    return x


def stub(x):
    raise NotImplementedError


def crashing(x):
    return x["key"]


def test_a_right_answer_passes_is_stored_and_is_used(double, capsys):
    check("1.3", right)
    assert progress.passed_exercises() == {"1.3"}
    assert use("1.3", right) is right


def test_a_wrong_answer_never_stops_the_lab_and_is_not_used(double, capsys):
    check("1.3", mutating)
    assert progress.passed_exercises() == set()
    assert session._CHECKED["1.3"][0] is False


def test_the_same_cell_raises_under_nbgrader(double):
    double.setenv("NBGRADER_EXECUTION", "autograde")
    check("1.3", right)
    with pytest.raises(CheckFailed, match="changed its input `x`") as caught:
        check("1.3", mutating)
    assert len(caught.value.messages) == 1
    assert not progress.directory().exists()


def test_a_stub_is_not_an_attempt(double, capsys):
    check("1.3", stub)
    assert not progress.directory().exists()
    assert [o.attempted for o in evaluate("1.3", stub)] == [False]
    double.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(CheckFailed):
        check("1.3", stub)


def test_half_an_answer_is_told_which_half_is_left(double):
    @checking.prop("1.3", "halves")
    def halves(f):
        f.half(2.0)

    def answer(x):
        return x * 2

    def half(x):
        raise NotImplementedError

    answer.half = half
    assert [o.problem for o in evaluate("1.3", answer)][:2] == ["", ""]
    assert "`half` is not written yet" in evaluate("1.3", answer)[2].problem
    check("1.3", answer)
    assert progress.load()["exercises"]["1.3"]["attempts"] == 1


def test_a_crash_names_the_learners_line(double):
    problem = evaluate("1.3", crashing)[0].problem
    assert "IndexError" in problem
    assert 'return x["key"]' in problem


def test_an_answer_changed_after_its_check_is_not_used(double, capsys):
    check("1.3", right)
    chosen = use("1.3", lambda x: x * 3)
    assert chosen is operator.neg
    assert "run the check again" in capsys.readouterr().out


def test_use_falls_back_and_says_so_once(double, capsys):
    first, second = use("1.3", stub), use("1.3", stub)
    assert first is second
    assert capsys.readouterr().out.count("course's own") == 1


def test_unknown_exercise_is_a_clear_error():
    with pytest.raises(ValueError, match=r"no exercise '9\.9'"):
        check("9.9", right)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: expect(False, "no"), "no"),
        (lambda: expect_shape(None, (2,), "ids"), "without a `return`"),
        (lambda: expect_shape(np.zeros((2, 3)), (3, 2), "ids", "One row per query."), r"\(2, 3\), expected \(3, 2\)"),
        (lambda: expect_shape([1, 2], (2,), "ids"), "is a list"),
        (lambda: expect_close([1.0, 2.0], [1.0, 3.0], "off"), r"you gave 2 at \[1\], expected 3"),
        (lambda: expect_close([1.0, 2.0], [1.0], "off"), "shape"),
        (lambda: expect_close([np.nan], [1.0], "off"), "nan"),
        (lambda: expect_raises(ValueError, lambda: None, "should refuse"), "raised nothing"),
        (lambda: expect_raises(ValueError, lambda: 1 / 0, "should refuse"), "ZeroDivisionError"),
    ],
)
def test_expectations_fail_with_their_reason(call, text):
    with pytest.raises(CheckFailed, match=text):
        call()

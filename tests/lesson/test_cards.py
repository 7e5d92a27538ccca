"""Cards, hints, cover and quiz: escaped HTML, a plain twin, keyboard controls, feedback at once."""

from __future__ import annotations

import json

import pytest
from IPython.utils.capture import capture_output

from aieng.lesson import check_quiz, claim, course, hint, hinting, progress, quiz, quizzing, start
from aieng.lesson.claims import number
from aieng.lesson.hinting import HintBox
from aieng.lesson.html import Card, Line
from aieng.lesson.quizzing import Question, QuizBox, seal


def test_a_card_escapes_and_has_a_plain_twin():
    card = Card("a < b", "bad", (Line("✗", "use `x<y>`", "because"),))
    assert "a &lt; b" in card.html()
    assert "<code>x&lt;y&gt;</code>" in card.html()
    assert card.plain().splitlines() == ["a < b", "  ✗ use `x<y>`", "      because"]


def test_hints_open_one_at_a_time():
    box = HintBox("1.3", ("first", "second", "third"))
    assert "first" not in box.listing.value
    for i, text in enumerate(("first", "second", "third"), 1):
        assert str(i) in box.button.description
        box.button.click()
        assert text in box.listing.value
    assert box.button.disabled


def test_hint_by_number_is_text(monkeypatch):
    monkeypatch.setattr(hinting, "hints_of", lambda exercise_id: ("first", "second", "third"))
    with capture_output() as shown:
        hint("1.3", 1)
    assert "Hint 1 of 3" in shown.outputs[0].data["text/plain"]
    with pytest.raises(ValueError, match="1, 2 or 3"):
        hint("1.3", 4)


def test_the_cover_counts_progress():
    progress.record_check("1.1", True)
    with capture_output() as shown:
        start("01-vectors")
    data = shown.outputs[0].data
    total = sum(len(s.exercises) for s in course.SECTIONS)
    assert f"1 of {total} exercises passed" in data["text/plain"]
    assert 'role="progressbar"' in data["text/html"]


@pytest.fixture
def two_questions(monkeypatch):
    feedback = ("no w", "yes x", "no y", "no z")
    questions = tuple(Question(t, ("w", "x", "y", "z"), feedback, seal(t, "b")) for t in ("one?", "two?"))
    monkeypatch.setattr(quizzing, "load_quiz", lambda key: questions)
    return questions


def test_check_quiz_says_why(two_questions):
    with capture_output() as shown:
        assert check_quiz("01", lambda: "ba") == 1
    text = shown.outputs[0].data["text/plain"]
    assert "yes x" in text
    assert "no w" in text
    assert progress.load()["quizzes"]["01-vectors"] == {"right": 1, "of": 2}


@pytest.mark.parametrize("bad", ["b", "bbb", "b9", 3, None])
def test_a_malformed_quiz_answer_says_what_to_write(two_questions, bad):
    with pytest.raises((ValueError, TypeError), match="answers"):
        check_quiz("01", lambda: bad)


def test_an_untouched_quiz_is_left_open(two_questions):
    def stub():
        raise NotImplementedError

    with capture_output() as shown:
        assert check_quiz("01", stub) == 0
    assert shown.outputs[0].data["text/plain"].count("not answered yet") == 2


def test_the_quiz_box_gives_feedback_and_the_line_to_hand_in(two_questions):
    box = QuizBox(two_questions)
    assert box.line == "??"
    box.choices[1].value = "b"
    assert box.line == "?b"
    assert any("yes x" in getattr(c, "value", "") for c in box.children if isinstance(getattr(c, "value", ""), str))


def test_quiz_is_text_while_grading(two_questions, monkeypatch, capsys):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    quiz("01")
    assert "a) w" in capsys.readouterr().out


def test_claims_are_recorded_and_checked():
    with capture_output():
        claim("01-test", "statement", "holds", f"{number(2.0)} of {number(float('nan'))}", "paper")
    assert progress.load()["claims"]["01-test"]["measured"] == "2 of not measured"
    with pytest.raises(ValueError, match="verdict"):
        claim("01-test", "statement", "maybe", "x", "y")
    json.dumps(progress.load())

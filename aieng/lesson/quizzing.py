"""Five multiple-choice questions at a section's end: `quiz` to answer with instant feedback, `check_quiz` to hand in.

Questions live in aieng/lesson/quizzes/<section>.json. The right letter is stored as a digest, so that reading the file does
not spoil the quiz; it is no secret that guards anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from IPython.display import display

from aieng.lesson import course, progress
from aieng.lesson.boxes import WordedBox
from aieng.lesson.environment import grading, interactive_allowed, spare_stderr
from aieng.lesson.html import Card, Line, code_spans

LETTERS = "abcd"


@dataclass(frozen=True)
class Question:
    """One question with four options, and for each option the sentence shown once it is chosen."""

    text: str
    options: tuple[str, ...]
    feedback: tuple[str, ...]
    digest: str

    def is_right(self, letter: str) -> bool:
        return seal(self.text, letter) == self.digest


def seal(question: str, letter: str) -> str:
    """The digest stored for a question's right letter."""
    return hashlib.sha256(f"{question}\n{letter}".encode()).hexdigest()[:16]


def load_quiz(key: str) -> tuple[Question, ...]:
    """The five questions of a section."""
    slug = course.section(key).slug
    path = Path(__file__).parent / "quizzes" / f"{slug}.json"
    if not path.exists():
        raise ValueError(f"section {slug} has no quiz yet ({path} does not exist)")
    entries = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Question(e["text"], tuple(e["options"]), tuple(e["feedback"]), e["digest"]) for e in entries)


def quiz(key: str) -> None:
    """Show the section's questions with feedback at once; as plain text where widgets are not wanted."""
    questions = load_quiz(key)
    if interactive_allowed():
        display(QuizBox(questions))
    else:
        print(_plain(questions))


def check_quiz(key: str, answers: Callable[[], str]) -> int:
    """Show, for each answer handed in, whether it is right and why; returns how many are.

    Parameters
    ----------
    key : the section, such as "01"
    answers : a function that returns five letters a to d, one a question, with "?" for one left open; a function, so that an
        untouched cell does not stop the notebook
    """
    spare_stderr()
    questions = load_quiz(key)
    try:
        letters = _letters(answers(), len(questions))
    except NotImplementedError:
        letters = "?" * len(questions)
    lines, right = [], 0
    for i, (question, letter) in enumerate(zip(questions, letters, strict=True), 1):
        if letter == "?":
            lines.append(Line("–", f"{i}. not answered yet"))
            continue
        good = question.is_right(letter)
        right += good
        lines.append(Line("✓" if good else "✗", f"{i}. {letter}", question.feedback[LETTERS.index(letter)]))
    if not grading():
        slug = course.section(key).slug
        progress.update(lambda record: record["quizzes"].update({slug: {"right": right, "of": len(questions)}}))
    kind = "good" if right == len(questions) else "open" if set(letters) == {"?"} else "bad"
    display(Card(f"Quiz: {right} of {len(questions)} right", kind, tuple(lines)))
    return right


def _letters(answers: Any, n: int) -> str:
    if not isinstance(answers, str):
        raise TypeError(f'answers() gave a {type(answers).__name__}; return a string of {n} letters such as "abcd?"')
    letters = "".join(answers.lower().replace(",", " ").split())
    if len(letters) != n or not set(letters) <= set(LETTERS + "?"):
        raise ValueError(f"answers() gave {answers!r}; return {n} letters from a, b, c, d, with ? for one left open")
    return letters


def _plain(questions: tuple[Question, ...]) -> str:
    parts = []
    for i, q in enumerate(questions, 1):
        parts.append(f"{i}. {q.text}\n" + "\n".join(f"   {letter}) {o}" for letter, o in zip(LETTERS, q.options, strict=True)))
    return "\n\n".join(parts)


class QuizBox(WordedBox):
    """The questions as radio buttons (arrow keys choose), feedback under each, and the line to hand in at the end."""

    def __init__(self, questions: tuple[Question, ...]) -> None:
        self.questions = questions
        self.choices: list[widgets.RadioButtons] = []
        self.hand_in = widgets.HTML()
        children: list[widgets.Widget] = []
        for i, question in enumerate(questions, 1):
            options = [(f"{letter}) {o}", letter) for letter, o in zip(LETTERS, question.options, strict=True)]
            radio = widgets.RadioButtons(options=options, value=None, layout=widgets.Layout(width="auto"))
            radio.tooltip = f"Question {i}"
            feedback = widgets.HTML()
            radio.observe(lambda change, q=question, f=feedback: self._answered(q, f, change["new"]), names="value")
            title = widgets.HTML(f"<div style='color:var(--jp-ui-font-color1);max-width:60em;margin-top:.6em'>"
                                 f"<b>{i}.</b> {code_spans(question.text)}</div>")
            self.choices.append(radio)
            children += [title, radio, feedback]
        self._show_line()
        super().__init__([*children, self.hand_in])

    @property
    def line(self) -> str:
        """The letters chosen so far, "?" where none is."""
        return "".join(c.value or "?" for c in self.choices)

    def _answered(self, question: Question, feedback: widgets.HTML, letter: str) -> None:
        good = question.is_right(letter)
        mark = "✓ Right." if good else "✗ Not quite."
        feedback.value = (f"<div role='status' style='color:var(--jp-ui-font-color1);max-width:60em'><b>{mark}</b> "
                          f"{code_spans(question.feedback[LETTERS.index(letter)])}</div>")
        self._show_line()

    def _show_line(self) -> None:
        self.hand_in.value = ("<div role='status' style='color:var(--jp-ui-font-color1);margin-top:.6em'>To hand in, write "
                              f"this in the cell below: <code>return \"{self.line}\"</code></div>")

    def plain(self) -> str:
        """The questions and their options."""
        return _plain(self.questions)

"""Questions about the corpus with known answers, and the recorded answers of a longer evaluation.

``assets/make_questions.py`` and ``assets/run_rag_evaluation.py`` wrote the files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aieng.data.corpus import ASSETS


@dataclass(frozen=True)
class Question:
    """question : str; answers : accepted ones, any of them counts; passage : title of the passage that holds it, None for unanswerable."""

    question: str
    answers: tuple[str, ...]
    passage: str | None

    @property
    def answerable(self) -> bool:
        return self.passage is not None

    def accepts(self, answer: str) -> bool:
        """Whether one of the accepted answers stands in the text, capital letters aside."""
        return any(a.lower() in answer.lower() for a in self.answers)


def load_questions() -> list[Question]:
    """64 questions with an answer in the corpus, and 12 without."""
    rows = json.loads((ASSETS / "questions.json").read_text(encoding="utf-8"))
    return [Question(row["question"], tuple(row["answers"]), row["passage"]) for row in rows]


def load_rag_evaluation() -> dict[str, Any]:
    """The recorded evaluation: `date`, `machine`, `settings`, and `answers`, {condition: one text per question}."""
    record: dict[str, Any] = json.loads((ASSETS / "rag_evaluation.json").read_text(encoding="utf-8"))
    return record

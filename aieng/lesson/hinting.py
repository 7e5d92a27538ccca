"""`hint`: an exercise's three hints, one at a time."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
from IPython.display import display

from aieng.lesson import course
from aieng.lesson.boxes import WordedBox
from aieng.lesson.checking import hints_of
from aieng.lesson.environment import interactive_allowed
from aieng.lesson.html import Card, code_spans


def hint(exercise_id: str, number: int | None = None) -> None:
    """Offer the hints of an exercise: a button that opens one after the other, or `hint("1.3", 2)` for the second as text."""
    texts = hints_of(exercise_id)
    title = f"Hints for {exercise_id} {course.exercise(exercise_id).title}"
    if number is not None:
        if number not in (1, 2, 3):
            raise ValueError(f"hint number {number!r}; there are three: 1, 2 or 3")
        display(Card(f"Hint {number} of 3 for {exercise_id}", "open", note=texts[number - 1]))
    elif interactive_allowed():
        display(HintBox(exercise_id, texts))
    else:
        display(Card(title, "open", note=f'`hint("{exercise_id}", 1)` shows the first of three.'))


class HintBox(WordedBox):
    """A button that reveals the next hint; reached and pressed by keyboard like any button."""

    def __init__(self, exercise_id: str, texts: tuple[str, ...]) -> None:
        self._exercise_id, self._texts, self.shown = exercise_id, texts, 0
        self.button = widgets.Button(tooltip=f"Show the next hint for exercise {exercise_id}", icon="lightbulb-o",
                                     layout=widgets.Layout(width="auto"))
        self.listing = widgets.HTML()
        self.button.on_click(self.reveal)
        self._label()
        super().__init__([self.button, self.listing])

    def reveal(self, _: Any = None) -> None:
        """Open one more hint."""
        self.shown = min(self.shown + 1, len(self._texts))
        items = "".join(f"<li style='margin:.4em 0'>{code_spans(t)}</li>" for t in self._texts[: self.shown])
        self.listing.value = ("<div role='status' style='line-height:1.5;color:var(--jp-ui-font-color1);white-space:pre-wrap'>"
                              f"<ol style='max-width:60em'>{items}</ol></div>")
        self._label()

    def _label(self) -> None:
        left = len(self._texts) - self.shown
        self.button.description = f"Show hint {self.shown + 1} of {len(self._texts)}" if left else "All hints are open"
        self.button.disabled = not left

    def plain(self) -> str:
        """How to read the hints without a button."""
        return f'Three hints: hint("{self._exercise_id}", 1), then 2, then 3.'

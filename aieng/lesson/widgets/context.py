"""The context window as a bar whose passages can be moved, with the answer that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets

from aieng.agents.context import INSTRUCTION
from aieng.data.questions import Question
from aieng.figures import context as draw
from aieng.figures.theme import CourseFigure, alt_text
from aieng.lesson.environment import interactive_allowed
from aieng.lesson.finding import drawn
from aieng.lesson.widgets.explorer import Explorer, guarded, live, redraw, slider
from aieng.models.endpoint import chat_model


class Window:
    """What is in the context at the moment: passages in an order, a budget, and the model's answer, asked once for each prompt.

    Parameters
    ----------
    compose : the learner's
    lm : SmolLM2, whose tokens count; it answers too, unless an endpoint is named in the environment
    question : Question
    titles, texts : of each passage
    holds : place in them of the passage with the answer
    budget : tokens
    """

    def __init__(
        self, compose: Any, lm: Any, question: Question, titles: Sequence[str], texts: Sequence[str], holds: int, budget: int,
    ) -> None:
        self._compose, self._lm, self.question, self.titles, self.texts = compose, lm, question, list(titles), list(texts)
        self.holds, self.budget, self.order, self.chosen = holds, budget, list(range(len(texts))), holds
        self._answerer = chat_model(lm)
        self._answers: dict[str, str] = {}

    def count(self, text: str) -> int:
        return len(self._lm.tokenizer.encode(text))

    def move(self, step: int) -> None:
        """Exchange the chosen passage with its neighbour; at the end nothing happens."""
        at = self.order.index(self.chosen)
        to = at + step
        if 0 <= to < len(self.order):
            self.order[at], self.order[to] = self.order[to], self.order[at]

    def picture(self) -> tuple[CourseFigure, str]:
        """The bar, and the question with its answer in words."""
        in_turn = [-float(i) for i in range(len(self.order))]
        texts = [self.texts[i] for i in self.order]
        prompt, placed = self._compose(INSTRUCTION, self.question.question, texts, in_turn, self.budget, self.count, "best_first")
        if prompt not in self._answers:
            self._answers[prompt] = " ".join(self._answerer.chat(prompt, 20).split())
        answer = self._answers[prompt]
        inside = [self.count(f"[{place}] {self.texts[i]}\n") if place - 1 in placed else 0 for place, i in enumerate(self.order, 1)]
        first = self.count(f"{INSTRUCTION}\n\n")
        # The blocks add up to the prompt: what the joins save or cost goes to the question.
        tokens = [first, *inside, max(self.count(prompt) - first - sum(inside), 0)]
        names = ["instruction", *(self.titles[i] for i in self.order), "question"]
        fig = draw.window_bar(names, tokens, self.budget, marked=1 + self.order.index(self.holds), chosen=1 + self.order.index(self.chosen),
                              title="The context window")
        verdict = "right" if self.question.accepts(answer) else "not right"
        return fig, f"“{self.question.question}” The model answers: “{answer}” ({verdict})."


@drawn
def context_window(compose: Any, lm: Any, question: Question, titles: Sequence[str], texts: Sequence[str], holds: int, *,
                   budget: int = 180) -> Explorer | CourseFigure:
    """Choose a passage, move it with the buttons, change the budget: the bar and the answer follow (a second or two).

    For the arguments see `Window`.
    """
    window = Window(compose, lm, question, titles, texts, holds, budget)
    still, said = window.picture()
    if not interactive_allowed():
        return still
    figure = live(still)
    options = [(f"{title}{' (holds the answer)' if i == holds else ''}", i) for i, title in enumerate(titles)]
    pick = widgets.Dropdown(options=options, value=holds, description="Passage:", tooltip="Which passage the buttons move",
                            style={"description_width": "initial"}, layout=widgets.Layout(width="min(380px, 100%)"))
    earlier = widgets.Button(description="Earlier", icon="arrow-left", tooltip="Move the passage one place towards the beginning")
    later = widgets.Button(description="Later", icon="arrow-right", tooltip="Move the passage one place towards the end")
    room = slider("budget (tokens):", budget, 60, 300, tooltip="Most tokens of the prompt")
    room.continuous_update = False
    explorer = Explorer([pick, earlier, later, room], [figure], "Context window")

    def update() -> None:
        window.chosen, window.budget = pick.value, room.value
        fresh, words = window.picture()
        redraw(figure, fresh)
        explorer.say(f"{words} {alt_text(fresh)}")

    def moved(step: int) -> None:
        window.chosen = pick.value
        window.move(step)
        update()

    for control in (pick, room):
        control.observe(guarded(explorer, update), "value")
    earlier.on_click(guarded(explorer, lambda: moved(-1)))
    later.on_click(guarded(explorer, lambda: moved(1)))
    explorer.say(f"{said} {alt_text(still)}")
    return explorer

"""Interactive pictures of 6.1 and 6.2: a scratchpad with a planted error, and two judges on one chain."""

from __future__ import annotations

import random
from typing import Any

import ipywidgets as widgets
import numpy as np

from aieng.figures import reasoning as draw
from aieng.figures.theme import CourseFigure, alt_text
from aieng.lesson.environment import interactive_allowed
from aieng.lesson.experiments.process_supervision import JUDGES, Verifiers
from aieng.lesson.finding import drawn
from aieng.lesson.widgets.explorer import Explorer, guarded, live, redraw, slider
from aieng.reasoning.scratchpad import LONGEST, load_solver, random_chain
from aieng.reasoning.verifiers import step_labels


@drawn
def step_explorer(*, questions: int = 12, seed: int = 3) -> Explorer | CourseFigure:
    """The shipped models on a question of five steps: choose the question, the model, and a step to write wrongly.

    Parameters
    ----------
    questions : how many to choose from
    seed : of the questions
    """
    rng = random.Random(seed)
    chains = [random_chain(rng, LONGEST) for _ in range(questions)]
    models = {"scratchpad": load_solver("scratchpad-0"), "stopped early": load_solver("scratchpad-early"),
              "direct": load_solver("direct-0")}

    def picture(number: int, name: str, wrong_step: int) -> CourseFigure:
        chain = chains[number]
        right, names = list(chain.values), list(chain.operations)
        if name == "direct":
            grid = np.full((LONGEST, 10), np.nan)
            grid[-1] = models[name].step_probabilities(chain)[0].numpy()
            written = [-1] * (LONGEST - 1) + [int(grid[-1].argmax())]
        else:
            written = []
            for step in range(LONGEST):  # greedy, but for the planted digit
                p = models[name].step_probabilities(chain, [*written, 0])[-1]
                digit = int(p.argmax())
                written.append((digit + 3) % 10 if step + 1 == wrong_step else digit)
            grid = models[name].step_probabilities(chain, written).numpy()
        return draw.step_probabilities(grid, written, right, names, f"{chain}: what the model thinks at each step")

    still = picture(0, "scratchpad", 2)
    if not interactive_allowed():
        return still
    figure = live(still)
    number = slider("question:", 0, 0, questions - 1, tooltip="Which question")
    wrong_step = slider("wrong digit at step:", 2, 0, LONGEST, tooltip="Where a wrong digit is written; 0 for nowhere")
    name = widgets.Dropdown(options=list(models), value="scratchpad", description="model:", tooltip="Which model",
                            style={"description_width": "initial"})
    explorer = Explorer([number, wrong_step, name], [figure], "Probabilities of the digits at each step")

    def update() -> None:
        fresh = picture(number.value, name.value, wrong_step.value)
        redraw(figure, fresh)
        explorer.say(alt_text(fresh))

    handler = guarded(explorer, update)
    for control in (number, wrong_step, name):
        control.observe(handler, "value")
    return explorer


@drawn
def trace_explorer(verifiers: Verifiers, *, traces: int = 24) -> Explorer | CourseFigure:
    """Both judges' probabilities for each step of an unseen chain; first those that are right by wrong steps."""

    def order(t: Any) -> int:
        labels = step_labels(t.question, t.steps)
        return 0 if t.right_answer and not all(labels) else 1 if not all(labels) else 2

    by_kind = [[t for t in verifiers.unseen if order(t) == kind][: traces // 3] for kind in range(3)]
    shown = [t for kind in by_kind for t in kind]

    def picture(number: int) -> CourseFigure:
        t = shown[number]
        labels = step_labels(t.question, t.steps)
        judges: dict[str, Any] = {JUDGES[name]: p[0] for name, p in verifiers.probabilities([t]).items()}
        ending = "ends in the right answer" if t.right_answer else f"ends in {t.answer}; right is {t.question.answer}"
        return draw.judged_steps([f"{a} {operation} = {b}" for a, operation, b in t.steps], labels, judges, f"{t.question}: two judges",
                                 subtitle=f"hatched: a planted error; the chain {ending}")

    still = picture(0)
    if not interactive_allowed():
        return still
    figure = live(still)
    number = slider("chain:", 0, 0, len(shown) - 1, tooltip="Which chain: first right answers by wrong steps, then slips, then sound ones")
    explorer = Explorer([number], [figure], "Two judges on one chain")

    def update() -> None:
        fresh = picture(number.value)
        redraw(figure, fresh)
        explorer.say(alt_text(fresh))

    number.observe(guarded(explorer, update), "value")
    return explorer

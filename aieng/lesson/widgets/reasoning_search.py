"""Interactive pictures of 6.3 and 6.4. The kernels they run, the learner's own, come in as arguments."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from aieng.figures.reasoning_search import mask_bars
from aieng.figures.theme import CourseFigure, alt_text
from aieng.lesson.environment import interactive_allowed
from aieng.lesson.experiments.tools import Tools, mask_trace, stored
from aieng.lesson.experiments.tree_search import parse_puzzle, tree_at, walk
from aieng.lesson.finding import drawn
from aieng.lesson.widgets.explorer import Explorer, guarded, live, redraw, slider

_LOOK: dict[str, Any] = {"style": {"description_width": "initial"}}


@drawn
def tree_explorer(propose: Any, tot_bfs: Any, tot_dfs: Any, *, puzzle: str = "4 9 10 13", breadth: int = 3) -> Explorer | CourseFigure:
    """A search of the Game of 24, step by step; other numbers, the other search and another beam run the learner's code anew."""
    thoughts, title = walk(parse_puzzle(puzzle), "BFS", breadth, propose, tot_bfs, tot_dfs)
    last = max(t.followed_at or 0 for t in thoughts)
    still = tree_at(thoughts, last, title)
    if not interactive_allowed():
        return still
    figure = live(still)
    box = widgets.Text(
        value=puzzle,
        description="Four numbers:",
        continuous_update=False,
        tooltip="Whole numbers from 1 to 13; Enter searches",
        layout=widgets.Layout(width="min(230px, 100%)"),
        **_LOOK,
    )
    way = widgets.ToggleButtons(
        options=[("breadth first", "BFS"), ("depth first", "DFS")], value="BFS", tooltip="Which search", style={"button_width": "110px"}
    )
    beam = slider("beam (breadth first):", breadth, 1, 6, tooltip="How many states of a level go on")
    step = slider("step:", last, 0, last, tooltip="How many states have been followed; the arrow keys move it")
    explorer = Explorer([box, way, beam, step], [figure], "A tree of thoughts, step by step")
    state: dict[str, Any] = {"thoughts": thoughts, "title": title, "searching": False}

    def show() -> None:
        if state["searching"]:
            return
        fresh = tree_at(state["thoughts"], step.value, state["title"])
        redraw(figure, fresh)
        figure.update_layout(height=fresh.layout.height, yaxis_range=fresh.layout.yaxis.range)
        explorer.say(alt_text(fresh))

    def search() -> None:
        found, name = walk(parse_puzzle(box.value), way.value, beam.value, propose, tot_bfs, tot_dfs)
        most = max(t.followed_at or 0 for t in found)
        state.update(thoughts=found, title=name, searching=True)  # moving the slider must not draw half a change
        try:
            step.max = most
            step.value = most
        finally:
            state["searching"] = False
        show()

    for control in (box, way, beam):
        control.observe(guarded(explorer, search), "value")
    step.observe(guarded(explorer, show), "value")
    return explorer


def _bars(trace: dict[str, Any]) -> CourseFigure:
    return mask_bars(trace["tokens"], trace["mass"], trace["permitted"], trace["vocab_size"])


@drawn
def mask_explorer(describe: Any, constrained_decode: Any, tools: Tools) -> Explorer | CourseFigure:
    """A call under the mask, token by token: a stored one first; a typed question makes SmolLM2 write another (some seconds)."""
    first = stored()["trace"]
    still = _bars(first)
    if not interactive_allowed():
        return still
    figure = live(still)
    box = widgets.Text(
        value=first["question"],
        description="Question:",
        continuous_update=False,
        tooltip="Enter makes the model write a call",
        layout=widgets.Layout(width="min(520px, 100%)"),
        **_LOOK,
    )
    button = widgets.Button(
        description="Write another call", icon="pencil", tooltip="The same question, another draw", layout=widgets.Layout(width="auto")
    )
    explorer = Explorer([box, button], [figure], "What the mask permits, token by token")
    seed = 0

    def tell(trace: dict[str, Any]) -> None:
        low = sum(m < 0.5 for m in trace["mass"])
        explorer.say(
            f"It writes {trace['text']} At {low} of {len(trace['tokens'])} tokens the mask ruled out most of what the model wanted. "
            f"The tool answers: {trace['observation']}"
        )

    def write() -> None:
        if not box.value.strip():
            explorer.say("The question is empty: type one, then press Enter.")
            return
        explorer.say("SmolLM2 reads the tools and the question …")
        trace = mask_trace(describe, constrained_decode, tools, box.value, seed)
        fresh = _bars(trace)
        redraw(figure, fresh)
        figure.update_layout(xaxis={"tickvals": fresh.layout.xaxis.tickvals, "ticktext": fresh.layout.xaxis.ticktext})
        tell(trace)

    def again() -> None:
        nonlocal seed
        seed += 1
        write()

    box.observe(guarded(explorer, write), "value")
    button.on_click(guarded(explorer, again))
    tell(first)
    return explorer

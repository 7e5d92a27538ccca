"""Interactive pictures of section 07: the mask over a head's scores, and the grid of all heads with the map of one."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor

from aieng.figures import heads as draw
from aieng.figures.theme import CourseFigure, alt_text
from aieng.lesson.environment import interactive_allowed
from aieng.lesson.experiments.head_roles import all_weights
from aieng.lesson.finding import drawn
from aieng.lesson.widgets.explorer import Explorer, guarded, live, slider

LONGEST = 24  # tokens that a map can show


def queries_and_keys(lm: Any, text: str) -> tuple[list[Tensor], list[str]]:
    """The (q, k) of each layer, with as many keys' heads as queries', after RoPE, and the tokens of a text."""
    ids = lm.tokenizer.encode(text)
    seen: list[Any] = []
    usual = lm.model.kernels.attention

    def recording(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        seen.append(torch.stack([q[0], k[0]]))
        out: Tensor = usual(q, k, v, mask)
        return out

    lm.with_kernels(attention=recording).logits(ids)
    return seen, [lm.tokenizer.decode([i]) for i in ids]


@drawn
def mask_explorer(lm: Any, text: str, causal_mask: Any, attention_weights: Any, *, layer: int = 11,
                  head: int = 1) -> Explorer | CourseFigure:
    """Scores, scores plus mask and weights of one head on a short text; choose the head, and take the mask off."""
    seen, tokens = queries_and_keys(lm, text)
    if len(tokens) < 2 or len(tokens) > LONGEST:
        raise ValueError(f"{text!r} has {len(tokens)} tokens; the maps show 2 to {LONGEST}")
    n = len(tokens)

    def picture(at: int, which: int, masked: bool) -> CourseFigure:
        q, k = seen[at][:, which]
        mask = causal_mask(n) if masked else torch.zeros(n, n)
        scores = q @ k.mT / q.shape[-1] ** 0.5
        maps = (m.detach().numpy() for m in (scores, scores + mask, attention_weights(q, k, mask)))
        return draw.mask_panels(tokens, *maps,
                                title=f"Layer {at}, head {which}" + ("" if masked else ", without the mask"))

    still = picture(layer, head, True)
    if not interactive_allowed():
        return still
    figure = live(still)
    on = widgets.ToggleButton(value=True, description="Mask on", icon="check", tooltip="Add the mask, or leave it out")
    layers = slider("layer:", layer, 0, len(seen) - 1, tooltip="Which layer; arrow keys step")
    heads = slider("head:", head, 0, seen[0].shape[1] - 1, tooltip="Which head; arrow keys step")
    explorer = Explorer([on, layers, heads], [figure], "The mask over one head's scores")

    def update() -> None:
        on.description, on.icon = ("Mask on", "check") if on.value else ("Mask off", "times")
        fresh = picture(layers.value, heads.value, on.value)
        _replace(figure, fresh)
        explorer.say(alt_text(fresh))

    for control in (on, layers, heads):
        control.observe(guarded(explorer, update), "value")
    explorer.say(alt_text(still))
    return explorer


@drawn
def head_explorer(lm: Any, found: Any, text: str) -> Explorer | CourseFigure:
    """The grid of all heads, coloured by a score, and the map of the chosen one on a text.

    Choose by clicking on the grid, or with the two sliders. found : the finding of `head_roles.roles`.
    """
    scores = {name: np.asarray(z) for name, z in found.data.get("scores", {}).items()}
    if not scores:  # the experiment was skipped while grading
        scores = {"none measured": np.zeros((lm.config.num_hidden_layers, lm.config.num_attention_heads))}
    state: dict[str, Any] = {}

    def read(sentence: str) -> None:
        ids = lm.tokenizer.encode(sentence)
        if not 2 <= len(ids) <= LONGEST:
            raise ValueError(f"your sentence has {len(ids)} tokens; the map shows 2 to {LONGEST}")
        state.update(text=sentence, tokens=[lm.tokenizer.decode([i]) for i in ids], weights=all_weights(lm, ids).numpy())

    def picture(name: str, at: int, which: int) -> CourseFigure:
        told = ", ".join(f"{n} {z[at, which]:.2f}" for n, z in scores.items())
        return draw.grid_and_map(scores[name], state["tokens"], state["weights"][at, which], name=name, chosen=(at, which), told=told)

    read(text)
    first = "previous token" if "previous token" in scores else next(iter(scores))
    layer, head = divmod(int(scores[first].argmax()), scores[first].shape[1])
    still = picture(first, layer, head)
    if not interactive_allowed():
        return still
    figure = live(still)
    pick = widgets.Dropdown(options=list(scores), value=first, description="colour by:", tooltip="Which score colours the grid",
                            style={"description_width": "initial"})
    layers = slider("layer:", layer, 0, scores[first].shape[0] - 1, tooltip="Which layer; arrow keys step")
    heads = slider("head:", head, 0, scores[first].shape[1] - 1, tooltip="Which head; arrow keys step")
    box = widgets.Text(value=text, description="Your sentence:", continuous_update=False, tooltip="Enter shows its map",
                       style={"description_width": "initial"}, layout=widgets.Layout(width="min(560px, 100%)"))
    explorer = Explorer([pick, layers, heads, box], [figure], "All heads, and the map of one")

    def update() -> None:
        if box.value != state["text"]:
            read(box.value)
        fresh = picture(pick.value, layers.value, heads.value)
        _replace(figure, fresh)
        explorer.say(alt_text(fresh))

    def clicked(_: Any, points: Any, __: Any) -> None:
        if points.xs and points.ys:
            layers.value, heads.value = int(points.ys[0]), int(points.xs[0])

    figure.data[0].on_click(clicked)
    for control in (pick, layers, heads, box):
        control.observe(guarded(explorer, update), "value")
    explorer.say(alt_text(still))
    return explorer


def _replace(shown: Any, figure: CourseFigure) -> None:
    """Give a live figure the data and titles of another with as many traces."""
    with shown.batch_update():
        for old, new in zip(shown.data, figure.data, strict=True):
            values = new.to_plotly_json()
            old.update({key: values[key] for key in ("x", "y", "z", "text", "texttemplate", "zmin", "zmax") if key in values})
        shown.layout.title.text = figure.layout.title.text
        shown.layout.meta = figure.layout.meta
        for mine, fresh in zip(shown.layout.annotations, figure.layout.annotations, strict=True):
            mine.text = fresh.text

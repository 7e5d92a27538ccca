"""Interactive pictures of section 03. The kernels they run, the learner's own, come in as arguments.

Each function returns a widget; while a grader runs the notebook it returns the still figure of the same beginning.
"""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor

from aieng.figures import internals as draw
from aieng.figures.theme import CourseFigure, alt_text
from aieng.lesson.environment import interactive_allowed
from aieng.lesson.experiments.kv_cache import words
from aieng.lesson.finding import drawn
from aieng.lesson.widgets.explorer import Explorer, guarded, live, redraw, slider
from aieng.models.smollm2 import SmolLM2
from aieng.transformer.attention import scaled_dot_product_attention


@drawn
def rope_explorer(apply_rope: Any, *, head_dim: int = 64, theta: float = 100_000.0, pairs: tuple[int, ...] = (0, 2, 5, 10), query: int = 12,
                  distance: int = 3) -> Explorer | CourseFigure:
    """Move a query and a key along the text: the hands of some pairs, turned by `apply_rope`.

    Query and key are the same vector, whose pairs all point to the right at position 0.
    """
    x = torch.zeros(1, head_dim)
    x[:, : head_dim // 2] = 1.0
    at = list(pairs)

    def picture(m: int, d: int) -> CourseFigure:
        q, k = (torch.as_tensor(apply_rope(x, torch.tensor([p]), theta))[0].double() for p in (m, m - d))
        of_query, of_key = (torch.stack((t[at], t[[i + head_dim // 2 for i in at]]), dim=1) for t in (q, k))
        return draw.rope_dials(of_query, of_key, pairs, m, m - d, float(q @ k), highest=head_dim / 2)

    still = picture(query, distance)
    if not interactive_allowed():
        return still
    figure = live(still)
    place = slider("position of the query:", query, 0, 200, tooltip="Move both tokens along the text; arrow keys step")
    apart = slider("distance, query minus key:", distance, -20, 100, tooltip="How many places the key stands before the query")
    explorer = Explorer([place, apart], [figure], "RoPE: hands of clocks")

    def update() -> None:
        fresh = picture(place.value, apart.value)
        redraw(figure, fresh)
        explorer.say(alt_text(fresh))

    handler = guarded(explorer, update)
    for control in (place, apart):
        control.observe(handler, "value")
    return explorer


def heads_of(lm: SmolLM2, text: str) -> tuple[list[str], list[tuple[Tensor, Tensor, Tensor]]]:
    """The tokens of a text, and each layer's turned queries, keys and values (heads, tokens, head_dim)."""
    seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def watching(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        seen.append((q[0], k[0], v[0]))
        return scaled_dot_product_attention(q, k, v, mask)

    ids = lm.tokenizer.encode(text)
    lm.with_kernels(attention=watching).logits(ids)
    return [lm.tokenizer.decode([i]) for i in ids], seen


@drawn
def attention_explorer(
    softmax: Any, lm: SmolLM2, text: str, *, layer: int = 10, head: int = 0, query: int | None = None,
) -> Explorer | CourseFigure:
    """One query of one head of SmolLM2 on a text: scores, weights by `softmax`, and the mixed values; layer, head and token to choose."""
    tokens, layers = heads_of(lm, text)
    start = len(tokens) - 1 if query is None else query

    def picture(layer: int, head: int, i: int) -> CourseFigure:
        q, k, v = (t[head] for t in layers[layer])
        scores = q[i] @ k.T / q.shape[-1] ** 0.5
        scores[i + 1:] = -torch.inf
        weights = torch.as_tensor(softmax(scores))
        return draw.attention_steps(tokens, np.where(np.arange(len(tokens)) <= i, scores, np.nan), weights, v, i, head=
                                    f"layer {layer}, head {head}")

    still = picture(layer, head, start)
    if not interactive_allowed():
        return still
    figure = live(still)
    depth = slider("layer:", layer, 0, len(layers) - 1, tooltip="Which of the model's layers")
    which = slider("head:", head, 0, len(layers[0][0]) - 1, tooltip="Which of the layer's heads")
    options = [(f"{i} {t.strip() or '(space)'}", i) for i, t in enumerate(tokens)]
    pick = widgets.Dropdown(options=options, value=start, description="token that asks:", tooltip="Whose query is shown",
                            style={"description_width": "initial"})
    explorer = Explorer([depth, which, pick], [figure], "One head of SmolLM2 at work")

    def update() -> None:
        fresh = picture(depth.value, which.value, pick.value)
        redraw(figure, fresh)
        explorer.say(alt_text(fresh))

    handler = guarded(explorer, update)
    for control in (depth, which, pick):
        control.observe(handler, "value")
    return explorer


@drawn
def cache_explorer(cache_class: Any, lm: SmolLM2, prompt: str, *, new_tokens: int = 16) -> Explorer | CourseFigure:
    """SmolLM2 continues a prompt on the learner's cache; a slider walks through the steps that were recorded."""
    model = lm.with_kernels(cache=cache_class).model
    ids = lm.tokenizer.encode(prompt)
    capacity = len(ids) + words(new_tokens)
    held, sequence, fed = [], list(ids), list(ids)
    with torch.inference_mode():
        cache = model.new_cache(1, capacity)
        while len(sequence) <= capacity:
            fed = [int(model(torch.tensor([fed]), cache, logits_to_keep=1)[0, -1].argmax())]
            held.append(int(cache.length))
            sequence += fed
    tokens = [lm.tokenizer.decode([i]) for i in sequence]
    per_token = cache.nbytes / capacity

    def picture(step: int) -> CourseFigure:
        return draw.cache_growth(tokens, len(ids), capacity, held, step, per_token)

    still = picture(min(5, len(held) - 1))
    if not interactive_allowed():
        return still
    figure = live(still)
    step = slider("step:", min(5, len(held) - 1), 0, len(held) - 1, tooltip="Step of the generation; arrow keys step")
    play = widgets.Play(min=0, max=len(held) - 1, value=step.value, interval=700, show_repeat=False, tooltip=
                        "Play, pause or stop the steps")
    link = widgets.jslink((play, "value"), (step, "value"))
    explorer = Explorer([play, step], [figure], "A cache that grows")
    explorer.link = link

    def update() -> None:
        fresh = picture(step.value)
        redraw(figure, fresh)
        explorer.say(f"{alt_text(fresh)} Text so far: {''.join(tokens[: held[step.value] + 1])}")

    step.observe(guarded(explorer, update), "value")
    return explorer

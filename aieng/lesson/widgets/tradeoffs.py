"""Interactive pictures of section 05: levels over weights with a group-size slider, and a mask painter."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import numpy as np
from torch import Tensor

from aieng.figures import tradeoffs as draw
from aieng.figures.theme import CourseFigure, alt_text
from aieng.lesson.environment import interactive_allowed
from aieng.lesson.finding import drawn
from aieng.lesson.widgets.explorer import Explorer, guarded, live, redraw, slider
from aieng.quantization.integer import dequantize_groups
from aieng.transformer.sparse_attention import reach


@drawn
def levels_explorer(quantize_groups: Any, weight: Tensor, *, sizes: tuple[int, ...] = (16, 32, 64, 128, 384)) -> Explorer | CourseFigure:
    """Weights of one group and the levels they get: choose the group size, the bits, and which row to look at.

    Parameters
    ----------
    quantize_groups : the learner's
    weight : Tensor (out, in)
    sizes : group sizes to choose from; each divides in
    """

    def picture(size: int, bits: int, row: int) -> CourseFigure:
        values = weight[row : row + 1]
        codes, scale, minimum = quantize_groups(values, bits, size)
        error = float((dequantize_groups(codes, scale, minimum) - values).square().mean().sqrt())
        levels = float(minimum[0, 0]) + float(scale[0, 0]) * np.arange(2**bits)
        return draw.levels_over_weights(
            values[0, :size].numpy(), levels, error,
            subtitle=f"the first {size} weights of row {row}: one group; rms error of the whole row {error:.4f}, {bits + 32 / size:.2f} "
                     f"bits per weight")

    still = picture(sizes[1], 4, 0)
    if not interactive_allowed():
        return still
    figure = live(still)
    size = widgets.SelectionSlider(options=sizes, value=sizes[1], description="group size:", tooltip="How many neighbours share a scale",
                                   style={"description_width": "initial"}, layout=widgets.Layout(width="min(420px, 100%)"))
    bits = slider("bits:", 4, 1, 6, tooltip="Bits per code")
    row = slider("row:", 0, 0, min(len(weight), 64) - 1, tooltip="Which row of the weight")
    explorer = Explorer([size, bits, row], [figure], "Weights of a group and their levels")

    def update() -> None:
        fresh = picture(size.value, bits.value, row.value)
        redraw(figure, fresh)
        explorer.say(alt_text(fresh))

    handler = guarded(explorer, update)
    for control in (size, bits, row):
        control.observe(handler, "value")
    return explorer


@drawn
def mask_painter(sparse_mask: Any, *, tokens: int = 32, layers: int = 4) -> Explorer | CourseFigure:
    """Choose window, dilation, global tokens and direction: the mask, and how far several layers of it reach.

    Parameters
    ----------
    sparse_mask : the learner's
    tokens, layers : size of the picture, and how many layers it looks ahead
    """

    def picture(window: int, dilation: int, count: int, causal: bool, query: int) -> CourseFigure:
        mask = sparse_mask(tokens, window, dilation, list(range(count)), causal)
        reached = [reach(mask, n).numpy() for n in range(1, layers + 1)]
        seen = [int(r[query].sum()) for r in reached]
        return draw.mask_grid(reached, query, subtitle=f"query {query} hears of {', '.join(map(str, seen))} tokens in 1 … {layers} layers; "
                                                       f"one layer computes {int(mask.sum())} of {tokens**2} scores")

    still = picture(2, 1, 0, True, tokens - 6)
    if not interactive_allowed():
        return still
    figure = live(still)
    window = slider("window:", 2, 0, 8, tooltip="Neighbours on each side")
    dilation = slider("dilation:", 1, 1, 4, tooltip="Distance between neighbours")
    count = slider("global tokens:", 0, 0, 4, tooltip="How many tokens at the beginning see and are seen by all")
    causal = widgets.Checkbox(value=True, description="causal", tooltip="Hide the future", indent=False)
    query = slider("query:", tokens - 6, 0, tokens - 1, tooltip="Which row to frame")
    explorer = Explorer([window, dilation, count, query, causal], [figure], "Mask painter")

    def update() -> None:
        fresh = picture(window.value, dilation.value, count.value, causal.value, query.value)
        redraw(figure, fresh)
        explorer.say(alt_text(fresh))

    handler = guarded(explorer, update)
    for control in (window, dilation, count, causal, query):
        control.observe(handler, "value")
    return explorer


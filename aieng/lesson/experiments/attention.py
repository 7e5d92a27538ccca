"""3.3 measured: what the factor 1/√d does, and what SmolLM2 does with attention that has one mistake."""

from __future__ import annotations

import math
from typing import Any

import torch
from plotly.subplots import make_subplots
from torch import Tensor

from aieng.figures.theme import COLORS, DASHES, LEGEND_BELOW, SYMBOLS, TEMPLATE, CourseFigure, describe, headline
from aieng.lesson.environment import quick
from aieng.lesson.experiments.beside import beside, table
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.smollm2 import SmolLM2
from aieng.transformer.attention import softmax as course_softmax


@experiment
def why_the_root(
    softmax: Any, *, widths: tuple[int, ...] = (4, 16, 64, 256, 1024), keys: int = 64, queries: int = 200, seed: int = 0,
) -> Finding:
    """Spread of the scores and number of keys that share the weight, for random queries and keys of growing width.

    The numbers: `spread` and `shared` {"without" | "with": one per width}, and at the widest `wide`, `spread_plain`, `spread_scaled`,
    `keys_plain`, `keys_scaled`, `gradient_ratio` (mean size of the softmax's derivative, with over without).
    """
    generator = torch.Generator().manual_seed(seed)
    spread: dict[str, list[float]] = {"without": [], "with": []}
    shared: dict[str, list[float]] = {"without": [], "with": []}
    slope: dict[str, float] = {}
    for d in widths:
        q, k = torch.randn(queries, d, generator=generator), torch.randn(keys, d, generator=generator)
        for name, scale in (("without", 1.0), ("with", d**-0.5)):
            scores = q @ k.T * scale
            weights = torch.as_tensor(softmax(scores)).double()
            spread[name].append(float(scores.std()))
            shared[name].append(float((-(weights * weights.clamp(min=1e-300).log()).sum(-1)).mean().exp()))
            slope[name] = float((weights * (1 - weights)).sum(-1).mean())  # sum of d weight / d score, each score's own
    data = {"spread": spread, "shared": shared, "wide": widths[-1], "spread_plain": spread["without"][-1],
            "spread_scaled": spread["with"][-1], "keys_plain": shared["without"][-1], "keys_scaled": shared["with"][-1],
            "gradient_ratio": slope["with"] / slope["without"]}
    return Finding(
        f"At d = {widths[-1]}, the scores' standard deviation is {spread['without'][-1]:.1f} without the factor (√{widths[-1]} is "
        f"{widths[-1] ** 0.5:.0f}) and {spread['with'][-1]:.2f} with it. Without it, {shared['without'][-1]:.1f} of {keys} keys share the "
        f"weight on average, with it {shared['with'][-1]:.0f}. The derivative of softmax, which training needs, is "
        f"{data['gradient_ratio']:.0f} times as large with the factor.", _spread_and_share(widths, spread, shared, keys), data)


def _spread_and_share(widths: tuple[int, ...], spread: dict[str, list[float]], shared: dict[str, list[float]], keys: int) -> CourseFigure:
    titles = ("spread of the scores", f"keys of {keys} that share the weight")
    fig = CourseFigure(make_subplots(rows=1, cols=2, horizontal_spacing=0.14, subplot_titles=titles))
    for column, values in ((1, spread), (2, shared)):
        for i, kind in ((1, "without"), (0, "with")):
            name = f"{kind} 1/√d"
            fig.add_scatter(x=list(widths), y=values[kind], name=name, legendgroup=name, showlegend=column == 1, row=1, col=column,
                            mode="lines+markers", line={"color": COLORS[i], "dash": DASHES[i]}, marker={"symbol": SYMBOLS[i], "size": 9},
                            hovertemplate="d = %{x}: %{y:.2f}<extra>%{fullData.name}</extra>")
    fig.update_xaxes(type="log", title_text="d, width of a head", tickvals=list(widths))
    fig.update_yaxes(title_text="standard deviation", rangemode="tozero", row=1, col=1)
    fig.update_yaxes(title_text="keys", range=[0, keys], row=1, col=2)
    fig.update_layout(template=TEMPLATE, height=430, margin={"t": 100, "b": 110}, legend=LEGEND_BELOW,
                      title_text=headline("Why scores are divided by √d", "random queries and keys"))
    return describe(fig, f"Two line charts over the width d from {widths[0]} to {widths[-1]}. Spread of the scores: without the factor "
                         f"from {spread['without'][0]:.1f} to {spread['without'][-1]:.1f}, with it about {spread['with'][-1]:.2f}. Keys "
                         f"that share the weight: without from {shared['without'][0]:.0f} to {shared['without'][-1]:.1f}, with about "
                         f"{shared['with'][-1]:.0f}.")


def unscaled(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention without 1/√d."""
    scores = q @ k.mT
    return course_softmax(scores if mask is None else scores + mask) @ v


def by_width(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Divides by d, not by its root."""
    scores = q @ k.mT / q.shape[-1]
    return course_softmax(scores if mask is None else scores + mask) @ v


def unmasked(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Forgets the mask."""
    return course_softmax(q @ k.mT / math.sqrt(q.shape[-1])) @ v


def over_queries(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax along the wrong axis."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    return course_softmax(scores if mask is None else scores + mask, dim=-2) @ v


@experiment
def right_and_wrong(attention: Any, lm: SmolLM2, prompt: str = "The three primary colours are red, blue "
                                                               "and", *, new_tokens: int = 10) -> Finding:
    """SmolLM2 on the learner's attention, and on four with one mistake each.

    The numbers: `yours` (largest difference of logits), `wrong` {mistake: difference}, `texts`.
    """
    if quick():
        new_tokens = 3
    mistakes = {"without 1/√d": unscaled, "1/d in place of 1/√d": by_width,
                "the mask forgotten": unmasked, "softmax over the queries": over_queries}
    mine = f"{whose(attention)} attention"
    variants = {name: {"attention": kernel} for name, kernel in {mine: attention, **mistakes}.items()}
    found = beside(lm, variants, prompt, new_tokens)
    by_name = {v.name: v for v in found}
    wrong = {name: by_name[name].difference for name in mistakes}
    mildest = min(wrong, key=lambda name: wrong[name])
    return Finding(
        f"{table(prompt, found)}\n\nThe mildest mistake here is “{mildest}” (logits off by {wrong[mildest]:.1f}). None of them raises an "
        "error or gives a wrong shape: only numbers and text tell.",
        None, {"yours": by_name[mine].difference, "wrong": wrong, "texts": {v.name: v.text for v in found}})

"""The pictures of 4.3: where parameters sit, how tokens are spread over experts, and which experts a batch needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from aieng.figures.theme import (
    BLUE,
    COLORS,
    DASHES,
    GREY,
    LEGEND_BELOW,
    PATTERNS,
    SYMBOLS,
    TEMPLATE,
    CourseFigure,
    describe,
    headline,
    new_figure,
)


def parameter_bars(parts: Mapping[str, tuple[float, float]]) -> CourseFigure:
    """{part: (all parameters, those used by one token)} as two stacked bars."""
    if not parts:
        raise ValueError("no part; give at least one {name: (all, active)}")
    totals = [sum(p[i] for p in parts.values()) / 1e9 for i in (0, 1)]
    fig = new_figure("Parameters of Mixtral 8x7B", "billions of parameters", height=330, barmode="stack", bargap=0.4, legend=LEGEND_BELOW,
                     margin_b=120, subtitle=f"{totals[0]:.1f} in memory, {totals[1]:.1f} at work for one token")
    for i, (name, pair) in enumerate(parts.items()):
        fig.add_bar(y=["in memory", "used by one token"], x=[v / 1e9 for v in pair], orientation="h", name=name,
                    marker={"color": COLORS[i], "pattern": {"shape": PATTERNS[i]}},
                    hovertemplate="%{x:.2f} billion<extra>" + name + "</extra>")
    fig.update_yaxes(autorange="reversed")
    fig.update_layout(legend_traceorder="normal")  # as the parts stand in the bars
    told = "; ".join(f"{name}: {a / 1e9:.2f} in memory, {b / 1e9:.2f} used" for name, (a, b) in parts.items())
    return describe(fig, f"Two stacked bars, in billions of parameters: {totals[0]:.1f} in memory, {totals[1]:.1f} used by one token. "
                         f"{told}.")


def expert_loads(loads: Mapping[str, Sequence[float]]) -> CourseFigure:
    """Share of the assignments that each expert gets, one group of bars per expert; {name: one share per expert}."""
    if not loads:
        raise ValueError("no loads; give at least one {name: shares}")
    count = len(next(iter(loads.values())))
    fig = new_figure("How the router spreads the tokens", "expert", "share of the assignments", height=430, barmode="group",
                     legend=LEGEND_BELOW, margin_b=110)
    for i, (name, shares) in enumerate(loads.items()):
        if len(shares) != count:
            raise ValueError(f"{name!r} has {len(shares)} experts, the first has {count}")
        fig.add_bar(x=list(range(count)), y=list(shares), name=name, marker={"color": COLORS[i], "pattern": {"shape": PATTERNS[i]}},
                    text=[f"{100 * s:.0f}" for s in shares], textposition="outside", cliponaxis=False,
                    hovertemplate="expert %{x}: %{y:.1%}<extra>" + name + "</extra>")
    fig.add_hline(y=1 / count, line={"color": GREY, "dash": "dash", "width": 1.5}, annotation_text=f"even: {1 / count:.1%}",
                  annotation_position="top right")
    fig.update_yaxes(tickformat=".0%", range=[0, 1.15 * max(max(s) for s in loads.values())])
    fig.update_xaxes(dtick=1)
    told = "; ".join(f"{name}: " + ", ".join(f"{100 * s:.0f} %" for s in shares) for name, shares in loads.items())
    return describe(fig, f"Bar chart of the share of assignments of {count} experts, numbered from 0. {told}.")


def experts_touched_plot(touched: Mapping[int, float], formula: Mapping[int, float], per_token: Mapping[int, float]) -> CourseFigure:
    """Experts needed by a batch, and gigabytes of weights read per token; {batch size: number}."""
    if not touched or not touched.keys() == formula.keys() == per_token.keys():
        raise ValueError(f"batch sizes differ: {list(touched)}, {list(formula)}, {list(per_token)}")
    sizes = list(touched)
    fig = CourseFigure(make_subplots(1, 2, horizontal_spacing=0.13, subplot_titles=["experts needed by a step", "weights read per token"]))
    for i, (name, values) in enumerate({"counted": touched, "formula for independent choices": formula}.items()):
        fig.add_scatter(x=sizes, y=list(values.values()), name=name, mode="lines+markers", row=1, col=1,
                        line={"color": COLORS[i], "dash": DASHES[i]}, marker={"color": COLORS[i], "symbol": SYMBOLS[i], "size": 9},
                        hovertemplate="batch of %{x}: %{y:.2f} experts<extra>" + name + "</extra>")
    fig.add_scatter(x=sizes, y=list(per_token.values()), name="gigabytes per token", mode="lines+markers", row=1, col=2,
                    line={"color": COLORS[2], "dash": DASHES[3]}, marker={"color": COLORS[2], "symbol": SYMBOLS[2], "size": 9},
                    hovertemplate="batch of %{x}: %{y:.3g} GB per token<extra></extra>")
    fig.update_layout(template=TEMPLATE, height=430, legend=LEGEND_BELOW, margin={"t": 100, "b": 110}, title_text=headline(
        "Which experts a batch touches", "8 experts, top 2; weights of Mixtral's sizes at two bytes each"))
    fig.update_annotations(font={"size": 14})
    fig.update_xaxes(type="log", title_text="tokens in the batch", tickvals=sizes, ticktext=[str(s) for s in sizes])
    fig.update_yaxes(title_text="experts", range=[0, 8.5], col=1)
    ticks = [0.5, 1, 2, 5, 10, 20, 50]
    fig.update_yaxes(title_text="GB per token (log scale)", type="log", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks], col=2)
    told = ", ".join(f"{touched[s]:.1f} experts and {per_token[s]:.3g} GB per token for {s}" for s in sizes)
    return describe(fig, f"Two line charts against the batch size. {told}.")


def token_flow(
    labels: Sequence[str], chosen: ArrayLike, weights: ArrayLike, num_experts: int, *, loss: float | None = None, max_k: int | None = None,
) -> CourseFigure:
    """Tokens on the left, experts on the right, a line for each assignment, as wide as its weight.

    Parameters
    ----------
    labels : one for each token
    chosen, weights : (tokens, top_k)
    num_experts : int
    loss : the balance loss, for the title
    max_k : top_k that the picture has room for, so that it keeps its traces
    """
    experts, shares = np.asarray(chosen, dtype=int), np.asarray(weights, dtype=float)
    if experts.shape != shares.shape or experts.ndim != 2 or len(labels) != len(experts):
        raise ValueError(f"{len(labels)} labels, chosen {experts.shape}, weights {shares.shape}; give (tokens, top_k) for each label")
    if experts.size and not 0 <= experts.min() <= experts.max() < num_experts:
        raise ValueError(f"experts {experts.min()} to {experts.max()} are chosen; there are {num_experts}")
    tokens, top_k = experts.shape
    room = top_k if max_k is None else max_k
    left, right = np.linspace(0, 1, tokens), np.linspace(0, 1, num_experts)
    load = np.bincount(experts.ravel(), minlength=num_experts)
    fig = new_figure("Which token goes to which expert", height=160 + max(300, 20 * tokens), showlegend=False, subtitle=(
        f"top {top_k}; the thicker the line, the larger the weight"
        + ("" if loss is None else f"; balance loss {loss:.2f} (even: {top_k})")))
    for i in range(tokens):
        for j in range(room):
            e, w = (experts[i, j], shares[i, j]) if j < top_k else (0, 0.0)
            fig.add_scatter(x=[0, 1], y=[left[i], right[e]], mode="lines", hoverinfo="skip", opacity=0.75 if w else 0.0,
                            line={"color": COLORS[e % 6], "width": 0.5 + 6 * w, "dash": DASHES[e // 6 % 6]})
    fig.add_scatter(x=[0] * tokens, y=left, mode="markers+text", text=list(labels), textposition="middle left",
                    marker={"size": 8, "color": GREY}, hovertemplate="%{text}<extra></extra>")
    fig.add_scatter(x=[1] * num_experts, y=right, mode="markers+text", textposition="middle right",
                    text=[f"expert {e}: {n} assignments" for e, n in enumerate(load)],
                    marker={"size": 10 + 22 * load / max(1, load.max()), "color": [COLORS[e % 6] for e in range(num_experts)],
                            "line": {"width": 1, "color": BLUE}}, hovertemplate="%{text}<extra></extra>")
    fig.update_xaxes(visible=False, range=[-0.45, 1.5])
    fig.update_yaxes(visible=False, range=[1.05, -0.05])
    told = ", ".join(f"expert {e} {n}" for e, n in enumerate(load))
    mean = "" if loss is None else f" Balance loss {loss:.2f}; even spreading would give {top_k}."
    return describe(fig, f"{tokens} tokens flow to their {top_k} of {num_experts} experts. Assignments: {told}.{mean}")

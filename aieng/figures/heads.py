"""The pictures of section 07: maps of attention, the mask over the scores, the grid of all heads, what moves when a token changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from aieng.figures.theme import (
    COLORS,
    GREY,
    LEGEND_BELOW,
    PATTERNS,
    TEMPLATE,
    VERMILLION,
    CourseFigure,
    describe,
    headline,
    new_figure,
)

# From nearly white to dark blue, readable on both of JupyterLab's grounds and in greyscale.
WEIGHTS = [[0.0, "#f2f2f2"], [0.15, "#c6dbef"], [0.5, "#4a98c9"], [1.0, "#08306b"]]
SIGNED = [[0.0, "#b35806"], [0.5, "#f7f7f7"], [1.0, "#2d004b"]]
HIDDEN = "rgba(128,128,128,0.45)"


def visible(token: str) -> str:
    """A token for a label: a dot for its leading space."""
    return escape(token).replace("\n", "⏎").replace(" ", "·") or "(part of a letter)"


def _labels(tokens: Sequence[str]) -> list[str]:
    """Distinct labels of an axis: plotly would merge equal ones."""
    return [f"{visible(token)}<sup>{i}</sup>" for i, token in enumerate(tokens)]


def mask_panels(tokens: Sequence[str], scores: ArrayLike, masked: ArrayLike, weights: ArrayLike, *, title: str) -> CourseFigure:
    """Three maps side by side: scores, scores with the mask added (hidden ones grey), weights after the softmax."""
    parts = [np.array(p, dtype=float) for p in (scores, masked, weights)]
    n = len(tokens)
    if any(p.shape != (n, n) for p in parts):
        raise ValueError(f"{n} tokens need maps of shape ({n}, {n}); got {[p.shape for p in parts]}")
    hidden = ~np.isfinite(parts[1])
    parts[1][hidden] = np.nan
    labels = _labels(tokens)
    fig = CourseFigure(make_subplots(1, 3, subplot_titles=("scores", "scores + mask", "weights after the softmax"), shared_yaxes=True,
                                     horizontal_spacing=0.03))
    limit = float(np.abs(parts[0]).max()) or 1.0
    for column, (part, name) in enumerate(zip(parts, ("score", "score + mask", "weight")), 1):
        last = column == 3
        text = [[_number(v, hide, last) for v, hide in zip(row, rows)] for row,
                rows in zip(part, hidden if column == 2 else np.zeros_like(hidden))]
        fig.add_heatmap(
            z=part, x=labels, y=labels, text=text, texttemplate="%{text}" if n <= 9 else "", hoverongaps=False, row=1, col=column,
            zmin=0.0 if last else -limit, zmax=1.0 if last else limit, colorscale=WEIGHTS if last else SIGNED, showscale=False,
            textfont={"size": 11}, hovertemplate=f"%{{y}} looks at %{{x}}: {name} %{{text}}<extra></extra>", xgap=1, ygap=1)
    fig.update_layout(template=TEMPLATE, title_text=headline(title), height=480, margin_t=96, plot_bgcolor=HIDDEN)
    fig.update_yaxes(autorange="reversed", showgrid=False)
    fig.update_xaxes(tickangle=-60, showgrid=False, title_text="key: looked at")
    fig.update_yaxes(title_text="query: looks", row=1, col=1)
    shown = int(hidden.sum())
    future = float(np.triu(parts[2], 1).sum() / n)
    return describe(fig, f"{title}. Three maps of {n} by {n} tokens. {shown} of {n * n} scores are hidden (grey). After the softmax, a "
                         f"query gives "
                         f"{future:.2f} of its weight to later tokens on average. Largest weights: {_strongest(parts[2], tokens)}.")


def _number(value: float, hide: bool, weight: bool) -> str:
    if hide or not np.isfinite(value):
        return "−∞"
    return f"{value:.2f}" if weight else f"{value:.1f}"


def _strongest(weights: np.ndarray, tokens: Sequence[str], count: int = 4) -> str:
    flat = np.argsort(-weights, axis=None, kind="stable")[:count]
    pairs = (np.unravel_index(i, weights.shape) for i in flat)
    return ", ".join(f"“{tokens[q].strip()}” to “{tokens[k].strip()}” {weights[q, k]:.2f}" for q, k in pairs)


def noticed_bars(tokens: Sequence[str], moved: Mapping[str, Sequence[float]], replaced: int) -> CourseFigure:
    """How far the scores at each position moved when one token was replaced; nothing at all has no bar."""
    labels = _labels(tokens)
    fig = new_figure("Which predictions notice that a token was "
                     "replaced?", "token", "largest change of a score", barmode="group", bargap=0.25,
                     subtitle=f"“{tokens[replaced].strip()}”, at the dotted line, was "
                              f"replaced", legend=LEGEND_BELOW, margin_b=120, height=460)
    told = []
    for i, (name, values) in enumerate(moved.items()):
        v = np.asarray(values, dtype=float)
        fig.add_bar(x=labels, y=v, name=name, marker={"color": COLORS[i], "pattern": {"shape": PATTERNS[i]}},
                    hovertemplate="%{x}: %{y:.3g}<extra>%{fullData.name}</extra>")
        told.append(f"{name}: up to {v[:replaced].max():.3g} before the replaced token, up to {v[replaced:].max():.3g} from it on")
    fig.add_vline(x=replaced, line={"color": GREY, "dash": "dot", "width": 2})
    fig.update_xaxes(tickangle=-45)
    return describe(fig, f"Bar chart of the largest change of a score at each of {len(tokens)} positions. {'; '.join(told)}.")


def three_grids(grids: Mapping[str, ArrayLike]) -> CourseFigure:
    """Several scores of all heads side by side."""
    names = list(grids)
    fig = CourseFigure(make_subplots(1, len(names), subplot_titles=names, shared_yaxes=True, horizontal_spacing=0.04))
    told = []
    for column, name in enumerate(names, 1):
        z = np.asarray(grids[name], dtype=float)
        fig.add_heatmap(z=z, colorscale=WEIGHTS, zmin=0, zmax=1, xgap=1, ygap=1, showscale=column == len(names), row=1, col=column,
                        colorbar={"title": {"text": "score"}, "thickness": 14, "tickfont": {"color": GREY}},
                        hovertemplate=f"{name}: layer %{{y}}, head %{{x}}: %{{z:.2f}}<extra></extra>")
        layer, head = np.unravel_index(int(z.argmax()), z.shape)
        told.append(f"{name}: highest {z.max():.2f} in layer {layer}, head {head}; {int((z > 0.5).sum())} heads above one half")
    fig.update_layout(template=TEMPLATE, title_text=headline("Three habits, all heads of SmolLM2"), height=620, margin_t=96)
    fig.update_yaxes(autorange="reversed", dtick=3, showgrid=False, zeroline=False)
    fig.update_xaxes(dtick=1, showgrid=False, zeroline=False, title_text="head")
    fig.update_yaxes(title_text="layer", row=1, col=1)
    return describe(fig, f"Grids of all heads. {'. '.join(told)}.")


def grid_and_map(
    scores: ArrayLike, tokens: Sequence[str], weights: ArrayLike, *, name: str, chosen: tuple[int, int], told: str = "",
) -> CourseFigure:
    """Left, one score for each head, layers down and heads across, the chosen head framed; right, where that head's tokens look.

    scores (layers, heads); weights (tokens, tokens) of the chosen head; told : what the title says about it.
    """
    z, w, n = np.asarray(scores, dtype=float), np.asarray(weights, dtype=float), len(tokens)
    if z.ndim != 2:
        raise ValueError(f"scores has shape {z.shape}; expected (layers, heads)")
    if w.shape != (n, n):
        raise ValueError(f"{n} tokens and weights of shape {w.shape}; give (tokens, tokens)")
    layer, head = chosen
    labels = _labels(tokens)
    fig = CourseFigure(make_subplots(1, 2, column_widths=[0.34, 0.66], horizontal_spacing=0.16,
                                     subplot_titles=(f"all heads, by {name}", "where each token looks")))
    fig.add_heatmap(z=z, colorscale=WEIGHTS, zmin=0, zmax=1, xgap=1, ygap=1, showscale=False, row=1, col=1,
                    hovertemplate="layer %{y}, head %{x}: %{z:.2f}<extra>click to see its map</extra>")
    fig.add_heatmap(z=w, x=labels, y=labels, colorscale=WEIGHTS, zmin=0, zmax=1, xgap=1, ygap=1, row=1, col=2,
                    colorbar={"title": {"text": "score,<br>weight"}, "thickness": 14, "tickfont": {"color": GREY}},
                    text=[[f"{v:.2f}" if v >= 0.005 else "" for v in row] for row in w], texttemplate="%{text}" if n <= 12 else "",
                    hovertemplate="%{y} looks at %{x}: %{z:.2f}<extra></extra>")
    fig.add_scatter(x=[head], y=[layer], mode="markers", hoverinfo="skip", showlegend=False, row=1, col=1,
                    marker={"symbol": "square-open", "size": 17, "line": {"width": 4}, "color": VERMILLION})
    title = f"Layer {layer}, head {head}"
    fig.update_layout(template=TEMPLATE, title_text=headline(title, told), height=660, margin_t=110)
    fig.update_yaxes(autorange="reversed", showgrid=False, zeroline=False)
    fig.update_xaxes(showgrid=False, zeroline=False)
    fig.update_xaxes(title_text="head", dtick=1, range=[-0.6, z.shape[1] - 0.4], row=1, col=1)
    fig.update_yaxes(title_text="layer", dtick=3, row=1, col=1)
    fig.update_xaxes(title_text="key: looked at", tickangle=-60, row=1, col=2)
    fig.update_yaxes(title_text="query: looks", row=1, col=2)
    best = [np.unravel_index(i, z.shape) for i in np.argsort(-z, axis=None, kind="stable")[:5]]
    listed = ", ".join(f"layer {a} head {b} {z[a, b]:.2f}" for a, b in best)
    return describe(fig, f"{title}{': ' + told if told else ''}. {_rows(w, tokens)} The grid shows {name} for {z.shape[0]} layers of "
                         f"{z.shape[1]} heads; highest: {listed}.")


def _rows(weights: np.ndarray, tokens: Sequence[str], most: int = 12) -> str:
    parts = [f"“{tokens[q].strip()}” looks most at “{tokens[k].strip()}” ({weights[q, k]:.2f})"
             for q, k in enumerate(weights.argmax(axis=1)) if q][:most]
    return "; ".join(parts) + "."


def accuracy_lines(heads: Sequence[int], accuracy: Mapping[int, Sequence[float]], *, chance: float, places: Sequence[int]) -> CourseFigure:
    """Share of right answers against the number of heads: every run a point, their mean a line."""
    fig = new_figure("Heads against ability, at the same number of weights", "heads", "share of right answers",
                     subtitle=f"name the symbols {', '.join(map(str, places[:-1]))} and {places[-1]} places before")
    means = [float(np.mean(accuracy[h])) for h in heads]
    x = [str(h) for h in heads]
    fig.add_scatter(x=x, y=means, mode="lines+markers", name="mean", line={"color": COLORS[0]},
                    hovertemplate="%{x} heads: %{y:.1%}<extra></extra>")
    fig.add_scatter(x=[str(h) for h in heads for _ in accuracy[h]], y=[a for h in heads for a in accuracy[h]], mode="markers",
                    name="one run",
                    marker={"color": COLORS[1], "symbol": "line-ew-open", "size": 12, "line": {"width": 2}},
                    hovertemplate="%{y:.1%}<extra></extra>")
    fig.add_hline(y=chance, line={"color": GREY, "dash": "dot"}, annotation_text=f"guessing: {chance:.0%}",
                  annotation_position="bottom right")
    fig.update_yaxes(range=[0, 1.05], tickformat=".0%")
    fig.update_xaxes(type="category")
    return describe(fig, "Share of right answers: " + ", ".join(f"{h} heads {m:.0%}" for h,
                                                                m in zip(heads, means)) + f"; guessing {chance:.0%}.")


def ablation_bars(names: Sequence[str], effects: Mapping[str, Sequence[float]], *, kinds: Sequence[str]) -> CourseFigure:
    """Rise of two losses when heads are switched off: one panel a loss, one bar a head or group, coloured by kind."""
    fig = CourseFigure(make_subplots(1, len(effects), subplot_titles=list(effects), shared_yaxes=True, horizontal_spacing=0.08))
    order = list(dict.fromkeys(kinds))
    told = []
    for column, (loss, values) in enumerate(effects.items(), 1):
        v = np.asarray(values, dtype=float)
        for i, kind in enumerate(order):
            rows = [j for j, k in enumerate(kinds) if k == kind]
            fig.add_bar(y=[names[j] for j in rows], x=v[rows], orientation="h", name=kind, legendgroup=kind, showlegend=column == 1, row=1,
                        col=column,
                        marker={"color": COLORS[i], "pattern": {"shape": PATTERNS[i]}}, text=[f"{round(x, 2) + 0.0:+.2f}" for x in v[rows]],
                        textposition="outside",
                        cliponaxis=False, hovertemplate="%{y}: %{x:+.3f} nats<extra>%{fullData.name}</extra>")
        told.append(f"{loss}: " + ", ".join(f"{n} {x:+.2f}" for n, x in zip(names, v)))
        low, high = min(float(v.min()), 0.0), max(float(v.max()), 0.0)
        room = 0.2 * max(high - low, 0.02)  # for the numbers at the bars' ends
        fig.update_xaxes(range=[low - room, high + room], title_text="rise of the loss (nats a token)", row=1, col=column)
    fig.update_layout(template=TEMPLATE, title_text=headline("What the loss does when heads are switched off"),
                      height=210 + 26 * len(names),
                      margin_t=96, margin_b=120, legend=LEGEND_BELOW, bargap=0.2)
    fig.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=list(names)[::-1])
    fig.update_yaxes(autorange="reversed", categoryarray=list(names))
    return describe(fig, "Bar charts. " + "; ".join(told) + ".")


def relation_bars(relations: Sequence[str], given: Mapping[str, ArrayLike]) -> CourseFigure:
    """Weight that the best head of each relation gives to the right word and to others as far away."""
    fig = new_figure("Heads for three relations", "weight (share of 1)", None, barmode="group",
                     subtitle="chosen on one half of the sentences, judged on the other",
                     height=220 + 60 * len(relations), legend=LEGEND_BELOW, margin_b=120)
    told: list[str] = []
    for i, (name, values) in enumerate(given.items()):
        v: Any = np.asarray(values, dtype=float)
        fig.add_bar(y=list(relations), x=v, orientation="h", name=name, marker={"color": COLORS[i], "pattern": {"shape": PATTERNS[i]}},
                    text=[f"{x:.2f}" for x in v], textposition="outside", cliponaxis=False,
                    hovertemplate="%{y}: %{x:.2f}<extra>%{fullData.name}</extra>")
        told.append(f"{name}: " + ", ".join(f"{r} {x:.2f}" for r, x in zip(relations, v)))
    fig.update_xaxes(range=[0, 1.05])
    fig.update_yaxes(autorange="reversed")
    return describe(fig, "Bar chart of attention weights. " + "; ".join(told) + ".")

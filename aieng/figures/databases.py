"""The pictures of 1.9: engines side by side, and how a recommendation changes with the number of vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from aieng.figures.theme import COLORS, DASHES, GREY, LEGEND_BELOW, PATTERNS, SYMBOLS, CourseFigure, describe, new_figure


def engine_bars(
    names: Sequence[str], latencies: Mapping[str, Sequence[float]], recalls: Sequence[float], *, k: int = 5,
) -> CourseFigure:
    """Time per query and recall of each engine, two panels with the same rows.

    Parameters
    ----------
    names : one per engine, top to bottom
    latencies : kind of query -> seconds per query, one per engine
    recalls : share of the true k nearest found, one per engine
    """
    panels = make_subplots(1, 2, shared_yaxes=True, column_widths=[0.64, 0.36], horizontal_spacing=0.05)
    fig = new_figure("The same search in each engine", subtitle="time per query on a log scale: one step to the right is ten times as long",
                     height=170 + 62 * len(names), barmode="group", bargap=0.28, legend=LEGEND_BELOW, margin_b=110)
    fig.update_layout({key: value for key, value in panels.layout.to_plotly_json().items() if key.startswith(("xaxis", "yaxis"))})
    for i, (kind, seconds) in enumerate(latencies.items()):
        ms = 1e3 * np.asarray(seconds, dtype=float)
        fig.add_bar(y=list(names), x=ms, orientation="h", name=kind, marker={"color": COLORS[i], "pattern": {"shape": PATTERNS[i]}},
                    text=[f"{v:.3g} ms" for v in ms], textposition="outside", cliponaxis=False, xaxis="x", yaxis="y",
                    hovertemplate="%{y}: %{x:.3g} ms<extra>%{fullData.name}</extra>")
    fig.add_bar(y=list(names), x=list(recalls), orientation="h", name=f"recall@{k}", xaxis="x2", yaxis="y2",
                marker={"color": COLORS[2], "pattern": {"shape": PATTERNS[2]}}, text=[f"{r:.3f}" for r in recalls],
                textposition="outside", cliponaxis=False,
                hovertemplate="%{y}: recall %{x:.4f}<extra></extra>")
    every = np.concatenate([1e3 * np.asarray(s, dtype=float) for s in latencies.values()])
    low, high = np.floor(np.log10(every.min())), np.log10(every.max())
    fig.update_layout(
        xaxis={"type": "log", "range": [low, high + 0.25 * (high - low)], "dtick": 1, "tickformat": "~g",
               "title": {"text": "milliseconds per query"}},
        xaxis2={"range": [0, 1.3], "tickvals": [0, 0.5, 1], "title": {"text": f"recall@{k}"}},
        yaxis={"autorange": "reversed"}, yaxis2={"autorange": "reversed"})
    told = "; ".join(f"{name}: " + ", ".join(f"{kind} {1e3 * seconds[i]:.3g} ms" for kind, seconds in latencies.items())
                     + f", recall {recalls[i]:.3f}" for i, name in enumerate(names))
    return describe(fig, f"Bar charts of milliseconds per query and recall at {k}. {told}.")


def score_curves(n_values: ArrayLike, scores: Mapping[str, ArrayLike], here: float) -> CourseFigure:
    """Score of each engine against the number of vectors; 0 means ruled out. `here`: the learner's own number."""
    n = np.asarray(n_values, dtype=float)
    fig = new_figure("Which engine fits, as your data grow", "number of vectors (log scale)", "score out of 100 (0: ruled out)",
                     height=470, subtitle="everything else in the workload stays as you described it", legend=LEGEND_BELOW, margin_b=120)
    told = []
    for i, (name, values) in enumerate(scores.items()):
        y = np.asarray(values, dtype=float)
        fig.add_scatter(x=n, y=y, name=name, mode="lines+markers", marker={"color": COLORS[i % 7], "symbol": SYMBOLS[i % 7], "size": 8},
                        line={"color": COLORS[i % 7], "dash": DASHES[i % 7]},
                        hovertemplate="%{x:,.0f} vectors: %{y:.0f}<extra>%{fullData.name}</extra>")
        alive = n[y > 0]
        told.append(f"{name}: " + (f"{y[y > 0][0]:.0f} at {alive[0]:,.0f} vectors, {y[y > 0][-1]:.0f} at {alive[-1]:,.0f}, the last where "
                                   f"it is possible" if len(alive) else "ruled out everywhere"))
    fig.add_scatter(x=[here, here], y=[0, 104], mode="lines", name=f"yours: {here:,.0f}", hoverinfo="skip",
                    line={"color": GREY, "dash": "dash", "width": 1.5})
    ticks = {1e3: "1 k", 1e4: "10 k", 1e5: "100 k", 1e6: "1 M", 1e7: "10 M", 1e8: "100 M", 1e9: "1 bn", 1e10: "10 bn"}
    fig.update_xaxes(type="log", tickvals=list(ticks), ticktext=list(ticks.values()))
    fig.update_yaxes(range=[-3, 104])
    return describe(fig, f"Score of each engine against the number of vectors. {'; '.join(told)}. Your workload has {here:,.0f}.")

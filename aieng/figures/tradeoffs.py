"""The pictures of section 05: levels over weights, size against perplexity, masks, seeds, drafts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aieng.figures.theme import (
    BLUE,
    COLORS,
    DASHES,
    FAINT,
    GREEN,
    GREY,
    ORANGE,
    SYMBOLS,
    VERMILLION,
    CourseFigure,
    describe,
    in_words,
    new_figure,
)


def levels_over_weights(weights: ArrayLike, levels: ArrayLike, error: float, *, subtitle: str = "") -> CourseFigure:
    """Histogram of a group of weights with the levels that they may be rounded to.

    Parameters
    ----------
    weights : (n,) the weights that share these levels
    levels : (k,) ascending
    error : root mean square rounding error, in the weights' unit
    """
    values, marks = np.asarray(weights, dtype=float), np.asarray(levels, dtype=float)
    counts, edges = np.histogram(values, bins=min(60, max(8, len(values) // 4)))
    fig = new_figure("Weights and the levels they are rounded to", "weight (no unit)", "number of weights", subtitle=subtitle, height=420)
    fig.add_bar(x=(edges[1:] + edges[:-1]) / 2, y=counts, width=np.diff(edges), name=f"{len(values):,} weights",
                marker={"color": BLUE, "opacity": 0.55}, hovertemplate="about %{x:.3f}: %{y} weights<extra></extra>")
    top = max(int(counts.max()), 1)
    x = np.repeat(marks, 3)
    y = np.tile([0.0, 1.05 * top, np.nan], len(marks))
    fig.add_scatter(x=x, y=y, mode="lines", name=f"{len(marks)} levels", line={"color": VERMILLION, "width": 1.5, "dash": "solid"},
                    hovertemplate="level %{x:.4f}<extra></extra>")
    fig.update_layout(bargap=0)
    return describe(fig, f"Histogram of {len(values)} weights from {values.min():.3g} to {values.max():.3g}, over it {len(marks)} "
                         f"vertical lines, the "
                         f"levels, from {marks[0]:.3g} to {marks[-1]:.3g}. The root mean square rounding error is {error:.3g}.")


def size_perplexity(rows: Sequence[tuple[str, float, float]], baseline: float) -> CourseFigure:
    """Perplexity against size for all methods. `rows`: (name, megabytes, perplexity); `baseline` the perplexity of float32."""
    if not rows:
        raise ValueError("rows is empty; give at least one (name, megabytes, perplexity)")
    fig = new_figure("What a smaller model costs", "size of all weights (MB, log scale)", "perplexity on held-out text (lower is better, "
                                                                                          "log scale)",
                     subtitle="down and to the left is better; dashed: float32", height=520)
    families: dict[str, list[tuple[str, float, float]]] = {}
    for name, size, perplexity in rows:
        families.setdefault(name.split()[0].rstrip(","), []).append((name, float(size), float(perplexity)))
    for i, (family, members) in enumerate(families.items()):
        fig.add_scatter(x=[m[1] for m in members], y=[m[2] for m in members], mode="markers", name=family,
                        marker={"color": COLORS[i % 7], "symbol": SYMBOLS[i % 7], "size": 12},
                        customdata=[m[0] for m in members], hovertemplate="%{customdata}: %{x:.0f} MB, perplexity %{y:.2f}<extra></extra>")
    sizes = [float(r[1]) for r in rows]
    fig.add_scatter(x=[min(sizes) * 0.9, max(sizes) * 1.1], y=[baseline, baseline], mode="lines", name=f"float32: {baseline:.2f}",
                    hoverinfo="skip",
                    line={"color": GREY, "dash": "dash", "width": 1.5})
    ticks = [60, 80, 100, 150, 200, 300, 400, 550]
    fig.update_xaxes(type="log", tickvals=ticks, ticktext=[str(t) for t in ticks])
    fig.update_yaxes(type="log", tickformat=".3~g", nticks=8)
    return describe(fig, "Scatter of perplexity against size. " + "; ".join(f"{n}: {s:.0f} MB, {p:.2f}" for n, s, p in rows) + ".")


def lines(series: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str, x: str, y: str, *, log_x: bool = False, log_y: bool = False,
          subtitle: str = "") -> CourseFigure:
    """One line with marks per series: {name: (x values, y values)}."""
    fig = new_figure(title, x, y, subtitle=subtitle, height=440)
    told = []
    for i, (name, (xs, ys)) in enumerate(series.items()):
        across, up = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
        fig.add_scatter(x=across, y=up, mode="lines+markers", name=name, line={"color": COLORS[i % 7], "dash": DASHES[i % 7]},
                        marker={"color": COLORS[i % 7], "symbol": SYMBOLS[i % 7], "size": 9},
                        hovertemplate="%{x:.4g}: %{y:.4g}<extra>%{fullData.name}</extra>")
        told.append(f"{name} goes from {up[0]:.3g} at {across[0]:.3g} to {up[-1]:.3g} at {across[-1]:.3g}")
    if log_x:
        values = sorted({float(v) for xs, _ in series.values() for v in np.ravel(np.asarray(xs, dtype=float))})
        fig.update_xaxes(type="log", tickvals=values, ticktext=[f"{v:,g}" for v in values])
    if log_y:
        fig.update_yaxes(type="log", tickformat="~g", dtick=1 if _span(series) > 10 else None)
    return describe(fig, f"Line plot, {y} against {x}: {'; '.join(told)}.")


def _span(series: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> float:
    values = np.concatenate([np.ravel(np.asarray(ys, dtype=float)) for _, ys in series.values()])
    return float(values.max() / values.min()) if values.min() > 0 else 1.0


def paired_bars(labels: Sequence[str], series: Mapping[str, ArrayLike], title: str, y: str, *, subtitle: str = "") -> CourseFigure:
    """Bars side by side, one group per label."""
    fig = new_figure(title, None, y, subtitle=subtitle, height=440, barmode="group")
    patterns = ("", "/", "x", ".")
    for i, (name, values) in enumerate(series.items()):
        fig.add_bar(x=list(labels), y=np.asarray(values, dtype=float), name=name,
                    marker={"color": COLORS[i % 7], "pattern": {"shape": patterns[i % 4]}},
                    hovertemplate="%{x}: %{y:.4g}<extra>%{fullData.name}</extra>")
    told = "; ".join(f"{label}: " + in_words(f"{name} {float(np.asarray(v, dtype=float)[i]):.3g}" for name, v in series.items())
                     for i, label in enumerate(labels))
    return describe(fig, f"Bars of {y}. {told}.")


def seeds(groups: Mapping[str, ArrayLike], title: str, y: str, *, subtitle: str = "each mark is one seed; bars: mean") -> CourseFigure:
    """Every seed's result as a mark, group by group, with the mean as a short line."""
    fig = new_figure(title, None, y, subtitle=subtitle, height=440)
    names, told = list(groups), []
    for i, (name, values) in enumerate(groups.items()):
        ys = np.asarray(values, dtype=float)
        spread = np.linspace(-0.12, 0.12, len(ys)) if len(ys) > 1 else np.zeros(1)
        fig.add_scatter(x=i + spread, y=ys, mode="markers", name=name, showlegend=False,
                        marker={"color": COLORS[i % 7], "symbol": SYMBOLS[i % 7], "size": 10},
                        hovertemplate=f"{name}: %{{y:.2f}}<extra></extra>")
        fig.add_scatter(x=[i - 0.25, i + 0.25], y=[ys.mean()] * 2, mode="lines", showlegend=False, hoverinfo="skip",
                        line={"color": COLORS[i % 7], "width": 3})
        told.append(f"{name}: mean {ys.mean():.2f}, from {ys.min():.2f} to {ys.max():.2f}")
    fig.update_xaxes(tickvals=list(range(len(names))), ticktext=names, range=[-0.5, len(names) - 0.5])
    return describe(fig, f"{y}, one mark per seed. {'; '.join(told)}.")


def mask_grid(layers: Sequence[ArrayLike], query: int, *, subtitle: str = "") -> CourseFigure:
    """Which token sees which: cells darker the fewer layers it takes, with one query's row framed.

    Parameters
    ----------
    layers : bool arrays (tokens, tokens); the n-th is what n + 1 layers reach
    query : the row to frame
    """
    grids = [np.asarray(g, dtype=bool) for g in layers]
    depth = np.full(grids[0].shape, np.nan)
    for n, grid in reversed(list(enumerate(grids, 1))):
        depth[grid] = n
    tokens = len(depth)
    fig = new_figure("Which token can hear of which", "key (token number)", "query (token number)", subtitle=subtitle, height=560)
    last = len(grids)
    colors = [BLUE, "#6BAED6", ORANGE, "#C6DBEF", "#E3EEF9", "#F0F0F0"]
    scale = [[i / max(last, 1), colors[min(i, 5)]] for i in range(last)]
    stops: list[list[Any]] = [s for i, (_, c) in enumerate(scale) for s in ([i / last, c], [(i + 1) / last, c])]
    fig.add_heatmap(z=depth, zmin=0.5, zmax=last + 0.5, colorscale=stops, xgap=1, ygap=1,
                    colorbar={"title": "layers<br>needed", "tickvals": list(range(1, last + 1))},
                    hovertemplate="query %{y}, key %{x}: %{z} layer(s)<extra></extra>", hoverongaps=False)
    fig.add_scatter(x=[-0.5, tokens - 0.5, tokens - 0.5, -0.5, -0.5], y=[query - 0.5, query - 0.5, query + 0.5, query + 0.5, query - 0.5],
                    mode="lines", name=f"query {query}", line={"color": VERMILLION, "width": 2}, hoverinfo="skip", showlegend=False)
    fig.update_yaxes(autorange="reversed", scaleanchor="x", constrain="domain")
    fig.update_xaxes(constrain="domain", range=[-0.5, tokens - 0.5])
    seen = [int(g[query].sum()) for g in grids]
    return describe(fig, f"Grid of {tokens} queries by {tokens} keys. Query {query} reaches " +
                    ", ".join(f"{n} tokens in {i} layer{'s' * (i > 1)}" for i, n in enumerate(seen, 1)) +
                    f". In one layer {int(grids[0].sum())} of {tokens * tokens} pairs are computed.")


def draft_trace(rounds: Sequence[tuple[Sequence[str], int, str]], *, limit: int = 14) -> CourseFigure:
    """Accepted and rejected draft tokens, one row per pass.

    Parameters
    ----------
    rounds : (proposed tokens as text, how many were accepted, the model's own token) per pass
    """
    shown = list(rounds)[:limit]
    widest = max((len(p) for p, _, _ in shown), default=0) + 1
    fig = new_figure("What was proposed, what was kept", "place in the pass", "pass of the model", height=150 + 34 * max(len(shown), 1),
                     subtitle="✓ accepted draft token · ✗ thrown away · ＋ the model's own token")
    marks: dict[str, list[tuple[int, int, str]]] = {"accepted": [], "thrown away": [], "model's own": []}
    for row, (proposed, accepted, own) in enumerate(shown, 1):
        for place, token in enumerate(proposed):
            if place < accepted:
                marks["accepted"].append((place, row, f"✓ {token}"))
            else:
                marks["thrown away"].append((place + 1, row, f"✗ {token}"))
        marks["model's own"].append((accepted, row, f"＋ {own}"))
    look = {"accepted": GREEN, "thrown away": FAINT, "model's own": BLUE}
    for name, cells in marks.items():
        fig.add_scatter(x=[c[0] for c in cells], y=[c[1] for c in cells], text=[c[2] for c in cells], mode="markers+text", name=name,
                        textposition="middle center", marker={"size": 26, "symbol": "square", "color": look[name], "opacity": 0.28},
                        hovertemplate="%{text}<extra>%{fullData.name}</extra>", textfont={"size": 12})
    fig.update_xaxes(range=[-0.6, widest + 0.6], dtick=1, showgrid=False)
    fig.update_yaxes(autorange="reversed", dtick=1, showgrid=False)
    told = "; ".join(f"pass {i}: {a} of {len(p)} proposed tokens kept, then {o!r}" for i, (p, a, o) in enumerate(shown, 1))
    return describe(fig, f"Table of draft tokens by pass. {told}.")

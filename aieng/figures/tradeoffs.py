"""The pictures of section 05: levels over weights, size against perplexity, masks, seeds, drafts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from aieng.figures.theme import (
    BLUE,
    COLORS,
    DASHES,
    GREY,
    LEGEND_BELOW,
    SYMBOLS,
    TEMPLATE,
    VERMILLION,
    CourseFigure,
    describe,
    headline,
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
    fig = new_figure("What a smaller model costs", "size of all weights (MB, log scale)", "perplexity on held-out text (log scale)",
                     subtitle="down and to the left is better; dotted: nothing smaller is as good; dashed: float32", height=540)
    families: dict[str, list[tuple[str, float, float]]] = {}
    for name, size, perplexity in rows:
        families.setdefault(name.split()[0].rstrip(","), []).append((name, float(size), float(perplexity)))
    for i, (family, members) in enumerate(families.items()):
        labels: dict[str, str] = {}
        for name, size, perplexity in sorted(members, key=lambda m: m[2]):  # the best first; no name over another of its family
            crowded = any(abs(np.log10(size / m[1])) < 0.03 and abs(np.log10(perplexity / m[2])) < 0.05 for m in members if m[0] in labels)
            if not crowded:
                labels[name] = _short_name(name, family)
        fig.add_scatter(x=[m[1] for m in members], y=[m[2] for m in members], mode="markers+text", name=family,
                        marker={"color": COLORS[i % 7], "symbol": SYMBOLS[i % 7], "size": 12}, textfont={"size": 11},
                        text=[labels.get(m[0], "") for m in members], textposition=_BESIDE.get(family, "middle right"),
                        customdata=[m[0] for m in members], hovertemplate="%{customdata}: %{x:.0f} MB, perplexity %{y:.2f}<extra></extra>")
    best: list[tuple[float, float]] = []  # from large to small: what no smaller or equal one beats
    for _, size, perplexity in sorted(rows, key=lambda r: (r[1], r[2])):
        if not best or perplexity < best[-1][1]:
            best.append((float(size), float(perplexity)))
    fig.add_scatter(x=[b[0] for b in best], y=[b[1] for b in best], mode="lines", name="best for its size", hoverinfo="skip",
                    line={"color": GREY, "dash": "dot", "width": 1.5})
    sizes = [float(r[1]) for r in rows]
    fig.add_scatter(x=[min(sizes) * 0.9, max(sizes) * 1.1], y=[baseline, baseline], mode="lines", name=f"float32: {baseline:.2f}",
                    hoverinfo="skip",
                    line={"color": GREY, "dash": "dash", "width": 1.5})
    ticks = [60, 80, 100, 150, 200, 300, 400, 550]
    fig.update_xaxes(type="log", tickvals=ticks, ticktext=[str(t) for t in ticks])
    heights = [10, 20, 30, 40, 50, 60, 80, 100, 150, 200, 300, 400, 600, 1000]
    fig.update_yaxes(type="log", tickvals=heights, ticktext=[str(t) for t in heights])
    return describe(fig, "Scatter of perplexity against size. " + "; ".join(f"{n}: {s:.0f} MB, {p:.2f}" for n, s, p in rows) + ".")


# Where a family's names stand, so that neighbours of nearly the same size keep apart.
_BESIDE = {"RTN": "top right", "GPTQ": "bottom right", "NF4": "bottom left", "INT4": "middle right", "INT8": "bottom right"}


def _short_name(name: str, family: str) -> str:
    """What tells a family's members apart, without what all of them say."""
    return name.removeprefix(family).strip(" ,").replace("group 64", "").replace("block 64", "").strip(" ,") if family != "bfloat16" else ""


def lines(series: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str, x: str, y: str, *, log_x: bool = False, log_y: bool = False,
          subtitle: str = "", places: Sequence[float] | None = None) -> CourseFigure:
    """One line with marks per series: {name: (x values, y values)}; `places` are the only ticks of the x axis."""
    fig = new_figure(title, x, y, subtitle=subtitle, height=440)
    if max(map(len, series)) > 24:  # long names beside the lines would leave little room for them
        fig.update_layout(legend=LEGEND_BELOW, margin_b=110, height=500)
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
    if places is not None:
        fig.update_xaxes(tickvals=list(places), ticktext=[f"{v:,g}" for v in places])
    if log_y:
        fig.update_yaxes(type="log", tickformat="~g", dtick=1 if _span(series) > 100 else "D2")  # 1, 2, 5, 10, …
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
    colors = ["#08519C", "#4292C6", "#9ECAE1", "#DEEBF7", "#F0F0F0", "#F7F7F7"]  # one hue, darker is nearer
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


def _cell(token: str, longest: int = 9) -> str:
    """A token for a small cell: its space and line breaks visible, its end cut off."""
    shown = token.replace(" ", "·").replace("\n", "⏎")
    return escape(shown if len(shown) <= longest else f"{shown[: longest - 1]}…")


def draft_trace(rounds: Sequence[tuple[Sequence[str], int, str]], *, limit: int = 14) -> CourseFigure:
    """Accepted and rejected draft tokens, one row per pass.

    Parameters
    ----------
    rounds : (proposed tokens as text, how many were accepted, the model's own token) per pass
    """
    shown = list(rounds)[:limit]
    widest = max((len(p) for p, _, _ in shown), default=0) + 1
    fig = new_figure("What was proposed, what was kept", "place in the pass", "pass of the model", height=220 + 34 * max(len(shown), 1),
                     subtitle="✓ accepted draft token, ✗ thrown away, + the model's own token; · is a space", legend=LEGEND_BELOW)
    marks: dict[str, list[tuple[int, int, str]]] = {"accepted": [], "thrown away": [], "model's own": []}  # place, pass, text
    for row, (proposed, accepted, own) in enumerate(shown, 1):
        for place, token in enumerate(proposed):
            if place < accepted:
                marks["accepted"].append((place, row, f"✓{_cell(token)}"))
            else:
                marks["thrown away"].append((place + 1, row, f"✗{_cell(token)}"))
        marks["model's own"].append((accepted, row, f"+{_cell(own)}"))
    look = {"accepted": "rgba(0,158,115,0.35)", "thrown away": "rgba(128,128,128,0.18)", "model's own": "rgba(0,114,178,0.35)"}
    for name, cells in marks.items():
        # Bars as cells: a token's text stays inside its own.
        fig.add_bar(base=[c[0] - 0.48 for c in cells], x=[0.96] * len(cells), y=[c[1] for c in cells], text=[c[2] for c in cells],
                    name=name, orientation="h", width=0.84, textposition="inside", insidetextanchor="middle", textangle=0,
                    constraintext="none", marker={"color": look[name], "pattern": {"shape": "/" if name == "thrown away" else ""}},
                    hovertemplate="%{text}<extra>%{fullData.name}</extra>", textfont={"size": 12})
    fig.update_layout(barmode="overlay", margin_b=110)
    fig.update_xaxes(range=[-0.6, widest - 0.4], dtick=1, showgrid=False, zeroline=False)
    fig.update_yaxes(range=[len(shown) + 0.6, 0.4], dtick=1, showgrid=False)
    told = "; ".join(f"pass {i}: {a} of {len(p)} proposed tokens kept, then {o!r}" for i, (p, a, o) in enumerate(shown, 1))
    return describe(fig, f"Table of draft tokens by pass. {told}.")


def draft_length_curves(
    lengths: Sequence[int], kept: ArrayLike, kept_formula: ArrayLike, tokens: ArrayLike, tokens_formula: ArrayLike, cost: ArrayLike,
    speedup: ArrayLike,
) -> CourseFigure:
    """Share of the proposed tokens that are kept, and what a pass gives and costs, against the longest draft.

    Parameters
    ----------
    lengths : longest drafts, ascending
    kept, kept_formula : share of the draft tokens that were accepted, measured and by the formula; NaN where nothing was proposed
    tokens, tokens_formula : tokens per pass, likewise
    cost : time of the pass, in passes over one token
    speedup : tokens per pass over cost
    """
    xs = np.asarray(lengths, dtype=float)
    fig = CourseFigure(make_subplots(1, 2, horizontal_spacing=0.12, subplot_titles=["drafts kept", "tokens per pass, and their price"]))
    panels = (("kept, measured", kept, 1), ("kept, formula", kept_formula, 1), ("tokens per pass, measured", tokens, 2),
              ("tokens per pass, formula", tokens_formula, 2), ("cost of the pass", cost, 2), ("speed-up", speedup, 2))
    told = []
    for i, (name, values, column) in enumerate(panels):
        ys = np.asarray(values, dtype=float)
        if ys.shape != xs.shape:
            raise ValueError(f"{name}: {ys.shape} values for {len(xs)} draft lengths; give one each")
        there = ~np.isnan(ys)
        fig.add_scatter(x=xs[there], y=ys[there], name=name, mode="lines+markers", row=1, col=column,
                        line={"color": COLORS[i], "dash": DASHES[i]}, marker={"color": COLORS[i], "symbol": SYMBOLS[i], "size": 8},
                        hovertemplate="drafts of up to %{x}: %{y:.3g}<extra>" + name + "</extra>")
        told.append(f"{name}: " + ", ".join(f"{y:.2f} at {x:.0f}" for x, y in zip(xs[there], ys[there])))
    fig.update_layout(template=TEMPLATE, height=500, legend=LEGEND_BELOW, margin={"t": 100, "b": 130}, title_text=headline(
        "How long should a draft be?", "formula: every proposed token is kept with the same probability"))
    fig.update_annotations(font={"size": 14})
    fig.update_xaxes(title_text="longest draft (tokens)", tickvals=xs, ticktext=[f"{x:.0f}" for x in xs])
    fig.update_yaxes(title_text="share of the proposed tokens", tickformat=".0%", range=[0, 1.05], row=1, col=1)
    fig.update_yaxes(title_text="tokens, or passes over one token", rangemode="tozero", row=1, col=2)
    return describe(fig, f"Two line charts against the longest draft. {'; '.join(told)}.")

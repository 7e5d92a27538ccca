"""The pictures of 4.4: cost against length, traffic through slow memory, and the tiles with their running state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from aieng.figures.theme import (
    BLUE,
    COLORS,
    DASHES,
    LEGEND_BELOW,
    PATTERNS,
    SYMBOLS,
    TEMPLATE,
    VERMILLION,
    CourseFigure,
    describe,
    headline,
    new_figure,
)


def cost_curves(sizes: Sequence[int], seconds: Mapping[str, Sequence[float]], peak: Mapping[str, Sequence[float]]) -> CourseFigure:
    """Time and peak memory against the number of tokens, both axes logarithmic; {name: one number per size}."""
    if not sizes or seconds.keys() != peak.keys():
        raise ValueError(f"{len(sizes)} sizes, times of {list(seconds)}, memory of {list(peak)}: give both for the same names")
    fig = CourseFigure(make_subplots(1, 2, horizontal_spacing=0.13, subplot_titles=["time of one pass", "memory at the peak"]))
    told = []
    for i, name in enumerate(seconds):
        for column, values, unit in ((1, np.asarray(seconds[name]) * 1e3, "ms"), (2, np.asarray(peak[name]) / 1e6, "MB")):
            fig.add_scatter(x=list(sizes), y=values, name=name, legendgroup=name, showlegend=column == 1, row=1, col=column,
                            mode="lines+markers", marker={"color": COLORS[i], "symbol": SYMBOLS[i], "size": 8},
                            line={"color": COLORS[i], "dash": DASHES[i]},
                            hovertemplate=f"%{{x:,}} tokens: %{{y:.3g}} {unit}<extra>{name}</extra>")
        told.append(f"{name}: {seconds[name][-1] * 1e3:.3g} ms and {peak[name][-1] / 1e6:.3g} MB")
    fig.update_layout(template=TEMPLATE, height=440, legend=LEGEND_BELOW, margin={"t": 110, "b": 110},
                      title_text=headline("What attention costs as the text grows", "both axes logarithmic; twice as steep means squared"))
    fig.update_xaxes(type="log", title_text="tokens", tickvals=list(sizes), ticktext=[f"{n:,}" for n in sizes])
    fig.update_yaxes(type="log", tickformat="~g")
    fig.update_yaxes(title_text="milliseconds", col=1)
    fig.update_yaxes(title_text="megabytes", col=2)
    return describe(fig, f"Two line charts against the number of tokens, {sizes[0]:,} to {sizes[-1]:,}: time and peak memory. At "
                         f"{sizes[-1]:,} tokens, {'; '.join(told)}.")


def traffic_bars(
    naive: Mapping[int, float], flash: Mapping[int, float], formula: Mapping[int, float], paper: Mapping[int, float], tokens: int,
    head_dim: int, owner: str = "yours",
) -> CourseFigure:
    """Bytes through slow memory for each size of fast memory; {KiB of fast memory: bytes}. `owner`: of the loop in `flash`."""
    sizes = list(naive)
    if not sizes or any(list(m) != sizes for m in (flash, formula, paper)):
        raise ValueError(f"sizes of fast memory differ: {[list(m) for m in (naive, flash, formula, paper)]}")
    fig = new_figure("Bytes through slow memory", "fast memory (KiB)", "megabytes (log scale)", height=470, barmode="group", bargap=0.25,
                     subtitle=f"one head, {tokens:,} tokens of {head_dim} numbers", legend=LEGEND_BELOW, margin_b=120)
    told = []
    for i, (name, values) in enumerate({"naive, counted": naive, f"{owner}, counted": flash, "our loop's formula": formula,
                                        "the paper's N²d²/M": paper}.items()):
        megabytes = [values[s] / 1e6 for s in sizes]
        fig.add_bar(x=[str(s) for s in sizes], y=megabytes, name=name, text=[f"{m:.3g}" for m in megabytes], textposition="outside",
                    cliponaxis=False, marker={"color": COLORS[i], "pattern": {"shape": PATTERNS[i]}},
                    hovertemplate="%{x} KiB: %{y:.3g} MB<extra>%{fullData.name}</extra>")
        told.append(f"{name}: " + ", ".join(f"{m:.3g} MB with {s} KiB" for s, m in zip(sizes, megabytes)))
    top = max(naive.values()) / 1e6
    low = min(min(m.values()) for m in (flash, formula, paper)) / 1e6
    fig.update_xaxes(type="category")  # not a scale of numbers: 24, 48 and 96 stand side by side
    fig.update_yaxes(type="log", range=[np.log10(low) - 0.4, np.log10(top) + 0.3], tickformat="~g", dtick="D2")
    return describe(fig, f"Bar chart of the bytes that attention moves through slow memory. {'; '.join(told)}.")


def tile_steps(
    scores: ArrayLike, block_m: int, block_n: int, step: int, highest: ArrayLike, total: ArrayLike, order: Sequence[tuple[int, int]],
) -> CourseFigure:
    """The matrix that is never there, cut into tiles; which of them is in fast memory now, and the state of its rows.

    Parameters
    ----------
    scores : (queries, keys) float array; NaN where a key is hidden
    block_m, block_n : the tile's rows and columns
    step : number of the tile, counted from 0
    highest, total : (queries,) the running maximum and sum after this step; -inf and 0 where a row has not begun
    order : (first row, first column) of each tile in the order they are computed
    """
    values = np.asarray(scores, dtype=float)
    peaks, sums = np.asarray(highest, dtype=float), np.asarray(total, dtype=float)
    queries, keys = values.shape
    if not 0 <= step < len(order):
        raise ValueError(f"step is {step}; there are {len(order)} tiles, 0 to {len(order) - 1}")
    if peaks.shape != (queries,) or sums.shape != (queries,):
        raise ValueError(f"highest {peaks.shape} and total {sums.shape}; {queries} rows need ({queries},)")
    seen = np.full_like(values, np.nan)
    for m, n in order[: step + 1]:
        seen[m : m + block_m, n : n + block_n] = values[m : m + block_m, n : n + block_n]
    m, n = order[step]
    fig = CourseFigure(make_subplots(1, 3, column_widths=[0.56, 0.2, 0.24], horizontal_spacing=0.1,
                                     subplot_titles=["scores, tile by tile", "running maximum", "running sum"]))
    low, high = np.nanmin(values), np.nanmax(values)
    fig.add_heatmap(z=seen, colorscale="Cividis", zmin=low, zmax=high, row=1, col=1, xgap=1, ygap=1, showscale=False,
                    hovertemplate="query %{y}, key %{x}: score %{z:.2f}<extra></extra>")
    fig.add_scatter(x=[n - 0.5, n + block_n - 0.5, n + block_n - 0.5, n - 0.5, n - 0.5],
                    y=[m - 0.5, m - 0.5, m + block_m - 0.5, m + block_m - 0.5, m - 0.5], mode="lines", row=1, col=1,
                    line={"color": VERMILLION, "width": 4}, name="tile in fast memory", hoverinfo="skip")
    rows = np.arange(queries)
    begun = sums > 0
    now = (rows >= m) & (rows < m + block_m)
    colors = [VERMILLION if active else BLUE for active in now]
    patterns = ["/" if active else "" for active in now]
    for column, data, what in ((2, np.where(begun, peaks, np.nan), "maximum"), (3, np.where(begun, sums, np.nan), "sum")):
        fig.add_bar(x=data, y=rows, orientation="h", row=1, col=column, showlegend=False,
                    marker={"color": colors, "pattern": {"shape": patterns}}, name=what,
                    hovertemplate=f"query %{{y}}: {what} %{{x:.3f}}<extra></extra>")
    fig.add_bar(x=[None], y=[None], name="rows finished", marker={"color": BLUE}, row=1, col=2)
    fig.add_bar(x=[None], y=[None], name="rows of this tile", marker={"color": VERMILLION, "pattern": {"shape": "/"}}, row=1, col=2)
    wide = f"{min(block_m, queries - m)} × {min(block_n, keys - n)}"
    fig.update_layout(template=TEMPLATE, height=470, legend=LEGEND_BELOW, margin={"t": 110, "b": 110}, title_text=headline(
        f"Tile {step + 1} of {len(order)}", f"queries {m} to {min(m + block_m, queries) - 1}, keys {n} to {min(n + block_n, keys) - 1}; "
        f"in fast memory: {wide} scores, never {queries} × {keys}"))
    fig.update_annotations(font={"size": 14})
    fig.update_xaxes(title_text="key", row=1, col=1, range=[-0.7, keys - 0.3], showgrid=False, zeroline=False)
    fig.update_yaxes(range=[queries - 0.3, -0.7], showgrid=False, zeroline=False)
    fig.update_yaxes(title_text="query", row=1, col=1)
    fig.update_xaxes(title_text="score", row=1, col=2, range=[min(0.0, float(low)), max(0.1, 1.05 * float(high))])
    fig.update_xaxes(title_text="Σ exp(score − max.)", row=1, col=3, range=[0, keys * 0.7])
    state = ", ".join(f"{peaks[i]:.2f} and {sums[i]:.2f}" for i in rows[now][:2])
    return describe(fig, f"A matrix of {queries} queries by {keys} keys, cut into tiles of {block_m} by {block_n}. Tile {step + 1} of "
                         f"{len(order)} is in fast memory: queries {m} to {min(m + block_m, queries) - 1}, keys {n} to "
                         f"{min(n + block_n, keys) - 1}. Running maximum and sum of its first rows after it: {state}. "
                         f"{int(begun.sum())} of {queries} rows have begun.")

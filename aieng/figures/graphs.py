"""Pictures for graph indexes: where the bytes of an index go."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from aieng.figures.theme import COLORS, DASHES, GREY, LEGEND_BELOW, PATTERNS, SYMBOLS, CourseFigure, describe, new_figure


def memory_bars(parts: Mapping[str, Mapping[str, float]]) -> CourseFigure:
    """Bytes per vector of several indexes, each bar divided into what the bytes are for.

    Parameters
    ----------
    parts : index -> {what for: bytes per vector}; the same uses, in the same order, for each index
    """
    if not parts:
        raise ValueError("parts is empty; give at least one index with its bytes")
    names = list(parts)
    uses = list(parts[names[0]])
    fig = new_figure("Where the bytes go", "bytes per vector", None, height=150 + 55 * len(names), barmode="stack", bargap=0.35,
                     legend=LEGEND_BELOW, margin_b=110, margin_l=130)
    for i, use in enumerate(uses):
        fig.add_bar(y=names, x=[parts[name][use] for name in names], name=use, orientation="h",
                    marker={"color": COLORS[i % 7], "pattern": {"shape": PATTERNS[i % 7]}},
                    hovertemplate=f"%{{y}}, {use}: %{{x:,.1f}} bytes<extra></extra>")
    totals = [sum(parts[name].values()) for name in names]
    fig.add_scatter(y=names, x=totals, mode="text", text=[f" {total:,.0f}" for total in totals], textposition="middle right",
                    showlegend=False, hoverinfo="skip", cliponaxis=False)
    fig.update_yaxes(autorange="reversed")
    fig.update_xaxes(range=[0, 1.12 * max(totals)])
    told = "; ".join(f"{name}: {total:,.0f} bytes, of them " + ", ".join(f"{parts[name][use]:,.0f} for {use}" for use in uses)
                     for name, total in zip(names, totals, strict=True))
    return describe(fig, f"Stacked bars of bytes per vector. {told}.")


def work_growth(sizes: Sequence[int], work: Mapping[str, Sequence[float]]) -> CourseFigure:
    """Distances computed per query against the number of rows, both logarithmic, with exact search for comparison.

    Parameters
    ----------
    sizes : numbers of rows, smallest first
    work : index -> distances per query at each size
    """
    if not work or any(len(counts) != len(sizes) for counts in work.values()):
        raise ValueError(f"work needs at least one index, each with {len(sizes)} numbers, one for each size")
    fig = new_figure("What a query costs while the graph grows", "rows (log scale)", "distances per query (log scale)", margin_r=150)
    series = {**work, "exact search": [float(n) for n in sizes]}
    for i, (name, counts) in enumerate(series.items()):
        exact = name == "exact search"
        fig.add_scatter(x=list(sizes), y=list(counts), name=name, mode="lines" if exact else "lines+markers", showlegend=False,
                        line={"color": GREY if exact else COLORS[i % 7], "dash": "dash" if exact else DASHES[i % 7]},
                        marker={"symbol": SYMBOLS[i % 7], "size": 9}, hovertemplate="%{x:,} rows: %{y:,.0f} distances<extra></extra>")
        fig.add_annotation(x=math.log10(sizes[-1]), y=math.log10(counts[-1]), text=f" {name}", xanchor="left", showarrow=False)
    for axis in (fig.update_xaxes, fig.update_yaxes):
        axis(type="log", tickformat="~s", dtick="D2")
    told = "; ".join(f"{name}: {counts[0]:,.0f} to {counts[-1]:,.0f}" for name, counts in series.items())
    return describe(fig, f"Distances per query from {sizes[0]:,} to {sizes[-1]:,} rows. {told}.")

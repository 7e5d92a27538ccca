"""Pictures for graph indexes: where the bytes of an index go."""

from __future__ import annotations

from collections.abc import Mapping

from aieng.figures.theme import COLORS, LEGEND_BELOW, PATTERNS, CourseFigure, describe, new_figure


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

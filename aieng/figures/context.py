"""The pictures of section 08's first half: shares with intervals, accuracy by place, the context window as a bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from plotly.subplots import make_subplots

from aieng.figures.theme import (
    COLORS,
    DASHES,
    FAINT,
    GREY,
    LEGEND_BELOW,
    PATTERNS,
    SYMBOLS,
    TEMPLATE,
    VERMILLION,
    CourseFigure,
    describe,
    headline,
    new_figure,
    wrapped,
)

Share = tuple[float, float, float]  # share, and the ends of its interval


def share_dots(
    title: str, value_title: str, panels: Mapping[str, Mapping[str, Mapping[str, Share]]], *, subtitle: str = "",
) -> CourseFigure:
    """Shares with their intervals, one row a name, one symbol a series, one panel a task.

    Parameters
    ----------
    panels : {panel: {series: {row: (share, low, high)}}}
        The same series and rows in every panel.
    """
    if not panels:
        raise ValueError("panels is empty; give at least one {panel: {series: {row: (share, low, high)}}}")
    names = list(panels)
    series = list(panels[names[0]])
    rows = list(panels[names[0]][series[0]])
    fig = CourseFigure(make_subplots(rows=1, cols=len(names), subplot_titles=names, shared_yaxes=True, horizontal_spacing=0.06))
    fig.update_layout(template=TEMPLATE, title_text=headline(title, subtitle), height=200 + (17 * len(series) + 8) * len(rows),
                      margin={"t": 96, "b": 110}, legend=LEGEND_BELOW)
    told = []
    for column, name in enumerate(names, 1):
        for i, one in enumerate(series):
            shares = [panels[name][one][row] for row in rows]
            value = np.array([s[0] for s in shares])
            place = np.arange(len(rows)) + 0.22 * (i - (len(series) - 1) / 2)
            fig.add_scatter(
                x=value, y=place, mode="markers", name=one, showlegend=column == 1, legendgroup=one, row=1, col=column,
                marker={"color": COLORS[i], "symbol": SYMBOLS[i], "size": 10},
                error_x={"type": "data", "symmetric": False, "array": [s[2] - s[0] for s in shares], "thickness": 2,
                         "arrayminus": [s[0] - s[1] for s in shares]},
                customdata=rows, hovertemplate="%{customdata}: %{x:.0%}<extra>" + one + "</extra>")
            told.append(f"{name}, {one}: " + ", ".join(f"{row} {s[0]:.0%} (from {s[1]:.0%} to {s[2]:.0%})" for row, s in zip(rows, shares)))
    fig.update_xaxes(title_text=value_title, tickformat=".0%", range=[-0.03, 1.03])
    fig.update_yaxes(tickvals=list(range(len(rows))), ticktext=[wrapped(row, 24) for row in rows], range=[len(rows) - 0.45, -0.55])
    return describe(fig, f"Dots with intervals, {value_title}. {'; '.join(told)}.")


def share_curves(
    title: str, x_title: str, y_title: str, series: Mapping[str, Mapping[float, Share]], *, subtitle: str = "", log_x: bool = False,
) -> CourseFigure:
    """Shares with intervals along an axis.

    series : {name: {x: (share, low, high)}}
    """
    if not series:
        raise ValueError("series is empty; give at least one {name: {x: (share, low, high)}}")
    fig = new_figure(title, x_title, y_title, subtitle=subtitle, height=460)
    told = []
    for i, (name, points) in enumerate(series.items()):
        x, shares = list(points), list(points.values())
        # Intervals of several series at one x lie beside each other.
        nudge = np.array([(1 + 0.02 * i) if log_x else 1.0 for _ in x])
        fig.add_scatter(
            x=np.array(x) * nudge + (0 if log_x else 0.12 * i), y=[s[0] for s in shares], name=name, mode="lines+markers",
            line={"color": COLORS[i], "dash": DASHES[i]}, marker={"symbol": SYMBOLS[i], "size": 9}, customdata=x,
            error_y={"type": "data", "symmetric": False, "array": [s[2] - s[0] for s in shares], "thickness": 1.5,
                     "arrayminus": [s[0] - s[1] for s in shares]},
            hovertemplate="%{customdata}: %{y:.0%}<extra>%{fullData.name}</extra>")
        told.append(f"{name}: " + ", ".join(f"{s[0]:.0%} at {at:g}" for at, s in points.items()))
    fig.update_yaxes(tickformat=".0%", rangemode="tozero")
    if log_x:
        ticks = sorted({x for points in series.values() for x in points})
        fig.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks])
    fig.update_layout(showlegend=len(series) > 1, legend=LEGEND_BELOW, margin_b=110)
    return describe(fig, f"Curves with intervals, {y_title} against {x_title}. {'; '.join(told)}.")


def window_bar(
    names: Sequence[str], tokens: Sequence[int], budget: int, *, marked: int | None = None, chosen: int | None = None, title: str = "",
) -> CourseFigure:
    """The context window as one bar: blocks side by side in the order in which they are read, as wide as they have tokens.

    Parameters
    ----------
    names, tokens : of each block, in order; a block of 0 tokens is left out of the prompt
    budget : drawn as a line
    marked : place of the block that holds the answer, hatched
    chosen : place of the block that the keys move, framed
    """
    if len(names) != len(tokens) or not len(names):
        raise ValueError(f"{len(names)} names and {len(tokens)} numbers of tokens; give one each")
    total = int(sum(tokens))
    fig = new_figure(title or "The context window", "tokens from the beginning of the prompt", "one prompt", height=300, barmode="stack",
                     bargap=0, subtitle=f"{total} of {budget} tokens; hatched: the passage that holds the answer", showlegend=False)
    start = 0
    for place, (name, n) in enumerate(zip(names, tokens)):
        holds = place == marked
        fig.add_bar(
            x=[n], y=["prompt"], orientation="h", name=name, text=[wrapped(name, 18, 2) if n else ""], textposition="inside",
            insidetextanchor="middle", textangle=-90, insidetextfont={"size": 13}, constraintext="none",
            marker={"color": VERMILLION if holds else COLORS[0] if place in (0, len(names) - 1) else GREY, "opacity": 0.75,
                    "pattern": {"shape": PATTERNS[1] if holds else "", "fillmode": "overlay", "fgcolor": "#ffffff", "fgopacity": 0.35,
                                "size": 14},
                    "line": {"color": COLORS[4] if place == chosen else FAINT, "width": 4 if place == chosen else 1}},
            hovertemplate=f"{name}: {n} tokens, from token {start}<extra></extra>")
        start += n
    fig.add_vline(x=budget, line={"color": COLORS[2], "dash": "dash", "width": 2})
    fig.update_xaxes(range=[0, 1.06 * max(budget, total)])
    fig.update_yaxes(showticklabels=False, ticks="")
    listed = ", ".join(f"{name}{' (holds the answer)' if place == marked else ''} {n}"
                       for place, (name, n) in enumerate(zip(names, tokens)) if n)
    return describe(fig, f"One bar, the prompt from left to right, tokens per block: {listed}. In all {total}, the budget is {budget}.")

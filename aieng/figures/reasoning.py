"""The pictures of 6.1 and 6.2: accuracy by number of steps, probabilities step by step, curves with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from aieng.figures.theme import (
    COLORS,
    DASHES,
    GREY,
    LEGEND_BELOW,
    ORANGE,
    PATTERNS,
    SYMBOLS,
    TEMPLATE,
    VERMILLION,
    CourseFigure,
    describe,
    headline,
    in_words,
    new_figure,
    wrapped,
)

# Light enough at one end and dark enough at the other for both themes; numbers in the cells carry the value as well.
SCALE = [[0.0, "rgba(0,114,178,0.04)"], [0.5, "rgba(0,114,178,0.45)"], [1.0, "rgba(0,114,178,0.95)"]]


def accuracy_by_steps(seeds: Mapping[str, ArrayLike], asked: int, chance: float) -> CourseFigure:
    """Accuracy against the number of steps of a question: each seed a mark, the mean over the seeds a line.

    Parameters
    ----------
    seeds : {name: (seeds, steps) array}, 0 … 1
    asked : questions behind each mark
    chance : accuracy of guessing, a dotted line
    """
    if not seeds:
        raise ValueError("seeds is empty; give at least one {name: (seeds, steps) array}")
    fig = new_figure("Room to write the steps down", "operations in the question (steps)", "answers that are right (share)",
                     subtitle=f"marks: one seed each, {asked:,} unseen questions; lines: mean; dotted: guessing")
    told = []
    for i, (name, values) in enumerate(seeds.items()):
        grid = np.atleast_2d(np.asarray(values, dtype=float))
        steps = np.arange(1, grid.shape[1] + 1)
        fig.add_scatter(x=steps, y=grid.mean(axis=0), mode="lines", name=f"{name}: mean",
                        line={"color": COLORS[i], "dash": DASHES[i], "width": 3},
                        hovertemplate="%{x} steps: %{y:.1%}<extra>%{fullData.name}</extra>")
        spread = np.linspace(-0.06, 0.06, len(grid)) if len(grid) > 1 else np.zeros(1)
        fig.add_scatter(x=(steps + spread[:, None]).ravel(), y=grid.ravel(), mode="markers", name=f"{name}: seeds",
                        marker={"color": COLORS[i], "symbol": SYMBOLS[i] + ("-open" if i else ""), "size": 9 + 3 * i},
                        hovertemplate="%{y:.1%}<extra>%{fullData.name}</extra>")
        told.append(f"{name}: " + in_words(f"{m:.0%} (seeds {a:.0%} to {b:.0%}) at {s} step{'s' if s > 1 else ''}" for s, m, a, b in zip(
            steps, grid.mean(axis=0), grid.min(axis=0), grid.max(axis=0))))
    fig.add_hline(y=chance, line={"color": GREY, "dash": "dot"})
    fig.update_xaxes(dtick=1)
    fig.update_yaxes(tickformat=".0%", range=[0, 1.04])
    return describe(fig, f"Line chart of right answers against the number of steps. {'; '.join(told)}. Guessing gives {chance:.0%}.")


def banded(
    title: str, x: str, y: str, xs: ArrayLike, series: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]], *, subtitle: str = "",
    levels: Mapping[str, float] | None = None, log_x: bool = False,
) -> CourseFigure:
    """Curves of shares with error bars: {name: (values, low, high)}.

    Parameters
    ----------
    xs : (n,), the same for all series
    levels : {name: value}, horizontal lines to compare with
    """
    if not series:
        raise ValueError("series is empty; give at least one {name: (values, low, high)}")
    across = np.asarray(xs, dtype=float)
    fig = new_figure(title, x, y, subtitle=subtitle, height=440)
    told = _add_banded(fig, across, series)
    for i, (name, value) in enumerate((levels or {}).items()):
        fig.add_scatter(x=[across[0], across[-1]], y=[value, value], mode="lines", name=f"{name}: {value:.0%}",
                        line={"color": COLORS[(len(series) + i) % 7], "dash": "dot", "width": 2}, hoverinfo="skip")
        told.append(f"{name} stands at {value:.0%}")
    _share_axes(fig, across, log_x)
    return describe(fig, f"Line chart, {y} against {x}. {'; '.join(told)}.")


def best_of_n_panels(ns: ArrayLike, panels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]]], *,
                     subtitle: str = "") -> CourseFigure:
    """Two panels side by side with the same series: {panel title: {name: (values, low, high)}}."""
    across = np.asarray(ns, dtype=float)
    fig = CourseFigure(make_subplots(1, len(panels), subplot_titles=[f"<b>{name}</b>" for name in panels], shared_yaxes=True,
                                     horizontal_spacing=0.06))
    fig.update_layout(template=TEMPLATE, height=460, title_text=headline("The best of n chains, chosen by a "
                                                                         "judge", subtitle), legend=LEGEND_BELOW,
                      margin_t=112, margin_b=110)
    told = []
    for column, (panel, series) in enumerate(panels.items(), 1):
        told.append(f"{panel}: " + "; ".join(_add_banded(fig, across, series, row=1, col=column)))
        fig.update_xaxes(title_text="n, chains to choose from (log scale)", row=1, col=column)
    for trace in fig.data[len(next(iter(panels.values()))):]:
        trace.showlegend = False
    fig.update_yaxes(title_text="picks (share)", row=1, col=1)
    _share_axes(fig, across, True)
    return describe(fig, f"Line charts of the share of picks against n. {' '.join(t + '.' for t in told)}")


def _add_banded(fig: CourseFigure, across: Any, series: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]], **where: int) -> list[str]:
    told = []
    for i, (name, parts) in enumerate(series.items()):
        values, low, high = (np.asarray(p, dtype=float) for p in parts)
        if not values.shape == low.shape == high.shape == across.shape:
            raise ValueError(f"series {name!r} has {values.shape} values and {low.shape}, {high.shape} ends for {across.shape} places")
        fig.add_scatter(x=across, y=values, name=name, mode="lines+markers", line={"color": COLORS[i % 7], "dash": DASHES[i % 7]},
                        marker={"symbol": SYMBOLS[i % 7], "size": 9},
                        error_y={"type": "data", "symmetric": False, "array": high - values, "arrayminus": values - low, "thickness": 1.5},
                        hovertemplate="%{x}: %{y:.1%}<extra>%{fullData.name}</extra>", **where)
        told.append(f"{name} goes from {values[0]:.0%} at {across[0]:g} to {values[-1]:.0%} ({low[-1]:.0%} to {high[-1]:.0%}) at "
                    f"{across[-1]:g}")
    return told


def _share_axes(fig: CourseFigure, across: Any, log_x: bool) -> None:
    fig.update_yaxes(tickformat=".0%", rangemode="tozero")
    if log_x:
        fig.update_xaxes(type="log", tickvals=list(across), ticktext=[f"{v:g}" for v in across])


def step_probabilities(probabilities: ArrayLike, written: Sequence[int], right: Sequence[int], names: Sequence[str], title: str, *,
                       subtitle: str = "□ left: what is written there; ○ right: what an error-free calculation has there") -> CourseFigure:
    """A model's distribution over the ten digits at each step.

    Parameters
    ----------
    probabilities : (steps, 10); a row of NaN where the model has no such place
    written : the digit that stands at each step, for the steps after it to read; -1 for none
    right : the digit that an error-free calculation has there
    names : what is done at each step, such as "+5"
    """
    grid = np.asarray(probabilities, dtype=float)
    if grid.ndim != 2 or grid.shape[1] != 10 or not len(grid) == len(written) == len(right) == len(names):
        raise ValueError(f"probabilities has shape {grid.shape} for {len(written)} written digits, {len(right)} right ones and "
                         f"{len(names)} names; "
                         "give (steps, 10) and one of each a step")
    fig = new_figure(title, "step", "digit", subtitle=subtitle, height=460)
    text = [["" if not p >= 0.005 else f"{p:.0%}" for p in column] for column in grid.T]
    places = list(range(len(grid)))
    fig.add_heatmap(x=places, y=list(range(10)), z=grid.T, text=text, texttemplate="%{text}", colorscale=SCALE, zmin=0, zmax=1,
                    colorbar={"title": {"text": "probability"}, "tickformat": ".0%"}, hovertemplate="digit %{y}: %{z:.1%}<extra></extra>",
                    xgap=2, ygap=1)
    # Beside the cell's text, not over it.
    for name, digits, symbol, side, colour in (("written", written, "square-open", -0.38, VERMILLION),
                                               ("right", right, "circle-open", 0.38, ORANGE)):
        shown = [(p + side, d) for p, d in zip(places, digits) if d >= 0]
        fig.add_scatter(x=[p for p, _ in shown], y=[d for _, d in shown], mode="markers", name=name, hoverinfo="skip", showlegend=False,
                        marker={"symbol": symbol, "size": 15, "color": colour, "line": {"width": 3, "color": colour}})
    fig.update_xaxes(tickvals=places, ticktext=[f"{i + 1}: {wrapped(n)}" for i, n in enumerate(names)],
                     range=[-0.5, len(places) - 0.5], showgrid=False)
    fig.update_yaxes(dtick=1, range=[-0.6, 9.6], showgrid=False)
    told = []
    for i, row in enumerate(grid):
        if np.isnan(row).any():
            told.append(f"step {i + 1} ({names[i]}): the model writes nothing")
        else:
            told.append(f"step {i + 1} ({names[i]}): most likely {int(row.argmax())} with {row.max():.0%}, written {written[i]}, "
                        f"{'the right one' if written[i] == right[i] else f'right would be {right[i]}'}")
    return describe(fig, f"Heat map of the probability of each digit at each step: {'; '.join(told)}.")


def judged_steps(
    steps: Sequence[str], labels: Sequence[bool], judges: Mapping[str, ArrayLike], title: str, *, subtitle: str = "",
) -> CourseFigure:
    """What each judge says of each step: grouped bars, hatched where the step is wrong.

    Parameters
    ----------
    steps : the lines of the chain
    labels : whether each is right
    judges : {name: (steps,) probabilities that the step is right}
    """
    if len(steps) != len(labels) or not judges:
        raise ValueError(f"{len(steps)} steps, {len(labels)} labels, {len(judges)} judges; give one label a step and at least one judge")
    fig = new_figure(title, "step, as it is written", "probability that it is "
                                                      "right", subtitle=subtitle or "hatched: a planted error", height=440,
                     barmode="group")
    places = [f"{i}. {wrapped(s)}" for i, s in enumerate(steps, 1)]
    told = []
    for i, (name, values) in enumerate(judges.items()):
        p = np.asarray(values, dtype=float)
        fig.add_bar(x=places, y=p, name=name, text=[f"{v:.0%}" for v in p], textposition="outside", cliponaxis=False,
                    marker={"color": COLORS[i % 7], "pattern": {"shape": [PATTERNS[0] if right else "/" for right in labels]}},
                    hovertemplate="%{x}: %{y:.1%}<extra>%{fullData.name}</extra>")
        told.append(f"{name} gives " + in_words(f"{v:.0%}" for v in p))
    fig.update_yaxes(range=[0, 1.12], tickformat=".0%", tickvals=[0, 0.25, 0.5, 0.75, 1])
    lines = in_words(f"{s} ({'right' if r else 'wrong'})" for s, r in zip(steps, labels))
    return describe(fig, f"Bars of the probability that each step is right. The steps: {lines}. {'; '.join(told)}.")


def credit_by_errors(groups: Mapping[str, Mapping[int, ArrayLike]]) -> CourseFigure:
    """Mean credit (share of full points) that each judge gives to chains with 0, 1, 2 … wrong steps, with the middle half as a bar.

    `groups`: {judge: {number of wrong steps: credits, 0 … 1}}.
    """
    if not groups:
        raise ValueError("groups is empty; give at least one {judge: {wrong steps: credits}}")
    fig = new_figure("Partial credit", "wrong steps in the chain", "credit (mean probability of its steps)",
                     subtitle="marks: mean over chains; bars: the middle half of them", height=420)
    told = []
    for i, (name, by_count) in enumerate(groups.items()):
        counts = sorted(by_count)
        values = [np.asarray(by_count[c], dtype=float) for c in counts]
        mean = np.array([v.mean() for v in values])
        low, high = (np.array([np.quantile(v, q) for v in values]) for q in (0.25, 0.75))
        fig.add_scatter(x=np.array(counts) + 0.05 * (i - (len(groups) - 1) / 2), y=mean, name=name, mode="lines+markers",
                        line={"color": COLORS[i % 7], "dash": DASHES[i % 7]}, marker={"symbol": SYMBOLS[i % 7], "size": 9},
                        error_y={"type": "data", "symmetric": False, "array": np.maximum(high - mean, 0),
                                 "arrayminus": np.maximum(mean - low, 0)},
                        hovertemplate="%{y:.0%}<extra>%{fullData.name}</extra>")
        told.append(f"{name}: " + in_words(f"{m:.0%} with {c} wrong" for c, m in zip(counts, mean)))
    fig.update_xaxes(dtick=1)
    fig.update_yaxes(tickformat=".0%", range=[0, 1.05])
    return describe(fig, f"Mean credit against the number of wrong steps. {'; '.join(told)}.")

"""The pictures of section 02: coloured tokens, next-token bars, measured curves, shares with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from aieng.figures.theme import (
    BLUE,
    COLORS,
    DASHES,
    FAINT,
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
)

# --- 2.1: tokens --------------------------------------------------------------------------------------------------------

TOKEN_STYLE = """<style>
.aieng-tokens{font-family:var(--jp-code-font-family,monospace);font-size:15px;line-height:2.1;max-width:60em;overflow-wrap:anywhere;
 color:var(--jp-ui-font-color1,#222)}
.aieng-tokens span{padding:.15em .1em;border-bottom:3px solid;white-space:pre-wrap;border-radius:2px}
.aieng-tokens small{opacity:.75;font-family:var(--jp-ui-font-family,sans-serif)}
</style>"""
# Tints of the course's colours that are readable under black and under white text alike.
_TINTS = ("rgba(0,114,178,.25)", "rgba(230,159,0,.28)", "rgba(0,158,115,.25)", "rgba(204,121,167,.28)", "rgba(213,94,0,.22)")


@dataclass(frozen=True)
class ColouredTokens:
    """A text cut into tokens, each in a colour that differs from its neighbours'; in plain text they are separated by │."""

    tokens: tuple[str, ...]
    ids: tuple[int, ...]

    def html(self) -> str:
        """One span a token; its id shows on hover."""
        spans = "".join(
            f'<span title="token {i}" style="background:{_TINTS[n % 5]};border-color:{COLORS[n % 5]}">{_visible(token)}</span>'
            for n, (token, i) in enumerate(zip(self.tokens, self.ids, strict=True))
        )
        return (f'{TOKEN_STYLE}<div class="aieng-tokens" role="img" '
                f'aria-label="{escape(self.plain(), quote=True)}">{spans or "(no tokens)"}'
                f"</div>")

    def plain(self) -> str:
        """The tokens in a row, for terminals and screen readers."""
        return f"{len(self.tokens)} token{'s' * (len(self.tokens) != 1)}: " + "│".join(self.tokens)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.plain()}


def _visible(token: str) -> str:
    return escape(token).replace(" ", "·").replace("\n", "⏎\n").replace("\t", "⇥")


# --- curves and bars ----------------------------------------------------------------------------------------------------


def curves(
    title: str, x_title: str, y_title: str, x: Mapping[str, ArrayLike] | ArrayLike, series: Mapping[str, ArrayLike], *, subtitle: str = "",
    levels: Mapping[str, float] | None = None, log_x: bool = False, log_y: bool = False, markers: bool = True,
) -> CourseFigure:
    """Lines over one axis.

    Parameters
    ----------
    x : the same values for all series, or {name: values}
    series : {name: values}
    levels : {name: value}, horizontal lines to compare with
    log_x, log_y : logarithmic axes
    markers : mark each point (for few points)
    """
    if not series:
        raise ValueError("series is empty; give at least one {name: values}")
    fig = new_figure(title, x_title, y_title, subtitle=subtitle)
    told = []
    for i, (name, values) in enumerate(series.items()):
        xs = np.asarray(x[name] if isinstance(x, Mapping) else x, dtype=float)
        ys = np.asarray(values, dtype=float)
        if xs.shape != ys.shape or not len(ys):
            raise ValueError(f"series {name!r} has {ys.shape} values for {xs.shape} places on the x axis")
        fig.add_scatter(
            x=xs, y=ys, name=name, mode="lines+markers" if markers else "lines", line={"color": COLORS[i % 7], "dash": DASHES[i % 7]},
            marker={"symbol": SYMBOLS[i % 7], "size": 8}, hovertemplate="%{x:.4g}: %{y:.4g}<extra>%{fullData.name}</extra>",
        )
        told.append(f"{name} goes from {ys[0]:.3g} at {xs[0]:.4g} to {ys[-1]:.3g} at {xs[-1]:.4g}")
    for i, (name, value) in enumerate((levels or {}).items()):
        fig.add_hline(y=value, line={"color": COLORS[(len(series) + i) % 7], "dash": "dot"}, annotation_text=f"{name}: {value:.3g}",
                      annotation_position="top right")
        told.append(f"{name} stands at {value:.3g}")
    fig.update_layout(showlegend=len(series) > 1)
    if log_x:
        places = sorted({float(v) for trace in fig.data for v in trace.x})
        # Few places are named themselves; plotly's own digits between the powers of ten read as numbers.
        named = {"tickvals": places, "ticktext": [f"{v:,g}" for v in places]} if len(places) <= 8 else {"dtick": 1}
        fig.update_xaxes(type="log", **named)
    if log_y:
        fig.update_yaxes(type="log")
    return describe(fig, f"Line chart, {y_title} against {x_title}: {'; '.join(told)}.")


def bars(
    title: str, value_title: str, names: Sequence[str], groups: Mapping[str, ArrayLike], *, subtitle: str = "", form: str = ".2f",
    low: ArrayLike | None = None, high: ArrayLike | None = None, as_percent: bool = False,
) -> CourseFigure:
    """Horizontal bars, one or several per name; with `low` and `high` (one group only) their intervals.

    Parameters
    ----------
    groups : {legend name: one value per name}
    low, high : ends of the confidence intervals
    """
    fig = new_figure(title, value_title, None, subtitle=subtitle, height=150 + 34 * len(names) * max(len(groups), 1), bargap=0.25)
    told = []
    for i, (group, values) in enumerate(groups.items()):
        v = np.asarray(values, dtype=float)
        if v.shape != (len(names),):
            raise ValueError(f"group {group!r} has {v.shape} values for {len(names)} names")
        error = None
        if low is not None and high is not None:
            error = {"type": "data", "symmetric": False, "array": np.asarray(high) - v, "arrayminus": v - np.asarray(low), "thickness": 2,
                     "color": GREY}
        text = [format(value, ".0%" if as_percent else form) for value in v]
        # Beside an interval no number is readable; there it stands with the name.
        labels = [f"{name}: {said}" for name, said in zip(names, text)] if error else list(names)
        fig.add_bar(
            y=labels, x=v, orientation="h", name=group, marker={"color": COLORS[i % 7], "pattern": {"shape": PATTERNS[i % 7]}},
            error_x=error, text=None if error else text, textposition="outside", cliponaxis=False,
            hovertemplate="%{y}: %{x:.3g}<extra>%{fullData.name}</extra>",
        )
        ends = ["" if error is None else f" (from {a:.0%} to "
                                         f"{b:.0%})" for a, b in zip(np.asarray(low), np.asarray(high))] if error else [""] * len(v)
        told.append((f"{group}: " if len(groups) > 1 else "") + ", ".join(f"{n} {t}{e}" for n, t, e in zip(names, text, ends)))
    fig.update_yaxes(autorange="reversed")
    fig.update_layout(showlegend=len(groups) > 1)
    top = max(float(np.nanmax(np.asarray(v, dtype=float))) for v in groups.values())
    fig.update_xaxes(range=[0, 1.15 * max(top, 1e-9)])
    if as_percent:
        fig.update_xaxes(tickformat=".0%", tickvals=[0, 0.2, 0.4, 0.6, 0.8, 1.0], range=[0, 1.02 if low is not None else 1.09])
    return describe(fig, f"Bar chart, {value_title}. {'; '.join(told)}.")


# --- 2.2 and 2.3: the next token ------------------------------------------------------------------------------------------


def next_token_bars(
    tokens: Sequence[str], before: ArrayLike, after: ArrayLike | None = None, *, title: str = "What comes next?",
) -> CourseFigure:
    """Probabilities of the likeliest next tokens; with `after`, what temperature, top-k and top-p make of them.

    A token that was ruled out has 0 in `after`.
    """
    p = np.asarray(before, dtype=float)
    if p.shape != (len(tokens),) or not len(tokens):
        raise ValueError(f"{len(tokens)} tokens and probabilities of shape {p.shape}; give one each")
    labels = [f"{rank}. {_label(token)}" for rank, token in enumerate(tokens, 1)]
    fig = new_figure(title, "probability", "token", height=150 + 30 * len(tokens), barmode="group" if after is not None else "overlay",
                     bargap=0.25, subtitle="· is a space" if any(" " in t for t in tokens) else "")
    shown = [("the model's own" if after is not None else "probability", p, BLUE, "")]
    if after is not None:
        shown.append(("after the steps", np.asarray(after, dtype=float), ORANGE, "/"))
    for name, values, color, pattern in shown:
        fig.add_bar(y=labels, x=values, orientation="h", name=name, marker={"color": color, "pattern": {"shape": pattern}},
                    text=[f"{v:.1%}" if v else "out" for v in values], textposition="outside", cliponaxis=False,
                    hovertemplate="%{y}: %{x:.4f}<extra>%{fullData.name}</extra>")
    fig.update_yaxes(autorange="reversed")
    fig.update_xaxes(range=[0, min(1.15, 1.25 * max(float(v.max()) for _, v, _, _ in shown) + 0.02)], tickformat=".0%")
    fig.update_layout(showlegend=after is not None)
    listed = ", ".join(f"{t!r} {v:.1%}" for t, v in zip(tokens, p))
    changed = "" if after is None else " After the steps: " + ", ".join(
        f"{t!r} {v:.1%}" if v else f"{t!r} out" for t, v in zip(tokens, np.asarray(after, dtype=float))) + "."
    return describe(fig, f"Bar chart of the likeliest next tokens: {listed}.{changed}")


def _label(token: str) -> str:
    return escape(token).replace(" ", "·").replace("\n", "⏎") or "(part of a letter)"


def nucleus_strip(tokens: Sequence[str], sizes: ArrayLike, p: float, k: int) -> CourseFigure:
    """How many tokens the nucleus holds at each step of a text, on a logarithmic axis, beside a fixed k."""
    n = np.asarray(sizes, dtype=float)
    if n.shape != (len(tokens),) or not len(tokens):
        raise ValueError(f"{len(tokens)} tokens and sizes of shape {n.shape}; give one each")
    fig = new_figure(f"Size of the nucleus (p = {p:g}) along a text", "the token that came next (step)", "tokens in the nucleus",
                     subtitle=f"dotted: a fixed k = {k}", height=440)
    fig.add_bar(x=list(range(len(tokens))), y=n, marker={"color": [VERMILLION if v < k else BLUE for v in n],
                "pattern": {"shape": ["/" if v < k else "" for v in n]}}, customdata=[_label(t) for t in tokens],
                hovertemplate="before “%{customdata}”: %{y} tokens<extra></extra>", showlegend=False)
    fig.add_hline(y=k, line={"color": ORANGE, "dash": "dot"})
    fig.update_xaxes(tickvals=list(range(len(tokens))), ticktext=[_label(t) for t in tokens], tickangle=-60)
    fig.update_yaxes(type="log", dtick=1, tickformat=",")
    return describe(fig, f"Bars: tokens in the nucleus before each of {len(tokens)} tokens, from {int(n.min())} to {int(n.max())}, median "
                         f"{np.median(n):.0f}; {int((n < k).sum())} of the steps have fewer than k = {k} (hatched).")


# --- 2.5: alignment -------------------------------------------------------------------------------------------------------


def alignment_curves(run: Mapping[str, Any], ranges: Mapping[str, tuple[float, float]] | None = None) -> CourseFigure:
    """Reward, true preference and KL over the steps of one run.

    run : {"beta", "reward", "gold", "kl"}; ranges : {panel: (low, high)} fixes the axes, so that runs compare.
    """
    fig = CourseFigure(make_subplots(rows=1, cols=2, subplot_titles=("what is optimised, and what is wanted", "distance to the reference"),
                                     horizontal_spacing=0.12))
    fig.update_layout(template=TEMPLATE, height=430, margin={"t": 100, "b": 110}, legend=LEGEND_BELOW,
                      title_text=headline(f"Alignment with beta = {run['beta']:g}", "thin: every step; thick: mean of the last ten"))
    for i, (name, key, column) in enumerate((("reward model", "reward", 1), ("true preference", "gold", 1), ("KL", "kl", 2))):
        values = np.asarray(run[key], dtype=float)
        steps = np.arange(1, len(values) + 1)
        smooth = np.array([values[max(0, j - 9): j + 1].mean() for j in range(len(values))])
        fig.add_scatter(x=steps, y=values, mode="lines", line={"color": FAINT, "width": 1}, showlegend=False, hoverinfo="skip",
                        row=1, col=column)
        fig.add_scatter(x=steps, y=smooth, mode="lines", name=name, line={"color": COLORS[i], "dash": DASHES[i], "width": 3},
                        row=1, col=column, hovertemplate="step %{x}: %{y:.3f}<extra>" + name + "</extra>")
    fig.update_xaxes(title_text="step")
    fig.update_yaxes(title_text="score", row=1, col=1, range=None if ranges is None else ranges["score"])
    fig.update_yaxes(title_text="KL (nats a token)", row=1, col=2, range=None if ranges is None else ranges["kl"])
    last = {key: float(np.mean(run[key][-10:])) for key in ("reward", "gold", "kl")}
    first = {key: float(np.mean(run[key][:3])) for key in ("reward", "gold", "kl")}
    return describe(fig, f"With beta {run['beta']:g}, the reward model's score goes from {first['reward']:.2f} to {last['reward']:.2f}, "
                         f"the true "
                         f"preference from {first['gold']:.2f} to {last['gold']:.2f}, and the KL to the reference reaches "
                         f"{last['kl']:.2f} nats a token (means of the first three and the last ten steps).")


def alignment_summary(betas: Sequence[float], reward: Sequence[float], gold: Sequence[float], kl: ArrayLike) -> CourseFigure:
    """Where each beta ends: reward and true preference against the KL that was paid."""
    distance = np.asarray(kl, dtype=float)
    order = np.argsort(distance)
    fig = new_figure("More reward, and then less of what was wanted", "KL to the reference at the end (nats a token, log scale)", "score",
                     subtitle="one mark per beta")
    for i, (name, values) in enumerate((("reward model", reward), ("true preference", gold))):
        v = np.asarray(values, dtype=float)[order]
        fig.add_scatter(x=distance[order], y=v, mode="lines+markers", name=name, customdata=np.asarray(betas, dtype=float)[order],
                        marker={"symbol": SYMBOLS[i], "size": 11, "color": COLORS[i]},
                        line={"color": COLORS[i], "dash": DASHES[i]}, cliponaxis=False,
                        hovertemplate="β = %{customdata:g}, KL %{x:.3f}: %{y:.3f}<extra>" + name + "</extra>")
    # Above the higher mark of each place; runs that ended side by side share a label.
    groups: list[list[int]] = []
    for j in order:
        if groups and distance[j] < 1.08 * max(distance[groups[-1][0]], 1e-9):
            groups[-1].append(int(j))
        else:
            groups.append([int(j)])
    ends = np.concatenate([np.asarray(reward, dtype=float), np.asarray(gold, dtype=float)])
    room = 0.12 * float(np.ptp(ends)) or 1.0
    for group in groups:
        fig.add_annotation(x=float(np.log10(max(distance[group[0]], 1e-9))), y=float(max(max(reward[j], gold[j]) for j in group)),
                           text="β = " + ", ".join(f"{np.asarray(betas)[j]:g}" for j in group), showarrow=False, yshift=18)
    fig.update_yaxes(range=[float(ends.min()) - room, float(ends.max()) + 1.5 * room])
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]
    fig.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks])
    told = in_words(f"beta {np.asarray(betas)[j]:g}: KL {distance[j]:.2f}, reward {np.asarray(reward)[j]:.2f}, true preference "
                    f"{np.asarray(gold)[j]:.2f}" for j in order)
    return describe(fig, f"Two lines over the KL at the end of each run. {told}.")

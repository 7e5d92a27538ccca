"""The pictures of agents: a protocol's messages, thought/action/observation cards, success by fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aieng.figures.theme import BLUE, COLORS, GREEN, GREY, PATTERNS, VERMILLION, CourseFigure, describe, in_words, new_figure

STYLE = """<style>
.aieng-log,.aieng-trace{max-width:64em;font-family:var(--jp-ui-font-family,sans-serif);font-size:14px;line-height:1.5;
 color:var(--jp-ui-font-color1,#222)}
.aieng-log ol,.aieng-trace ol{list-style:none;margin:0;padding:0}
.aieng-log li{display:flex;gap:.8em;padding:.2em 0;border-bottom:1px solid var(--jp-border-color2,#ccc)}
.aieng-log b{flex:0 0 8.5em;border-left:5px solid;padding-left:.5em}
.aieng-log code,.aieng-trace code{overflow-wrap:anywhere;white-space:pre-wrap;background:none;
 color:inherit;font-family:var(--jp-code-font-family,monospace);font-size:12.5px}
.aieng-trace li{border:1px solid var(--jp-border-color1,#999);border-left-width:6px;border-radius:4px;margin:.35em 0;padding:.3em .8em}
.aieng-trace dl{display:grid;grid-template-columns:9em 1fr;gap:.1em .6em;margin:0}.aieng-trace dt{font-weight:bold;white-space:nowrap}
.aieng-trace dd{margin:0;overflow-wrap:anywhere}
</style>"""


@dataclass(frozen=True)
class MessageLog:
    """The lines of a protocol in order, with an arrow for each one's direction.

    lines : (sender, line); sender "client" or "server"
    """

    lines: Sequence[tuple[str, str]]
    title: str = "Messages"

    def html(self) -> str:
        rows = "".join(f'<li><b style="border-color:{BLUE if sender == "client" else VERMILLION}">{_arrow(sender)}</b>'
                       f"<code>{escape(line)}</code></li>" for sender, line in self.lines)
        return f'{STYLE}<div class="aieng-log" role="group" aria-label="{escape(self.title, quote=True)}"><ol>{rows}</ol></div>'

    def plain(self) -> str:
        return "\n".join([self.title, *(f"{_arrow(sender)} {line}" for sender, line in self.lines)])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.plain()}


def _arrow(sender: str) -> str:
    return "client → server" if sender == "client" else "server → client"


@dataclass(frozen=True)
class AgentTrace:
    """The steps of an agent's run as cards, up to one of them.

    steps : (thought, action, observation), texts
    status : how the run ended
    shown : how many cards; None for all
    """

    steps: Sequence[tuple[str, str, str]]
    status: str = ""
    shown: int | None = None
    title: str = "The agent's run"

    def html(self) -> str:
        count = len(self.steps) if self.shown is None else self.shown
        cards = "".join(_card(n, *step) for n, step in enumerate(self.steps[:count], 1))
        left = len(self.steps) - count
        end = f"{left} more" if left else f"end: {self.status}" if self.status else ""
        return (f'{STYLE}<div class="aieng-trace" role="group" aria-label="{escape(self.title, quote=True)}"><ol>{cards}</ol>'
                f"<p>{escape(end)}</p></div>")

    def plain(self) -> str:
        count = len(self.steps) if self.shown is None else self.shown
        lines = [f"{self.title}: {count} of {len(self.steps)} steps"]
        for n, (thought, action, observation) in enumerate(self.steps[:count], 1):
            lines += [f"{n}. Thought: {thought}", f"   Action: {action or '(none could be read)'}", f"   Observation: {observation}"]
        return "\n".join([*lines, f"end: {self.status}"] if self.status and count == len(self.steps) else lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.plain()}


def _card(number: int, thought: str, action: str, observation: str) -> str:
    wrong = observation.startswith("Error:")
    rows = (("Thought", escape(thought)), ("Action", f"<code>{escape(action)}</code>" if action else "<i>none could be read</i>"),
            ("✗ Observation" if wrong else "Observation", f"<code>{escape(observation)}</code>" if observation else "<i>none: the end</i>"))
    body = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows)
    colour = VERMILLION if wrong else GREEN if not observation else BLUE
    return f'<li style="border-left-color:{colour}" aria-label="step {number}"><dl>{body}</dl></li>'


def success_bars(title: str, names: Sequence[str], groups: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]], *, subtitle: str = "",
                 x_title: str = "share of runs solved (95 % interval)") -> CourseFigure:
    """Shares by name, one bar a group, with intervals.

    Parameters
    ----------
    names : what the bars stand for, from top to bottom
    groups : {legend name: (share, low, high)}, one value per name each
    """
    if not groups or not names:
        raise ValueError("names or groups is empty; give at least one bar")
    fig = new_figure(title, x_title, None, subtitle=subtitle, height=160 + 30 * len(names) * len(groups), bargap=0.28)
    told = []
    for i, (group, values) in enumerate(groups.items()):
        share, low, high = (np.asarray(v, dtype=float) for v in values)
        if not share.shape == low.shape == high.shape == (len(names),):
            raise ValueError(f"group {group!r} has {share.shape} shares and {low.shape}, {high.shape} ends for {len(names)} names")
        fig.add_bar(
            y=list(names), x=share, orientation="h", name=group,
            # Drawn over the colour, so that the share written inside stays readable.
            marker={"color": COLORS[i % 7], "pattern": {"shape": PATTERNS[i % 7], "fillmode": "overlay", "fgopacity": 0.35, "size": 7}},
            error_x={"type": "data", "symmetric": False, "array": high - share, "arrayminus": share - low, "thickness": 2,
                     "color": GREY},
            text=[f"{s:.0%}" for s in share], textposition="inside", insidetextanchor="start",
            hovertemplate="%{y}: %{x:.0%}<extra>%{fullData.name}</extra>")
        told.append(f"{group}: " + in_words(f"{n} {s:.0%} (from {a:.0%} to {b:.0%})" for n, s, a, b in zip(names, share, low, high)))
    fig.update_yaxes(autorange="reversed")
    fig.update_xaxes(range=[0, 1], tickformat=".0%")
    fig.update_layout(showlegend=len(groups) > 1, legend={"traceorder": "normal"})
    return describe(fig, f"Bar chart, {x_title}. {'; '.join(told)}.")

"""Pictures of 6.3 and 6.4: what a mask forced, shares with their intervals, solved puzzles against model calls, and a tree of thoughts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from aieng.figures.theme import (
    BLUE,
    COLORS,
    DASHES,
    FAINT,
    GREEN,
    GREY,
    LEGEND_BELOW,
    ORANGE,
    PATTERNS,
    SYMBOLS,
    VERMILLION,
    CourseFigure,
    describe,
    new_figure,
)

Share = tuple[float, float, float]  # share, low end and high end of its interval


# --- 6.3: decoding under a mask ---------------------------------------------------------------------------------------------


def mask_bars(tokens: Sequence[str], mass: Sequence[float], permitted: Sequence[int], vocab_size: int) -> CourseFigure:
    """For each token of a constrained text: the share of the model's probability that lay on permitted tokens.

    Parameters
    ----------
    tokens : the generated tokens
    mass : probability of all permitted tokens together before masking, 0 … 1
    permitted : how many tokens were permitted
    """
    if not tokens or not len(tokens) == len(mass) == len(permitted):
        raise ValueError(f"{len(tokens)} tokens, {len(mass)} shares and {len(permitted)} counts; give one of each a token")
    fig = new_figure(
        "How much of what the model wanted was permitted?",
        "the token that was written (step)",
        "model's probability on permitted tokens",
        subtitle="hatched: less than half, so the mask decided",
        height=460,
    )
    forced = [m < 0.5 for m in mass]
    # A bar of no height would not be seen at all.
    fig.add_bar(
        x=list(range(len(tokens))),
        y=[max(m, 0.005) for m in mass],
        showlegend=False,
        marker={"color": [VERMILLION if f else BLUE for f in forced], "pattern": {"shape": ["/" if f else "" for f in forced]}},
        customdata=[[_token(t), f"{n:,}", f"{m:.2%}"] for t, n, m in zip(tokens, permitted, mass)],
        hovertemplate="“%{customdata[0]}”: %{customdata[1]} of "
        + f"{vocab_size:,}"
        + " tokens permitted, with %{customdata[2]} of the probability"
        "<extra></extra>",
    )
    fig.update_xaxes(tickvals=list(range(len(tokens))), ticktext=[_token(t) for t in tokens], tickangle=-60)
    fig.update_yaxes(range=[0, 1.05], tickformat=".0%")
    told = ", ".join(f"{t!r} {m:.0%}" for t, m in zip(tokens, mass))
    return describe(
        fig,
        f"Bars: at {sum(forced)} of {len(tokens)} tokens less than half of the model's probability lay on permitted tokens. The text is "
        f"{''.join(tokens)!r}. Token by token: {told}.",
    )


def _token(text: str) -> str:
    return escape(text[:14], quote=False).replace(" ", "·").replace("\n", "⏎") or "(part of a letter)"


def outcome_bars(title: str, rows: Mapping[str, Mapping[str, int]], what: str) -> CourseFigure:
    """One stacked bar a row: how many of its cases ended in which way.

    rows : row -> {outcome: number}; what : what is counted, such as "calls"
    """
    if not rows:
        raise ValueError("rows is empty; give at least one row of {outcome: number}")
    outcomes = list(dict.fromkeys(o for row in rows.values() for o in row))
    names = list(rows)
    fig = new_figure(title, what, None, height=190 + 60 * len(rows), barmode="stack", bargap=0.35, legend=LEGEND_BELOW, margin_b=110)
    for i, outcome in enumerate(outcomes):
        counts = [rows[name].get(outcome, 0) for name in names]
        fig.add_bar(
            y=names,
            x=counts,
            orientation="h",
            name=outcome,
            marker={"color": COLORS[i % 7], "pattern": {"shape": PATTERNS[i % 7]}},
            hovertemplate=f"%{{y}}: %{{x:,}} {outcome}<extra></extra>",
        )
    fig.update_yaxes(autorange="reversed")
    told = "; ".join(f"{name}: " + ", ".join(f"{n} {o}" for o, n in row.items() if n) for name, row in rows.items())
    return describe(fig, f"Stacked bars of {what}. {told}.")


def interval_dots(
    title: str,
    x: str,
    names: Sequence[str],
    groups: Mapping[str, Sequence[Share]],
    *,
    subtitle: str = "95 % intervals",
    chance: float | None = None,
) -> CourseFigure:
    """Shares with their intervals: a row a name, in it one mark a group.

    Parameters
    ----------
    groups : {legend name: (share, low, high) for each name}
    chance : share that guessing would reach, drawn as a line
    """
    if not groups or any(len(rows) != len(names) for rows in groups.values()):
        raise ValueError(f"groups needs at least one group, each with {len(names)} shares, one for each name")
    fig = new_figure(
        title,
        x,
        None,
        subtitle=subtitle,
        height=190 + (26 * len(groups) + 22) * len(names),
        legend=LEGEND_BELOW,
        margin_b=120,
        margin_l=150,
    )
    step = 0.7 / max(len(groups), 1)
    for i, (group, rows) in enumerate(groups.items()):
        places = [k + step * (i - (len(groups) - 1) / 2) for k in range(len(names))]
        fig.add_scatter(
            x=[s for s, _, _ in rows],
            y=places,
            mode="markers+text",
            name=group,
            text=[f"{s:.0%}" for s, _, _ in rows],
            textposition="top center",
            textfont={"size": 11},
            marker={"size": 10, "symbol": SYMBOLS[i % 7], "color": COLORS[i % 7]},
            customdata=[[n, lo, hi] for n, (_, lo, hi) in zip(names, rows)],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [hi - s for s, _, hi in rows],
                "arrayminus": [s - lo for s, lo, _ in rows],
                "thickness": 2,
            },
            hovertemplate="%{customdata[0]}: %{x:.0%} (%{customdata[1]:.0%} to %{customdata[2]:.0%})<extra>%{fullData.name}</extra>",
        )
    fig.update_yaxes(tickvals=list(range(len(names))), ticktext=list(names), range=[len(names) - 0.45, -0.6], zeroline=False)
    fig.update_xaxes(range=[-0.02, 1.04], tickformat=".0%")
    if chance is not None:
        fig.add_vline(x=chance, line={"color": GREY, "dash": "dot"}, annotation_text="guessing", annotation_position="top")
    told = "; ".join(
        f"{g}: " + ", ".join(f"{n} {s:.0%} (from {lo:.0%} to {hi:.0%})" for n, (s, lo, hi) in zip(names, rows))
        for g, rows in groups.items()
    )
    return describe(fig, f"Marks with 95 % intervals, {x}. {told}.")


# --- 6.4: search ------------------------------------------------------------------------------------------------------------


def solved_curves(series: Mapping[str, Sequence[tuple[str, float, Share]]], puzzles: int) -> CourseFigure:
    """Solved share against model calls a puzzle, a line for each way to search.

    series : way -> [(setting such as "n = 4", mean calls, (share, low, high))], fewest calls first
    """
    if not series:
        raise ValueError("series is empty; give at least one way to search with its points")
    fig = new_figure(
        f"What do more model calls buy? ({puzzles} puzzles)",
        "model calls a puzzle, mean (log scale)",
        "puzzles solved (95 % interval)",
        legend=LEGEND_BELOW,
        margin_b=120,
        height=500,
    )
    for i, (name, points) in enumerate(series.items()):
        fig.add_scatter(
            x=[calls for _, calls, _ in points],
            y=[s for _, _, (s, _, _) in points],
            name=name,
            mode="lines+markers+text",
            text=[label for label, _, _ in points],
            textposition=("bottom right", "bottom right", "top left", "bottom left")[i % 4],
            textfont={"size": 11},
            line={"color": COLORS[i % 7], "dash": DASHES[i % 7]},
            marker={"symbol": SYMBOLS[i % 7], "size": 9},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [hi - s for _, _, (s, _, hi) in points],
                "arrayminus": [s - lo for _, _, (s, lo, _) in points],
                "thickness": 1,
            },
            hovertemplate="%{text}: %{y:.0%} solved with %{x:.1f} calls<extra>" + name + "</extra>",
        )
    fig.update_xaxes(type="log", tickformat="~s", dtick="D2")
    fig.update_yaxes(range=[0, 1.12], tickformat=".0%")
    told = "; ".join(
        f"{name}: " + ", ".join(f"{label} {s:.0%} with {calls:.0f} calls" for label, calls, (s, _, _) in points)
        for name, points in series.items()
    )
    return describe(fig, f"Solved share against model calls a puzzle, {puzzles} puzzles. {told}.")


@dataclass(frozen=True)
class Thought:
    """A state of a search tree: what it looks like, where it hangs, what it was valued, when it was made and followed (steps from 1)."""

    label: str
    how: str  # the step that leads to it
    parent: int  # -1 for the root
    depth: int
    made_at: int
    value: float | None = None
    followed_at: int | None = None
    goal: bool = False
    on_path: bool = False  # of the answer


def search_tree(thoughts: Sequence[Thought], step: int, title: str, depths: Sequence[str]) -> CourseFigure:
    """The tree as it stands after `step` states were followed; it grows to the right, the best valued thought of a state on top.

    Parameters
    ----------
    thoughts : the root first, each after its parent
    depths : what each column holds, such as "3 numbers"
    """
    if not thoughts:
        raise ValueError("thoughts is empty; a tree has at least its root")
    y = _rows(thoughts)
    last = max((t.followed_at or 0 for t in thoughts), default=0)
    here = [i for i, t in enumerate(thoughts) if t.made_at <= step]
    current = next((i for i in here if thoughts[i].followed_at == step), None)
    goal = next((i for i in here if thoughts[i].goal), None)
    fig = new_figure(
        title,
        "numbers left",
        None,
        height=max(330, 150 + 13 * (int(max(y)) + 1)),
        legend=LEGEND_BELOW,
        margin_b=110,
        margin_l=24,
        margin_r=110,
        subtitle=f"step {step} of {last}",
    )
    for name, mine, line in (
        ("", lambda i: True, {"color": FAINT, "width": 1}),
        ("the answer", lambda i: goal is not None and thoughts[i].on_path, {"color": GREEN, "width": 4}),
    ):
        xs: list[float | None] = []
        ys: list[float | None] = []
        for i in here:
            t = thoughts[i]
            if t.parent >= 0 and mine(i):
                xs += [thoughts[t.parent].depth, t.depth, None]
                ys += [y[t.parent], y[i], None]
        fig.add_scatter(x=xs, y=ys, mode="lines", line=line, name=name, showlegend=bool(name), hoverinfo="skip")
    followed = [i for i in here if 0 < (thoughts[i].followed_at or 0) < step]
    waiting = [i for i in here if i not in followed and i not in (current, goal) and (thoughts[i].followed_at or 0) > step]
    pruned = [i for i in here if i not in followed and i not in (current, goal) and thoughts[i].followed_at is None]
    for name, rows, marker, labelled in (
        ("left out", pruned, {"symbol": "x-thin", "size": 7, "line": {"width": 2, "color": GREY}}, False),
        ("waits", waiting, {"symbol": "circle-open", "size": 10, "color": ORANGE, "line": {"width": 2}}, True),
        ("followed", followed, {"symbol": "circle", "size": 10, "color": BLUE}, True),
        ("followed now", [] if current is None else [current], {"symbol": "diamond", "size": 14, "color": VERMILLION}, True),
        ("24", [] if goal is None else [goal], {"symbol": "star", "size": 16, "color": GREEN}, True),
    ):
        shown = [thoughts[i] for i in rows]
        fig.add_scatter(
            x=[t.depth for t in shown],
            y=[y[i] for i in rows],
            mode="markers+text" if labelled else "markers",
            name=name,
            marker=marker,
            text=[f"{t.label}{'' if t.value is None else f' · {t.value:.2f}'}" for t in shown],
            textposition=["middle left" if not t.depth else "middle right" if t.goal else "top center" for t in shown],
            textfont={"size": 11},
            cliponaxis=False,
            customdata=[[t.how or "start", t.label, "not valued" if t.value is None else f"valued {t.value:.2f}"] for t in shown],
            hovertemplate="%{customdata[0]} leaves %{customdata[1]}: %{customdata[2]}<extra>" + name + "</extra>",
        )
    fig.update_xaxes(
        tickvals=list(range(len(depths))), ticktext=list(depths), range=[-0.35, len(depths) - 1 + 0.2], showgrid=False, zeroline=False
    )
    fig.update_yaxes(visible=False, range=[max(y) + 0.8, -0.8])
    return describe(fig, _told(thoughts, here, step, last, current, goal, len(pruned)))


def _told(
    thoughts: Sequence[Thought], here: Sequence[int], step: int, last: int, current: int | None, goal: int | None, pruned: int
) -> str:
    if current is None:
        return f"Step {step} of {last}: a tree of {len(here)} states; nothing is followed yet."
    made = [thoughts[i] for i in here if thoughts[i].parent == current]
    valued = sorted((t for t in made if t.value is not None), key=lambda t: -(t.value or 0))
    best = f", the best of them {valued[0].label} ({valued[0].how}), valued {valued[0].value:.2f}" if valued else ""
    t = thoughts[current]
    text = (
        f"Step {step} of {last}: {t.label}{'' if t.value is None else f', valued {t.value:.2f},'} is followed and gives {len(made)} new "
        f"thoughts{best}. "
        f"{len(here)} states so far, {pruned} of them never followed."
    )
    if goal is not None:
        text += " Solved: " + ", then ".join(t.how for t in thoughts if t.on_path and t.how) + "."
    return text


def _rows(thoughts: Sequence[Thought]) -> list[float]:
    """A row for each state: leaves one below the other, a parent in the middle of its children."""
    children: dict[int, list[int]] = {}
    for i, t in enumerate(thoughts):
        children.setdefault(t.parent, []).append(i)
    rows = [0.0] * len(thoughts)
    count = 0

    def best_first(i: int) -> tuple[bool, float]:
        value = thoughts[i].value
        return not thoughts[i].goal, 1.0 if value is None else -value

    def place(i: int) -> float:
        nonlocal count
        below = sorted(children.get(i, ()), key=best_first)
        if below:
            at = [place(c) for c in below]
            rows[i] = (at[0] + at[-1]) / 2
        else:
            rows[i] = float(count)
            count += 1
        return rows[i]

    for root in children.get(-1, ()):
        place(root)
    return rows

"""The pictures of 4.1 and 4.2: blocks by owner, memory in use over time, what sharing saves, and who sits in which place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from aieng.figures.theme import (
    COLORS,
    DASHES,
    FAINT,
    GREY,
    LEGEND_BELOW,
    PATTERNS,
    TEMPLATE,
    CourseFigure,
    describe,
    headline,
    in_words,
    new_figure,
)


def block_pool(
    contents: Sequence[Sequence[str]], holders: Sequence[Sequence[int]], tables: Mapping[str, Sequence[int]], block_size: int, *,
    did: str = "", columns: int = 8, max_tables: int = 6,
) -> CourseFigure:
    """A pool of blocks, each a row of slots in the colour of the table that holds it.

    Parameters
    ----------
    contents : for each block, the texts in its filled slots
    holders : for each block, the numbers of the tables that hold it; 0 is the first table
    tables : name -> its blocks in order
    did : what happened last
    columns : blocks in a row of the picture
    max_tables : how many tables the picture has room for, so that it keeps its traces
    """
    if len(contents) != len(holders):
        raise ValueError(f"{len(contents)} blocks with contents, {len(holders)} with holders; give both for each block")
    if len(tables) > max_tables:
        raise ValueError(f"{len(tables)} tables; the picture has room for {max_tables}")
    rows = -(-len(contents) // columns)
    fig = new_figure("Physical blocks", height=190 + 92 * rows, subtitle=did or "nothing happened yet", legend=LEGEND_BELOW, margin_b=90)
    groups: dict[str, tuple[list[float | None], list[float | None], list[str], list[str]]] = {}
    for name in ("free", "empty slot", "shared", *(f"table {i}" for i in range(max_tables))):
        groups[name] = ([], [], [], [])
    width, gap = 1.0, 0.9
    for block, (filled, owners) in enumerate(zip(contents, holders)):
        left = (block % columns) * (block_size * width + gap)
        up = -(block // columns) * 1.9
        for slot in range(block_size):
            kind = "empty slot" if slot >= len(filled) else "shared" if len(owners) > 1 else f"table {owners[0]}" if owners else ""
            name = kind if owners else "free"
            x, y, texts, hover = groups[name]
            x.append(left + slot * width)
            y.append(up)
            texts.append(filled[slot] if slot < len(filled) and owners else "")
            held = f"held by {in_words(f'table {i}' for i in owners)}" if owners else "free"
            hover.append(f"block {block}, slot {slot}: {held}")
    symbols = {"free": "square-open", "empty slot": "square-open-dot", "shared": "diamond"}
    colors = {"free": FAINT, "empty slot": GREY, "shared": GREY}
    names = list(tables)
    for i, (name, (x, y, texts, hover)) in enumerate(groups.items()):
        index = i - 3
        shown = name if index < 0 else f"table {names[index]}" if index < len(names) else name
        fig.add_scatter(
            x=x or [None], y=y or [None], mode="markers+text", text=texts or [""], customdata=hover or [""],
            name=shown, showlegend=index < len(names), textposition="bottom center", textfont={"size": 11},
            marker={"size": 17,
                    "symbol": symbols.get(name, ("square", "circle", "triangle-up", "cross", "x", "star")[index % 6]),
                    "color": colors.get(name, COLORS[index % 6]),
                    "line": {"width": 1.5, "color": COLORS[6 if index < 0 else index % 6]}},
            hovertemplate="%{customdata}<extra></extra>")
    for block in range(len(contents)):
        fig.add_annotation(x=(block % columns) * (block_size * width + gap) + (block_size - 1) / 2, y=-(block // columns) * 1.9 + 0.62,
                           text=f"block {block} · {len(holders[block])}", showarrow=False, font={"size": 12, "color": GREY})
    span = columns * (block_size + gap)
    fig.update_xaxes(visible=False, range=[-1, span])
    fig.update_yaxes(visible=False, range=[-(rows - 1) * 1.9 - 1.0, 1.0])
    free = sum(not h for h in holders)
    shared = sum(len(h) > 1 for h in holders)
    waste = sum(block_size - len(c) for c, h in zip(contents, holders) if h)
    listed = "; ".join(f"table {name}: blocks {list(blocks)}" for name, blocks in tables.items()) or "no table"
    return describe(fig, f"{did + '. ' if did else ''}A pool of {len(contents)} blocks of {block_size} tokens: {free} free, {shared} "
                         f"shared, {waste} empty slot{'s' * (waste != 1)} in blocks that are taken. The number behind a block's own is "
                         f"that of its holders. {listed}.")


def utilisation_over_time(shares: Mapping[str, ArrayLike], running: Mapping[str, float]) -> CourseFigure:
    """Share of the memory that holds tokens, step by step, while requests wait; `running`: mean requests at a time."""
    if not shares or shares.keys() != running.keys():
        raise ValueError(f"shares of {list(shares)}, running of {list(running)}: give both for the same policies")
    fig = new_figure("How much of the cache holds tokens", "step (one token for every running request)",
                     "share of the memory that holds tokens",
                     subtitle="while requests are waiting; a line ends when the last one got its place", height=460, legend=LEGEND_BELOW,
                     margin_b=120)
    told = []
    for i, (name, values) in enumerate(shares.items()):
        y = np.asarray(values, dtype=float)
        step = max(1, len(y) // 400)
        mean = float(y.mean()) if len(y) else 0.0
        fig.add_scatter(x=np.arange(len(y))[::step], y=y[::step], mode="lines", line={"color": COLORS[i], "dash": DASHES[i], "width": 2},
                        name=f"{name}: mean {mean:.0%}, {running[name]:.0f} requests at a time",
                        hovertemplate="step %{x:,}: %{y:.1%}<extra>" + name + "</extra>")
        told.append(f"{name}: mean {mean:.1%} over {len(y):,} steps, {running[name]:.0f} requests at a time")
    fig.update_yaxes(range=[0, 1.02], tickformat=".0%")
    return describe(fig, f"Line chart of the share of the memory that holds tokens. {'; '.join(told)}.")


def sharing_bars(megabytes: Mapping[str, tuple[float, float]]) -> CourseFigure:
    """{case: (megabytes with sharing, megabytes without)}, one pair of bars each."""
    if not megabytes:
        raise ValueError("no case; give at least one {name: (with sharing, without)}")
    fig = new_figure("What sharing blocks saves", "cache (MB)", height=150 + 90 * len(megabytes), barmode="group", bargap=0.35,
                     legend=LEGEND_BELOW, margin_b=110, margin_l=230)
    labels = [name.replace(", ", ",<br>", 1) for name in megabytes]
    told = []
    for i, name in enumerate(("shared", "each its own")):
        values = [pair[i] for pair in megabytes.values()]
        fig.add_bar(y=labels, x=values, orientation="h", name=name, text=[f"{v:.3g} MB" for v in values], textposition="outside",
                    cliponaxis=False, marker={"color": COLORS[i], "pattern": {"shape": PATTERNS[i]}},
                    hovertemplate="%{x:.3g} MB<extra>%{fullData.name}</extra>")
    for name, (together, alone) in megabytes.items():
        told.append(f"{name}: {together:.3g} MB shared, {alone:.3g} MB apart")
    fig.update_xaxes(range=[0, 1.2 * max(b for _, b in megabytes.values())])
    fig.update_yaxes(autorange="reversed")
    return describe(fig, f"Bar chart of the memory for cached keys and values. {'; '.join(told)}.")


def places_timeline(schedules: Mapping[str, Sequence[Sequence[int]]]) -> CourseFigure:
    """Who holds which place, step by step.

    Parameters
    ----------
    schedules : name -> (places, steps) of request numbers from 1; 0 is an empty place, a negative number one that is done and waits
    """
    if not schedules:
        raise ValueError("no schedule; give at least one {name: rows of request numbers}")
    fig = CourseFigure(make_subplots(len(schedules), 1, shared_xaxes=True, vertical_spacing=0.16, subplot_titles=list(schedules)))
    longest = max(len(row) for rows in schedules.values() for row in rows)
    told = []
    for panel, (name, rows) in enumerate(schedules.items(), 1):
        used = idle = 0
        for place, row in enumerate(rows, 1):
            start = 0
            while start < len(row):
                stop = start
                while stop < len(row) and row[stop] == row[start]:
                    stop += 1
                request = row[start]
                busy = request > 0
                used += (stop - start) * busy
                idle += (stop - start) * (not busy)
                color = COLORS[(request - 1) % 6] if busy else "rgba(128,128,128,0.18)"
                fig.add_bar(x=[stop - start], base=[start], y=[f"place {place}"], orientation="h", row=panel, col=1, showlegend=False,
                            marker={"color": color, "pattern": {"shape": "" if busy else "x", "fgcolor": GREY},
                                    "line": {"width": 1, "color": GREY}},
                            text=[str(request)] if busy and stop - start > longest / 60 else None, textposition="inside",
                            insidetextanchor="middle", textangle=0,
                            hovertemplate=(f"request {request}: {stop - start} steps" if busy else f"{stop - start} steps for nothing")
                            + "<extra></extra>")
                start = stop
        steps = max(len(row) for row in rows)
        told.append(f"{name}: {steps} steps, {used / max(1, used + idle):.0%} of the places busy")
    fig.update_layout(template=TEMPLATE, barmode="stack", height=150 + 190 * len(schedules), bargap=0.25, margin={"t": 96},
                      title_text=headline("Who sits in which place", "a number is a request; crossed out: padding, or an empty place"))
    fig.update_annotations(font={"size": 14})
    fig.update_xaxes(range=[0, longest], title_text="")
    fig.update_xaxes(title_text="step (one token for every running request)", row=len(schedules), col=1)
    fig.update_yaxes(autorange="reversed", showgrid=False)
    return describe(fig, f"Timelines of the places of a batch. {'; '.join(told)}.")

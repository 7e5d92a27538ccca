"""The pictures of section 03: tables of positions, turning hands, one head at work, a cache that fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray
from plotly.subplots import make_subplots

from aieng.figures.theme import BLUE, FAINT, GREY, ORANGE, TEMPLATE, VERMILLION, CourseFigure, describe, headline, in_words, new_figure

# From blue over grey to vermillion; the middle is visible on a white and on a dark page.
DIVERGING = [[0.0, "#0072B2"], [0.25, "#6FA8CF"], [0.5, "#B9B9B9"], [0.75, "#E39A66"], [1.0, "#D55E00"]]


def _label(token: str) -> str:
    return escape(token).replace(" ", "·").replace("\n", "⏎") or "(part of a letter)"


def position_heat_map(table: ArrayLike) -> CourseFigure:
    """Position vectors (n, dim) as colours: a row for each position."""
    values = np.asarray(table, dtype=float)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"table has shape {values.shape}; expected (positions, features), not empty")
    fig = new_figure("Position vectors", "feature", "position", height=520, subtitle="even features are sines, odd ones cosines")
    fig.add_heatmap(z=values, colorscale=DIVERGING, zmid=0, colorbar={"title": {"text": "value", "side": "right"}},
                    hovertemplate="position %{y}, feature %{x}: %{z:.2f}<extra></extra>")
    fig.update_yaxes(autorange="reversed")
    turns = [int((np.diff(np.signbit(values[:, c])) != 0).sum()) for c in (0, values.shape[1] - 2)]
    return describe(fig, f"Heat map of {values.shape[0]} position vectors of {values.shape[1]} numbers. The first feature changes its sign "
                         f"{turns[0]} times, the last sine {turns[1]} times: fast waves left, slow ones right.")


def similarity_maps(tables: Mapping[str, ArrayLike]) -> CourseFigure:
    """Cosine between any two positions, one panel per table {name: (n, n)}."""
    names = list(tables)
    fig = CourseFigure(make_subplots(rows=1, cols=len(names), subplot_titles=names, horizontal_spacing=0.12))
    fig.update_layout(template=TEMPLATE, height=470, margin={"t": 100},
                      title_text=headline("How alike two positions are", "cosine of their vectors"))
    told = []
    for i, name in enumerate(names, 1):
        z = np.asarray(tables[name], dtype=float)
        fig.add_heatmap(z=z, zmin=-1, zmax=1, colorscale=DIVERGING, showscale=i == len(names), row=1, col=i,
                        colorbar={"title": {"text": "cosine", "side": "right"}},
                        hovertemplate="positions %{y} and %{x}: %{z:.2f}<extra></extra>")
        fig.update_xaxes(title_text="position", row=1, col=i)
        fig.update_yaxes(title_text="position" if i == 1 else None, autorange="reversed", row=1, col=i)
        far = min(64, len(z) - 1)
        told.append(f"{name}: neighbours {np.diagonal(z, 1).mean():.2f}, {far} positions apart {np.diagonal(z, far).mean():.2f}")
    return describe(fig, f"Heat maps of the mean cosine between two positions. {'; '.join(told)}.")


def rope_dials(queries: ArrayLike, keys: ArrayLike, pairs: Sequence[int], query_position: int, key_position: int, score: float, *,
               highest: float) -> CourseFigure:
    """Pairs of a query and a key as hands of clocks.

    Parameters
    ----------
    queries, keys : (number of pairs, 2), where the hands point
    pairs : which pair each dial shows
    query_position, key_position : where the two tokens stand
    score : q · k over all pairs; `highest` is what it is at distance 0
    """
    q, k = np.asarray(queries, dtype=float), np.asarray(keys, dtype=float)
    if q.shape != (len(pairs), 2) or k.shape != q.shape:
        raise ValueError(f"queries {q.shape} and keys {k.shape}; expected ({len(pairs)}, 2) each")
    turn = np.linspace(0, 2 * np.pi, 73)
    angles = [float(np.degrees(np.arctan2(*(_cross_dot(a, b))))) for a, b in zip(q, k)]
    fig = CourseFigure(make_subplots(rows=1, cols=len(pairs), horizontal_spacing=0.02,
                                     subplot_titles=[_dial_title(p, a) for p, a in zip(pairs, angles)]))
    for i, (a, b) in enumerate(zip(q, k), 1):
        fig.add_scatter(x=np.cos(turn), y=np.sin(turn), mode="lines", line={"color": FAINT}, hoverinfo="skip", showlegend=False, row=1,
                        col=i)
        for name, hand, color, symbol, dash in (("query", a, BLUE, "circle", "solid"), ("key", b, VERMILLION, "square", "dash")):
            fig.add_scatter(x=[0, hand[0]], y=[0, hand[1]], mode="lines+markers", name=name, showlegend=i == 1, legendgroup=name,
                            line={"color": color, "width": 4, "dash": dash}, marker={"size": [0, 13], "symbol": symbol, "color": color},
                            hovertemplate=f"{name}: (%{{x:.2f}}, %{{y:.2f}})<extra></extra>", row=1, col=i)
        fig.update_xaxes(range=[-1.2, 1.2], visible=False, row=1, col=i)
        fig.update_yaxes(range=[-1.2, 1.2], visible=False, scaleanchor=f"x{i if i > 1 else ''}", row=1, col=i)
    distance = query_position - key_position
    fig.update_layout(template=TEMPLATE, height=340, margin={"t": 116, "b": 50, "l": 10, "r": 10},
                      legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
                      title_text=headline(f"Query at {query_position}, key at {key_position}: distance {distance}",
                                          f"q · k over all pairs is {score:.2f}; at distance 0 it is {highest:.2f}"))
    listed = in_words(f"pair {p} by {a:.0f}°" for p, a in zip(pairs, angles))
    return describe(fig, f"Dials with two hands each. Query at position {query_position}, key at {key_position}. The query is ahead of the "
                         f"key in {listed}. Only the distance, {distance}, decides these angles; q · k is {score:.2f}.")


def _cross_dot(q: NDArray[np.float64], k: NDArray[np.float64]) -> tuple[float, float]:
    """Sine and cosine of the angle from key to query, up to a factor."""
    return float(k[0] * q[1] - k[1] * q[0]), float(q @ k)


def _dial_title(pair: int, angle: float) -> str:
    return f"pair {pair}<br>{angle:.0f}° between".replace("-", "−")


def attention_steps(
    tokens: Sequence[str], scores: ArrayLike, weights: ArrayLike, values: ArrayLike, query: int, *, head: str,
) -> CourseFigure:
    """One query of one head: scores against the keys it may see, weights, and the values it mixes.

    Parameters
    ----------
    tokens : n texts
    scores, weights : (n,), NaN or 0 where the query may not look
    values : (n, head_dim)
    query : which token asks
    head : what the head is called, such as "layer 3, head 2"
    """
    s, w, v = (np.asarray(part, dtype=float) for part in (scores, weights, values))
    n = len(tokens)
    if s.shape != (n,) or w.shape != (n,) or v.ndim != 2 or len(v) != n:
        raise ValueError(f"{n} tokens, scores {s.shape}, weights {w.shape}, values {v.shape}: one of each per token")
    labels = [f"{i} {_label(t)}" for i, t in enumerate(tokens)]
    visible = np.arange(n) <= query
    mixed = np.where(visible[:, None], w[:, None] * v, np.nan)
    out = np.nansum(mixed, axis=0)
    fig = CourseFigure(make_subplots(
        rows=3, cols=2, shared_xaxes="columns", column_widths=[0.92, 0.08], row_heights=[0.27, 0.27, 0.46], vertical_spacing=0.08,
        horizontal_spacing=0.03, specs=[[{}, None], [{}, None], [{}, {}]],
        subplot_titles=["q · k / √d", "softmax: weights", "weight · value, and their sum on the right"]))
    fig.add_bar(x=labels, y=np.where(visible, s, np.nan), marker={"color": BLUE}, showlegend=False, row=1, col=1,
                hovertemplate="%{x}: score %{y:.2f}<extra></extra>")
    fig.add_bar(x=labels, y=np.where(visible, w, np.nan), marker={"color": ORANGE, "pattern": {"shape": "/"}}, showlegend=False, row=2,
                col=1, hovertemplate="%{x}: weight %{y:.1%}<extra></extra>")
    limit = float(np.abs(out).max()) or 1.0
    look = {"colorscale": DIVERGING, "zmin": -limit, "zmax": limit}
    fig.add_heatmap(x=labels, z=mixed.T, showscale=False, row=3, col=1, hovertemplate="%{x}, feature %{y}: %{z:.3f}<extra></extra>", **look)
    fig.add_heatmap(x=["sum"], z=out[:, None], colorbar={"title": {"text": "value", "side": "right"}, "len": 0.5, "y": 0.2}, row=3, col=2,
                    hovertemplate="sum, feature %{y}: %{z:.3f}<extra></extra>", **look)
    fig.update_layout(template=TEMPLATE, height=720, margin={"t": 110},
                      title_text=headline(f"What “{_label(tokens[query])}” looks at", f"{head}; later tokens are hidden by the mask"))
    fig.update_xaxes(type="category", categoryorder="array", categoryarray=labels, row=3, col=1, tickangle=-50)
    fig.update_yaxes(title_text="score", row=1, col=1)
    fig.update_yaxes(title_text="weight", range=[0, 1], tickformat=".0%", row=2, col=1)
    fig.update_yaxes(title_text="feature", row=3, col=1)
    fig.update_yaxes(showticklabels=False, row=3, col=2)
    best = np.argsort(-np.where(visible, w, -1))[:3]
    listed = in_words(f"{tokens[i].strip()!r} (token {i}) {w[i]:.0%}" for i in best if visible[i])
    return describe(fig, f"In {head}, token {query}, {tokens[query].strip()!r}, shares its attention among {query + 1} tokens: most goes "
                         f"to {listed}. The result is the sum of the values by these weights.")


EMPTY, PROMPT, MADE, NEW = 0, 1, 2, 3
_KINDS = ("empty", "prompt", "made before", "new in this step")
_SHADES = ("rgba(128,128,128,0.18)", BLUE, ORANGE, VERMILLION)


def cache_growth(tokens: Sequence[str], prompt: int, capacity: int, held: Sequence[int], step: int, bytes_per_token: float) -> CourseFigure:
    """The places of a cache after a step of generation, and the token passes so far with and without it.

    Parameters
    ----------
    tokens : texts of the tokens in the order in which they enter the cache
    prompt : how many of them are the prompt
    capacity : places of the cache
    held : tokens in the cache after each step; step 0 is the prompt
    step : which step to show
    bytes_per_token : of keys and values in all layers
    """
    if not 0 <= step < len(held) or max(held) > capacity:
        raise ValueError(f"step {step} of {len(held)}, up to {max(held)} tokens in {capacity} places")
    now, before = held[step], held[step - 1] if step else 0
    kinds = [NEW if before <= i < now and step else PROMPT if i < min(prompt, now) else MADE if i < now else EMPTY for i in range(capacity)]
    steps = np.arange(len(held))
    with_cache, without = np.asarray(held), np.cumsum(held)
    fig = CourseFigure(make_subplots(rows=2, cols=1, row_heights=[0.27, 0.73], vertical_spacing=0.3,
                                     subplot_titles=["places of the cache (in each layer and key-value head)",
                                                     "tokens sent through the model so far"]))
    edges = np.repeat(np.arange(5) / 4, 2)[1:-1]
    scale = [[float(e), _SHADES[i // 2]] for i, e in enumerate(edges)]
    labels = [[f"{_KINDS[kind]} {_label(tokens[i]) if i < now else ''}" for i, kind in enumerate(kinds)]]
    fig.add_heatmap(z=[kinds], x=list(range(capacity)), customdata=labels, zmin=0, zmax=4,
                    colorscale=scale, xgap=2, showscale=False, hovertemplate="place %{x}: %{customdata}<extra></extra>", row=1, col=1)
    for kind, shade in zip(_KINDS, _SHADES):
        fig.add_scatter(x=[None], y=[None], mode="markers", name=kind, row=1, col=1,
                        marker={"color": shade, "symbol": "square", "size": 13})
    for name, values, color, dash in (("with the cache", with_cache, BLUE, "solid"), ("without", without, VERMILLION, "dash")):
        fig.add_scatter(x=steps, y=values, name=name, mode="lines", line={"color": color, "dash": dash, "width": 3}, row=2, col=1,
                        hovertemplate="step %{x}: %{y} tokens<extra>" + name + "</extra>")
    fig.add_scatter(x=[step, step], y=[int(with_cache[step]), int(without[step])], mode="markers", name="this step",
                    marker={"size": 12, "symbol": "diamond", "color": GREY, "line": {"width": 2, "color": "#ffffff"}}, row=2, col=1,
                    hovertemplate="step %{x}: %{y}<extra></extra>")
    fig.update_layout(template=TEMPLATE, height=520, margin={"t": 110},
                      title_text=headline(f"Step {step}: {now} tokens in {capacity} places, {now * bytes_per_token / 1e6:.2f} MB of keys "
                                          "and values",
                                          f"sent through the model: {with_cache[step]} tokens with the cache, {without[step]} without"))
    fig.update_xaxes(title_text="place", row=1, col=1)
    fig.update_yaxes(visible=False, row=1, col=1)
    fig.update_xaxes(title_text="step (0: the prompt)", row=2, col=1)
    fig.update_yaxes(title_text="tokens", row=2, col=1)
    newest = f"the new token is {tokens[now - 1].strip()!r}" if step else "the whole prompt has just arrived"
    return describe(fig, f"Step {step}: the cache holds {now} of {capacity} tokens, {newest}. So far {with_cache[step]} tokens went "
                         f"through the model; without a cache it would be {without[step]}.")

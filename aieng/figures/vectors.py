"""The pictures of section 01: the corpus map, codebooks, Voronoi cells, the HNSW walk, and the measured curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from plotly.subplots import make_subplots

from aieng.figures.theme import (
    BLUE,
    CLEAR,
    COLORS,
    DASHES,
    FAINT,
    GREY,
    LEGEND_BELOW,
    ORANGE,
    PATTERNS,
    PURPLE,
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

Array = NDArray[Any]


# --- 1.1 and 1.2: similarity, the corpus map, analogies ------------------------------------------------------------

def corpus_map(
    xy: ArrayLike,
    titles: Sequence[str],
    texts: Sequence[str],
    categories: Sequence[str],
    highlight_ids: Sequence[int] | None = None,
    query_xy: ArrayLike | None = None,
    radius: float | None = None,
    *,
    query_text: str = "your query",
) -> CourseFigure:
    """A corpus on a plane: one mark per passage, its text on hover; optionally a query and its nearest passages.

    Parameters
    ----------
    xy : (n, 2) float array, the passages' places on the plane
    titles, texts, categories : n strings each; a category has its own colour and symbol
    highlight_ids : rows of `xy` to mark, nearest first
    query_xy : (2,) place of the query, drawn as a star
    radius : radius of a circle around the query, in units of the map

    The last three traces are always the circle, the marks and the star (empty when not given), so that a widget can
    update them in place.
    """
    places = _points(xy, "xy")
    if not len(titles) == len(texts) == len(categories) == len(places):
        raise ValueError(f"xy has {len(places)} rows, but there are {len(titles)} titles, {len(texts)} texts and "
                         f"{len(categories)} categories; give one of each per row")
    if not len(places):
        raise ValueError("xy has no rows; a map needs at least one passage")
    ids = [] if highlight_ids is None else _rows(highlight_ids, len(places), "highlight_ids")
    star = None if query_xy is None else _place(query_xy, "query_xy")
    fig = new_figure(
        f"Map of {len(places):,} passages by meaning", "first principal component (embedding units)",
        "second principal component (embedding units)", height=600, subtitle="close together: similar; hover to read",
    )
    labels = np.asarray(categories, dtype=object)
    names = sorted(set(categories), key=lambda name: (-int((labels == name).sum()), name))
    # Vermillion is kept for the query and what it finds.
    palette = [color for color in COLORS if color != VERMILLION]
    for i, name in enumerate(names):
        rows = np.flatnonzero(labels == name)
        fig.add_scatter(
            x=places[rows, 0], y=places[rows, 1], mode="markers", name=str(name),
            marker={"size": 6, "opacity": 0.75, "color": palette[i % 6], "symbol": SYMBOLS[i % 7]},
            text=[_passage(titles[r], texts[r]) for r in rows.tolist()],
            hovertemplate="%{text}<extra>%{fullData.name}</extra>",
        )
    for overlay in query_overlay(places, titles, texts, ids, star, radius, query_text):
        fig.add_scatter(**overlay)
    # The marks of the map are small; in the legend their shape has to be told apart.
    fig.update_layout(legend_itemsizing="constant")
    # Equal scales: a circle of equal distance has to look like one.
    fig.update_yaxes(scaleanchor="x", scaleratio=1)
    counts = in_words(f"{int((labels == name).sum())} {name}" for name in names[:8])
    more = f" and {len(names) - 8} more categories" if len(names) > 8 else ""
    nearest = (f" A star marks {query_text!r}; hexagons mark its {len(ids)} nearest, from near to far: "
               f"{in_words(str(titles[i]) for i in ids)}." if ids else "")
    return describe(fig, f"Scatter map of {len(places)} passages on the two directions of largest variance, by category: "
                         f"{counts}{more}.{nearest}")


def query_overlay(
    xy: ArrayLike, titles: Sequence[str], texts: Sequence[str], ids: Sequence[int], query_xy: ArrayLike | None,
    radius: float | None, query_text: str,
) -> list[dict[str, Any]]:
    """The three last traces of `corpus_map` as keyword arguments: circle, marks of the nearest, star."""
    places = np.asarray(xy)
    star = None if query_xy is None else np.asarray(query_xy, dtype=float)
    circle = np.empty((0, 2))
    if star is not None and radius is not None:
        turn = np.linspace(0, 2 * np.pi, 73)
        circle = star + radius * np.column_stack([np.cos(turn), np.sin(turn)])
    rows = list(ids)
    return [
        {"x": circle[:, 0], "y": circle[:, 1], "mode": "lines", "name": "reach of the nearest",
         "line": {"color": VERMILLION, "dash": "dot", "width": 2}, "hoverinfo": "skip", "showlegend": bool(len(circle))},
        {"x": places[rows, 0], "y": places[rows, 1], "mode": "markers", "name": f"{len(rows)} nearest",
         "marker": {"size": 12, "symbol": "hexagon", "color": VERMILLION, "line": {"width": 2, "color": "#ffffff"}},
         "text": [f"no. {rank}: {_passage(titles[r], texts[r])}" for rank, r in enumerate(rows, 1)],
         "hovertemplate": "%{text}<extra></extra>", "showlegend": bool(rows)},
        {"x": [] if star is None else [star[0]], "y": [] if star is None else [star[1]], "mode": "markers", "name": "query",
         "marker": {"size": 22, "symbol": "star", "color": VERMILLION, "line": {"width": 2, "color": "#ffffff"}},
         "text": [] if star is None else [wrapped(query_text)], "hovertemplate": "<b>query</b><br>%{text}<extra></extra>",
         "showlegend": star is not None},
    ]


def _passage(title: str, text: str) -> str:
    """Hover text of a passage; a text that opens with its title does not repeat it."""
    return f"<b>{wrapped(title, 60, 2)}</b><br>{wrapped(text.removeprefix(f'{title}: '))}"


def similarity_bars(
    pairs: Sequence[tuple[str, str]], scores: ArrayLike, *, groups: Sequence[str] | None = None,
) -> CourseFigure:
    """Cosine similarity of sentence pairs as bars; `groups` names each pair's kind, such as "similar" and "unrelated"."""
    values = np.asarray(scores, dtype=float)
    if values.shape != (len(pairs),):
        raise ValueError(f"scores has shape {values.shape}; {len(pairs)} pairs need ({len(pairs)},)")
    if not len(pairs):
        raise ValueError("pairs is empty; give at least one (sentence, sentence) pair")
    kinds = list(groups) if groups is not None else ["pair"] * len(pairs)
    if len(kinds) != len(pairs):
        raise ValueError(f"groups has {len(kinds)} entries for {len(pairs)} pairs; give one per pair")
    labels = [f"{wrapped(a, 44, 1)}<br>{wrapped(b, 44, 1)}" for a, b in pairs]
    fig = new_figure("How similar two sentences are", "cosine similarity (no unit, −1 to 1)", None,
                     height=140 + 58 * len(pairs), barmode="overlay")
    for i, kind in enumerate(dict.fromkeys(kinds)):
        rows = [r for r, name in enumerate(kinds) if name == kind]
        fig.add_bar(
            y=rows, x=values[rows], orientation="h", name=kind, showlegend=groups is not None, width=0.65,
            marker={"color": COLORS[i % 7], "pattern": {"shape": PATTERNS[i % 7]}},
            text=[f"{values[r]:.2f}".replace("-", "−") for r in rows], textposition="outside", cliponaxis=False,
            customdata=[labels[r] for r in rows], hovertemplate="%{customdata}<br>cosine %{x:.3f}<extra></extra>",
        )
    # Numbered places, not the sentences as categories: long sentences that begin alike have the same shortened label.
    fig.update_yaxes(tickvals=list(range(len(pairs))), ticktext=labels, range=[len(pairs) - 0.5, -0.5], title_text="sentence pair")
    # A negative bar's number stands to its left and must not run into the sentences.
    fig.update_xaxes(range=[min(0.0, float(values.min()) - 0.18) if values.min() < 0 else 0.0, 1.05], dtick=0.2)
    listed = "; ".join(f"{a!r} and {b!r}: {v:.2f}" for (a, b), v in zip(pairs, values))
    return describe(fig, f"Bar chart of the cosine similarity of {len(pairs)} sentence pairs. {listed}.")


def rank_bars(expression: str, ranking: Sequence[tuple[str, float]], *, inputs: Sequence[str] = ()) -> CourseFigure:
    """Words nearest to an analogy's vector, best first; the words that went into it are hatched."""
    if not ranking:
        raise ValueError("ranking is empty; give at least one (word, cosine) pair")
    words, values = [word for word, _ in ranking], np.asarray([score for _, score in ranking], dtype=float)
    fig = new_figure(f"Words nearest to {expression}", "cosine similarity to the result (no unit)", "rank and word",
                     height=140 + 34 * len(words), bargap=0.3, barmode="overlay")
    labels = [f"{rank}. {word}" for rank, word in enumerate(words, 1)]
    for name, chosen, color, pattern in (("answer", False, BLUE, ""), ("one of the inputs", True, ORANGE, "/")):
        rows = [i for i, word in enumerate(words) if (word in inputs) is chosen]
        if rows:
            fig.add_bar(
                y=[labels[i] for i in rows], x=values[rows], orientation="h", name=name, showlegend=True,
                marker={"color": color, "pattern": {"shape": pattern}}, text=[f"{values[i]:.3f}" for i in rows],
                textposition="outside", cliponaxis=False, hovertemplate="%{y}: %{x:.4f}<extra>%{fullData.name}</extra>",
            )
    fig.update_yaxes(categoryorder="array", categoryarray=labels, autorange="reversed")
    fig.update_xaxes(range=[min(0.0, float(values.min())) * 1.1, max(1.0, float(values.max())) * 1.08])
    listed = ", ".join(f"{label} ({value:.3f}{', an input' if word in inputs else ''})"
                       for label, word, value in zip(labels, words, values))
    return describe(fig, f"Bar chart of the words whose vectors are nearest to {expression}, by cosine similarity: {listed}.")


# --- 1.3: scaling ---------------------------------------------------------------------------------------------------

def fit_slope(n_values: ArrayLike, seconds: ArrayLike) -> tuple[float, float]:
    """Least-squares line through log10(n), log10(seconds): (slope, intercept)."""
    n, t = np.asarray(n_values, dtype=float), np.asarray(seconds, dtype=float)
    if n.shape != t.shape or n.ndim != 1 or len(n) < 2:
        raise ValueError(f"n_values has shape {n.shape} and seconds {t.shape}; a slope needs two equally long lists, two or more")
    if (n <= 0).any() or (t <= 0).any():
        raise ValueError("a log-log slope needs sizes and times above zero")
    slope, intercept = np.polyfit(np.log10(n), np.log10(t), 1)
    return float(slope), float(intercept)


def scaling_plot(
    n_values: ArrayLike, series: Mapping[str, ArrayLike], *, title: str = "Time of exact search against database size",
) -> CourseFigure:
    """Measured times on log-log axes, a fitted line per series and the ideal slope 1 for comparison."""
    if not series:
        raise ValueError("series is empty; give at least one {name: seconds per size}")
    n = np.asarray(n_values, dtype=float)
    fig = new_figure(title, "rows in the database", "time (ms)", subtitle="marks: measured; lines: fitted; grey: slope 1, "
                     "ten times the rows in ten times the time", height=460)
    told = []
    for i, (name, seconds) in enumerate(series.items()):
        ms = np.asarray(seconds, dtype=float) * 1e3
        slope, intercept = fit_slope(n, ms)
        fig.add_scatter(
            x=n, y=ms, mode="markers", name=name, legendgroup=name, showlegend=False,
            marker={"color": COLORS[i % 7], "symbol": SYMBOLS[i % 7], "size": 10},
            hovertemplate="%{x:,.0f} rows: %{y:.3g} ms<extra>%{fullData.name}</extra>",
        )
        fig.add_scatter(
            x=n, y=10 ** (intercept + slope * np.log10(n)), mode="lines", name=f"{name}: slope {slope:.2f}", legendgroup=name,
            line={"color": COLORS[i % 7], "dash": DASHES[i % 7]}, hoverinfo="skip",
        )
        told.append(f"{name} takes {ms[0]:.3g} ms for {n[0]:,.0f} rows and {ms[-1]:.3g} ms for {n[-1]:,.0f}, "
                    f"fitted slope {slope:.2f}")
    lowest = min(float(np.asarray(s, dtype=float)[0]) for s in series.values()) * 1e3
    fig.add_scatter(x=n, y=lowest * n / n[0] / 2, mode="lines", name="slope 1 (time ∝ rows)", hoverinfo="skip",
                    line={"color": GREY, "dash": "dash", "width": 1.5})
    fig.update_xaxes(type="log", tickformat="~s", dtick=_log_step(n))
    fig.update_yaxes(type="log", tickformat="~g", dtick=_log_step(np.concatenate([np.ravel(s) for s in series.values()])))
    return describe(fig, f"Log-log plot of search time against database size. {'; '.join(told)}. A grey line shows slope 1.")


# --- 1.4 and 1.5: quantization --------------------------------------------------------------------------------------

def bytes_recall(points: Sequence[tuple[str, float, float]], *, k: int = 10, float_bytes: float | None = None) -> CourseFigure:
    """Recall against bytes per vector. `points`: (name, bytes per vector, recall); a name's first word is its family."""
    if not points:
        raise ValueError("points is empty; give at least one (name, bytes_per_vector, recall)")
    for name, size, recall in points:
        if not (size > 0 and 0 <= recall <= 1):
            raise ValueError(f"{name!r} has {size} bytes and recall {recall}; bytes are above 0, recall is between 0 and 1")
    fig = new_figure("What is left of the answer when vectors shrink", "bytes per vector (log scale)",
                     _recall_title(k), height=460)
    families: dict[str, list[tuple[str, float, float]]] = {}
    for name, size, recall in points:
        families.setdefault(name.split()[0], []).append((name, float(size), float(recall)))
    for i, (family, members) in enumerate(families.items()):
        members.sort(key=lambda p: p[1])
        family = family if len(members) > 1 else members[0][0]  # a point alone has its whole name
        fig.add_scatter(
            x=[p[1] for p in members], y=[p[2] for p in members], name=family, mode="lines+markers+text",
            text=[p[0].removeprefix(family).strip() or family for p in members],
            textposition="top center" if len(members) == 1 else ("bottom right" if i else "top left"), cliponaxis=False,
            marker={"color": COLORS[i % 7], "symbol": SYMBOLS[i % 7], "size": 11},
            line={"color": COLORS[i % 7], "dash": DASHES[i % 7]}, customdata=[p[0] for p in members],
            hovertemplate=f"%{{customdata}}<br>%{{x:,}} bytes, recall@{k} %{{y:.3f}}<extra></extra>",
        )
    sizes = [float(p[1]) for p in points] + ([float_bytes] if float_bytes else [])
    if float_bytes:
        fig.add_scatter(x=[float_bytes, float_bytes], y=[0, 1], mode="lines", name=f"float32: {float_bytes:,.0f} bytes",
                        line={"color": GREY, "dash": "dash", "width": 1.5}, hoverinfo="skip")
    ticks = 2.0 ** np.arange(np.floor(np.log2(min(sizes))), np.ceil(np.log2(max(sizes))) + 1)
    fig.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks],
                     range=[np.log10(min(sizes)) - 0.15, np.log10(max(sizes)) + 0.15])
    fig.update_yaxes(range=[0, 1.09], tickformat=".1f", dtick=0.2)
    listed = "; ".join(f"{name}: {size:g} bytes, recall {recall:.3f}" for name, size, recall in points)
    return describe(fig, f"Recall at {k} against bytes per vector. {listed}."
                         + (f" Plain float32 vectors take {float_bytes:g} bytes." if float_bytes else ""))


def codebook_grid(
    codebook: ArrayLike, *, subvector: ArrayLike | None = None, chosen: int | None = None, limit: int = 12, subspace: int = 0,
) -> CourseFigure:
    """Entries of one subspace's codebook as small multiples.

    Parameters
    ----------
    codebook : (ksub, dsub) float array
    subvector : (dsub,) the piece of a vector to compare with; the entries nearest to it come first
    chosen : the code that this piece got; its panel has a bold title and a check mark
    limit : at most this many panels

    Of long entries the first 32 numbers are drawn; distances are always over all of them.
    """
    book = np.asarray(codebook, dtype=float)
    if book.ndim != 2 or not book.size:
        raise ValueError(f"codebook has shape {book.shape}; expected (ksub, dsub), one subspace's entries")
    piece = None if subvector is None else np.asarray(subvector, dtype=float)
    if piece is not None and piece.shape != (book.shape[1],):
        raise ValueError(f"subvector has shape {piece.shape}; this codebook's entries have ({book.shape[1]},)")
    if limit < 1 or (chosen is not None and not 0 <= chosen < len(book)):
        raise ValueError(f"limit is {limit} and chosen is {chosen}; limit is at least 1, and this codebook has the codes 0 to "
                         f"{len(book) - 1}")
    squared = np.zeros(len(book)) if piece is None else ((book - piece) ** 2).sum(axis=1)
    shown = np.argsort(squared, kind="stable")[:limit]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    names = [f"code {i}" + ("" if piece is None else f" · d² {squared[i]:.2g}") for i in shown]
    names = [f"<b>{name} ✓</b>" if i == chosen else name for i, name in zip(shown, names)]
    grid = make_subplots(rows, columns, shared_xaxes=True, shared_yaxes=True, subplot_titles=names,
                         horizontal_spacing=0.03, vertical_spacing=0.28 / rows)
    fig = CourseFigure(grid)
    # More bars than this run together in a panel of four across.
    x = np.arange(min(book.shape[1], 32))
    for panel, i in enumerate(shown):
        at = {"row": panel // columns + 1, "col": panel % columns + 1}
        fig.add_bar(x=x, y=book[i, : len(x)], name="codebook entry", showlegend=panel == 0, legendgroup="entry", **at,
                    marker={"color": BLUE, "line": {"width": 0}},
                    hovertemplate=f"code {i}, dimension %{{x}}: %{{y:.3f}}<extra></extra>")
        fig.add_scatter(x=x if piece is not None else [], y=piece[: len(x)] if piece is not None else [],
                        mode="lines+markers", name="the vector's piece", legendgroup="piece",
                        showlegend=panel == 0 and piece is not None, **at,
                        line={"color": VERMILLION, "dash": "dot", "width": 2}, marker={"symbol": "square", "size": 4},
                        hovertemplate="piece, dimension %{x}: %{y:.3f}<extra></extra>")
    near = "the entries nearest to the vector's piece first" if piece is not None else "the first entries"
    cut = f"; first {len(x)} of {book.shape[1]} dimensions" if len(x) < book.shape[1] else ""
    fig.update_layout(template=TEMPLATE, height=170 + 120 * rows, bargap=0.25, title_text=headline(
        f"Codebook of subspace {subspace}: {len(shown)} of {len(book)} entries", near + cut))
    fig.update_layout(margin={"t": 96, "b": 90}, legend=LEGEND_BELOW)
    fig.update_annotations(font={"size": 12})
    for column in range(1, columns + 1):
        fig.update_xaxes(title_text="dimension", row=rows, col=column)
    fig.update_yaxes(title_text="value", col=1)
    first = f" Nearest: code {shown[0]} at squared distance {squared[shown[0]]:.3g}." if piece is not None else ""
    given = f" The vector's piece got code {chosen}." if chosen is not None else ""
    return describe(fig, f"{len(shown)} small bar charts of codebook entries of subspace {subspace}, {book.shape[1]} dimensions "
                         f"each, {near}{cut}.{first}{given}")


def reconstruction(vector: ArrayLike, reconstructions: Mapping[int, ArrayLike], *, dims: int = 32) -> CourseFigure:
    """A vector and what product quantizers with M sub-vectors (one byte each) make of it, over its first `dims` entries."""
    original = np.asarray(vector, dtype=float)
    if original.ndim != 1:
        raise ValueError(f"vector has shape {original.shape}; expected one vector (dim,)")
    if not reconstructions or dims < 1:
        raise ValueError(f"got {len(reconstructions)} reconstructions and dims={dims}; give at least one {{M: vector}} and dims >= 1")
    shown = min(dims, len(original))
    x = np.arange(shown)
    fig = new_figure("A vector and its reconstruction from its codes", f"dimension (first {shown} of {len(original)})",
                     "value (no unit)", height=380)
    fig.add_scatter(x=x, y=original[:shown], mode="lines", name=f"original: {4 * len(original):,} bytes",
                    line={"color": GREY, "width": 5}, opacity=0.8,
                    hovertemplate="dimension %{x}: %{y:.3f}<extra>original</extra>")
    told = []
    norm = float((original**2).sum()) or 1.0
    for i, (m, restored) in enumerate(reconstructions.items()):
        y = np.asarray(restored, dtype=float)
        if y.shape != original.shape:
            raise ValueError(f"the reconstruction for M={m} has shape {y.shape}, the vector {original.shape}")
        error = float(((original - y) ** 2).sum()) / norm
        fig.add_scatter(
            x=x, y=y[:shown], mode="lines+markers", name=f"M = {m}: {m} byte{'s' * (m != 1)}, error {error:.0%}",
            line={"color": COLORS[(i + 1) % 7], "dash": DASHES[i % 7], "width": 2},
            marker={"symbol": SYMBOLS[(i + 1) % 7], "size": 6},
            hovertemplate=f"dimension %{{x}}: %{{y:.3f}}<extra>M = {m}</extra>",
        )
        told.append(f"M = {m} in {m} bytes leaves {error:.0%} of the squared length as error")
    return describe(fig, f"Line plot of the first {shown} of {len(original)} entries of a vector and its reconstructions: "
                         f"{'; '.join(told)}.")


# --- 1.6: inverted file ---------------------------------------------------------------------------------------------

def voronoi_cells(centroids: ArrayLike, low: ArrayLike, high: ArrayLike) -> list[NDArray[np.float64]]:
    """Polygon (m, 2) of each centroid's cell inside the box from `low` to `high`; empty where the cell lies outside it.

    The box is cut by the perpendicular bisector to each other centroid (Sutherland and Hodgman's clipping); the bisectors
    of equal centroids are no lines, so of duplicates each keeps the same cell.
    """
    sites = _points(centroids, "centroids")
    (x0, y0), (x1, y1) = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    cells = []
    for site in sites:
        cell = [np.array(p, dtype=float) for p in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
        for other in sites:
            normal = other - site
            if not normal.any():
                continue
            # Positive beyond the bisector, on the other centroid's side.
            beyond = [float(np.dot(p - (site + other) / 2, normal)) for p in cell]
            kept = []
            for p, q, dp, dq in zip(cell, cell[1:] + cell[:1], beyond, beyond[1:] + beyond[:1]):
                if dp <= 0:
                    kept.append(p)
                if (dp < 0 < dq) or (dq < 0 < dp):
                    kept.append(p + (q - p) * (dp / (dp - dq)))
            cell = kept
        cells.append(np.array(cell).reshape(-1, 2))
    return cells


def voronoi_2d(
    points: ArrayLike,
    centroids: ArrayLike,
    assignments: ArrayLike,
    query: ArrayLike | None = None,
    probed: Sequence[int] = (),
    *,
    found: int | None = None,
    true: int | None = None,
) -> CourseFigure:
    """An inverted file in two dimensions: cells, the ones that a search probes lit, and what it finds there.

    Parameters
    ----------
    points, centroids : (n, 2) and (nlist, 2) float arrays
    assignments : (n,) int array, each point's list
    query : (2,) float array
    probed : lists that the search looks into, nearest centroid first
    found, true : rows of `points`: the nearest one that the search found, and the nearest of all
    """
    data, centres, lists = _points(points, "points"), _points(centroids, "centroids"), np.asarray(assignments)
    if lists.shape != (len(data),):
        raise ValueError(f"assignments has shape {lists.shape}; {len(data)} points need ({len(data)},)")
    if not len(data) or not len(centres):
        raise ValueError(f"got {len(data)} points and {len(centres)} centroids; a picture needs at least one of each")
    _rows(lists, len(centres), "assignments")
    lit = _rows(probed, len(centres), "probed")
    _rows([row for row in (found, true) if row is not None], len(data), "found and true")
    star = np.empty((0, 2)) if query is None else _place(query, "query")[None]
    everything = np.vstack([data, centres, star])
    span = np.ptp(everything, axis=0) * 0.04 + 1e-9
    low, high = everything.min(axis=0) - span, everything.max(axis=0) + span
    cells = voronoi_cells(centres, low, high)
    dark = [i for i in range(len(centres)) if i not in set(lit)]
    scanned = np.isin(lists, lit)
    share = float(scanned.mean())
    fig = new_figure(f"{len(lit)} of {len(centres)} cells probed",
                     "first coordinate (no unit)", "second coordinate (no unit)",
                     height=int(np.clip(150 + 600 * (high - low)[1] / (high - low)[0], 360, 640)),
                     subtitle=f"{int(scanned.sum()):,} of {len(data):,} points compared with the query ({share:.0%})")

    def outline(which: Sequence[int]) -> tuple[list[float | None], list[float | None]]:
        xs: list[float | None] = []
        ys: list[float | None] = []
        for i in which:
            if len(cells[i]):
                closed = np.vstack([cells[i], cells[i][:1]])
                xs += [*closed[:, 0].tolist(), None]
                ys += [*closed[:, 1].tolist(), None]
        return xs, ys

    for name, which, fill, width in (("cell", dark, CLEAR, 1.0), ("probed cell", lit, "rgba(86,180,233,0.2)", 3.0)):
        xs, ys = outline(which)
        fig.add_scatter(x=xs, y=ys, mode="lines", fill="toself", fillcolor=fill, name=name, hoverinfo="skip",
                        line={"color": BLUE if width > 1 else GREY, "width": width}, showlegend=bool(which))
    for name, rows, symbol, color, size, opacity in (
        ("point not looked at", ~scanned, "circle-open", GREY, 5, 0.75), ("point compared", scanned, "circle", BLUE, 7, 1.0),
    ):
        fig.add_scatter(x=data[rows, 0], y=data[rows, 1], mode="markers", name=name, customdata=lists[rows],
                        marker={"size": size, "symbol": symbol, "color": color, "opacity": opacity}, showlegend=bool(rows.any()),
                        hovertemplate="point in list %{customdata}<extra></extra>")
    fig.add_scatter(x=centres[:, 0], y=centres[:, 1], mode="markers", name="centroid", customdata=np.arange(len(centres)),
                    marker={"size": 10, "symbol": "x", "color": PURPLE},
                    hovertemplate="centroid of list %{customdata}<extra></extra>")
    for name, row, symbol, color, size in (
        ("true nearest", true, "square-open", ORANGE, 20), ("nearest found", found, "diamond-open", VERMILLION, 15),
    ):
        at = data[[row]] if row is not None else np.empty((0, 2))
        fig.add_scatter(x=at[:, 0], y=at[:, 1], mode="markers", name=name, hovertemplate=f"{name}<extra></extra>",
                        marker={"size": size, "symbol": symbol, "color": color, "line": {"width": 3}},
                        showlegend=row is not None)
    fig.add_scatter(x=star[:, 0], y=star[:, 1], mode="markers", name="query",
                    hovertemplate="query (%{x:.2f}, %{y:.2f})<extra></extra>",
                    marker={"size": 16, "symbol": "star", "color": VERMILLION, "line": {"width": 1.5, "color": "#ffffff"}},
                    showlegend=query is not None)
    still = {"showgrid": False, "zeroline": False, "constrain": "domain"}
    fig.update_xaxes(range=[low[0], high[0]], constraintoward="left", **still)
    fig.update_yaxes(range=[low[1], high[1]], constraintoward="top", scaleanchor="x", **still)
    verdict = ""
    if found is not None and true is not None:
        verdict = (" The true nearest point is found." if found == true
                   else " The true nearest point lies in a cell that was not probed: it is missed.")
    return describe(fig, f"{len(data)} points in {len(centres)} Voronoi cells. The search probes {len(lit)} of them and compares "
                         f"the query with {int(scanned.sum())} points, {share:.0%} of all.{verdict}")


def recall_latency(
    curves: Mapping[str, Sequence[tuple[Any, float, float]]], *, parameter: str = "nprobe", axis: str = "latency", k: int = 10,
) -> CourseFigure:
    """Recall against speed, one curve per index.

    Parameters
    ----------
    curves : name -> [(setting of `parameter`, recall, seconds per query), ...]
    axis : "latency" (milliseconds per query across, recall up) or "throughput" (recall across, queries per second up)
    """
    if axis not in ("latency", "throughput"):
        raise ValueError(f"axis is {axis!r}; allowed are 'latency' and 'throughput'")
    if not curves:
        raise ValueError("curves is empty; give at least one {name: [(setting, recall, seconds per query), ...]}")
    for name, curve in curves.items():
        if not len(curve) or not all(seconds > 0 for *_, seconds in curve):
            raise ValueError(f"curve {name!r} is {curve!r:.120}; give at least one (setting, recall, seconds per query) with seconds "
                             "above 0")
    by_time = axis == "latency"
    recall_axis = _recall_title(k)
    fig = new_figure(f"Recall against {'time' if by_time else 'speed'}",
                     "time per query (ms, log scale)" if by_time else recall_axis,
                     recall_axis if by_time else "queries per second (log scale)", height=480,
                     subtitle=f"numbers on the first curve: {parameter}; better is {'up left' if by_time else 'up right'}")
    told, speeds = [], []
    for i, (name, curve) in enumerate(curves.items()):
        settings = [str(c[0]) for c in curve]
        recalls, seconds = np.array([c[1] for c in curve], dtype=float), np.array([c[2] for c in curve], dtype=float)
        speed = seconds * 1e3 if by_time else 1 / seconds
        speeds.append(speed)
        hover = (f"{parameter} %{{customdata}}<br>recall@{k} %{{{'y' if by_time else 'x'}:.3f}}<br>"
                 + ("%{x:.3g} ms per query" if by_time else "%{y:,.0f} queries/s"))
        fig.add_scatter(
            x=speed if by_time else recalls, y=recalls if by_time else speed, name=name, customdata=settings, cliponaxis=False,
            # Curves of the same settings run close together: numbers at each would overprint one another.
            mode="lines+markers" if i else "lines+markers+text", text=settings,
            textposition="top left" if by_time else "bottom left",
            marker={"color": COLORS[i % 7], "symbol": SYMBOLS[i % 7], "size": 9},
            line={"color": COLORS[i % 7], "dash": DASHES[i % 7]}, hovertemplate=hover + "<extra>%{fullData.name}</extra>",
        )
        ends = " and ".join(f"recall {recalls[j]:.3f} at {seconds[j] * 1e3:.3g} ms ({parameter} {settings[j]})" for j in (0, -1))
        told.append(f"{name}: {ends}")
    (fig.update_xaxes if by_time else fig.update_yaxes)(
        type="log", tickformat="~g" if by_time else "~s", dtick=_log_step(np.concatenate(speeds)))
    lowest = min(float(c[1]) for curve in curves.values() for c in curve)
    span = {"range": [max(0.0, lowest - 0.1 * (1.02 - lowest)), 1.0 + 0.09 * (1.02 - lowest)]}
    (fig.update_yaxes if by_time else fig.update_xaxes)(**span)
    return describe(fig, f"Recall at {k} against {'milliseconds per query' if by_time else 'queries per second'}. "
                         f"{'; '.join(told)}.")


def drift_bars(stages: Sequence[str], recalls: Mapping[str, Sequence[float]], *, k: int = 10) -> CourseFigure:
    """Recall at each stage of a changing data set, one group of bars per stage and one bar per index."""
    if not recalls or not stages:
        raise ValueError(f"got {len(stages)} stages and {len(recalls)} indexes; give at least one of each")
    fig = new_figure("What a shift of the data does to an index trained before it", "state of the data",
                     _recall_title(k), height=430, barmode="group", bargap=0.3, bargroupgap=0.08)
    for i, (name, values) in enumerate(recalls.items()):
        if len(values) != len(stages):
            raise ValueError(f"{name!r} has {len(values)} recalls for {len(stages)} stages; give one per stage")
        fig.add_bar(x=list(stages), y=list(values), name=name, text=[f"{v:.2f}" for v in values], textposition="outside",
                    cliponaxis=False, marker={"color": COLORS[i % 7], "pattern": {"shape": PATTERNS[i % 7]}}, showlegend=True,
                    hovertemplate="%{x}: %{y:.3f}<extra>%{fullData.name}</extra>")
    fig.update_yaxes(range=[0, 1.08], dtick=0.2, tickformat=".1f")
    told = "; ".join(f"{name}: " + ", ".join(f"{v:.3f} {stage}" for stage, v in zip(stages, values))
                     for name, values in recalls.items())
    return describe(fig, f"Bar chart of recall at {k}. {told}.")


# --- 1.7: HNSW ------------------------------------------------------------------------------------------------------

WALK: dict[str, dict[str, Any]] = {
    "link": {"mode": "lines", "line": {"color": FAINT, "width": 1}},
    "node": {"mode": "markers", "marker": {"size": 5, "color": GREY, "opacity": 0.7}},
    "query": {"mode": "markers",
              "marker": {"size": 15, "symbol": "star", "color": VERMILLION, "line": {"width": 1.5, "color": "#ffffff"}}},
    "link followed": {"mode": "lines", "line": {"color": ORANGE, "width": 2, "dash": "dot"}},
    "neighbour looked at": {"mode": "markers",
                            "marker": {"size": 11, "symbol": "diamond-open", "color": ORANGE, "line": {"width": 2.5}}},
    "way so far": {"mode": "lines+markers", "line": {"color": BLUE, "width": 3},
                   "marker": {"size": 8, "symbol": "square", "color": BLUE}},
    "now here": {"mode": "markers", "marker": {"size": 17, "symbol": "circle-open", "color": PURPLE, "line": {"width": 4}}},
}


def hnsw_walk(
    xy: ArrayLike, levels: ArrayLike, hops: Sequence[Any], step: int, query_xy: ArrayLike, *,
    edges: Mapping[int, ArrayLike] | None = None,
) -> CourseFigure:
    """A search through the layers of an HNSW graph, stopped after hop number `step` (0 is the first).

    Parameters
    ----------
    xy : (n, 2) float array, each node's place
    levels : (n,) int array, the highest layer that holds the node
    hops : from a trace: (level, node, neighbours looked at, distance) each
    query_xy : (2,) place of the query
    edges : layer -> (m, 2) int array of linked nodes, drawn faintly
    """
    places, tops = _points(xy, "xy"), np.asarray(levels)
    if tops.shape != (len(places),):
        raise ValueError(f"levels has shape {tops.shape}; {len(places)} nodes need ({len(places)},)")
    walk = [_hop(hop) for hop in hops]
    if not walk:
        raise ValueError("hops is empty; give the list that a trace of one query returned")
    if not 0 <= step < len(walk):
        raise ValueError(f"step is {step}, but the trace has {len(walk)} hops: allowed are 0 to {len(walk) - 1}")
    for _, node, looked_at, _ in walk:
        _rows([node, *looked_at], len(places), "a hop's nodes")
    star = _place(query_xy, "query_xy")
    layers = list(range(int(max(tops.max(), max(level for level, *_ in walk))), -1, -1))
    columns = 2 if len(layers) == 4 else min(len(layers), 3)
    rows = -(-len(layers) // columns)
    fig = CourseFigure(make_subplots(rows, columns, horizontal_spacing=0.06, vertical_spacing=0.28 / rows, subplot_titles=[
        f"layer {level}: {int((tops >= level).sum()):,} node{'s' * (int((tops >= level).sum()) != 1)}" for level in layers]))
    level_now, node_now, looked, distance = walk[step]
    for panel, level in enumerate(layers):
        at = {"row": panel // columns + 1, "col": panel % columns + 1}
        here = np.flatnonzero(tops >= level)
        links = np.asarray((edges or {}).get(level, np.empty((0, 2))), dtype=int).reshape(-1, 2)
        nodes = [node for seen, node, *_ in walk[: step + 1] if seen == level]
        fresh = places[looked] if level == level_now and len(looked) else np.empty((0, 2))
        now = places[[node_now]] if level == level_now else np.empty((0, 2))
        path = places[nodes] if nodes else np.empty((0, 2))
        lines = np.full((3 * len(links), 2), np.nan)
        lines[0::3], lines[1::3] = places[links[:, 0]], places[links[:, 1]]
        rays = np.full((3 * len(fresh), 2), np.nan)
        rays[0::3], rays[1::3] = places[node_now], fresh
        for name, spot in (
            ("link", lines), ("node", places[here]), ("query", star[None]), ("link followed", rays),
            ("neighbour looked at", fresh), ("way so far", path), ("now here", now),
        ):
            numbered = {"node": here, "neighbour looked at": looked[: len(fresh)], "way so far": nodes}.get(name)
            fig.add_scatter(
                x=spot[:, 0], y=spot[:, 1], name=name, legendgroup=name, showlegend=False, customdata=numbered,
                **WALK[name], **at, hovertemplate=None if numbered is None else f"{name} %{{customdata}}<extra></extra>",
                hoverinfo="skip" if numbered is None else None,
            )
    for name, style in WALK.items():  # the legend's own marks: there whether or not a layer has any to show
        if name != "link" or edges:
            fig.add_scatter(x=[None], y=[None], name=name, legendgroup=name, **style)
    fig.update_traces(line_color=GREY, selector={"name": "link", "showlegend": None})  # too faint for a single line
    number = sum(level == level_now for level, *_ in walk[: step + 1])
    seen_now = f"{len(looked)} neighbour{'s' * (len(looked) != 1)} looked at"
    place_now = f"node {node_now} at distance {distance:.3g}, {seen_now}"
    fig.update_layout(template=TEMPLATE, height=180 + 300 * rows, title_text=headline(
        f"HNSW search, hop {step + 1} of {len(walk)}", f"layer {level_now}: {place_now}"))
    fig.update_annotations(font={"size": 14})
    fig.update_layout(margin={"t": 100, "b": 100}, legend=LEGEND_BELOW)
    everything = np.vstack([places, star[None]])
    span = np.ptp(everything, axis=0) * 0.05 + 1e-9
    low, high = everything.min(axis=0) - span, everything.max(axis=0) + span
    fig.update_xaxes(range=[low[0], high[0]], showgrid=False, zeroline=False, title_text="first coordinate")
    fig.update_yaxes(range=[low[1], high[1]], showgrid=False, zeroline=False)
    fig.for_each_yaxis(lambda axis: axis.update(scaleanchor=axis.anchor))  # what looks nearest is nearest
    fig.update_yaxes(title_text="second coordinate", col=1)
    best = min(d for _, _, _, d in walk[: step + 1])
    return describe(fig, f"HNSW graph of {len(places)} nodes in {len(layers)} layers. Hop {step + 1} of {len(walk)}, number "
                         f"{number} on layer {level_now}: {place_now}; best distance so far {best:.3g}.")


def _hop(hop: Any) -> tuple[int, int, list[int], float]:
    level, node, neighbours, distance = hop
    return int(level), int(node), [int(i) for i in neighbours], float(distance)


# --- 1.8: the engine ------------------------------------------------------------------------------------------------

def stage_bars(timings: Mapping[str, Any]) -> CourseFigure:
    """Time per stage of a search. `timings`: {stage: seconds}, or {run: {stage: seconds}} to compare runs."""
    if not timings:
        raise ValueError("timings is empty; search once, then give the engine's timings")
    runs: dict[str, Mapping[str, float]] = (
        dict(timings) if all(isinstance(v, Mapping) for v in timings.values()) else {"search": timings})
    stages = list(dict.fromkeys(stage for run in runs.values() for stage in run))
    if not stages:
        raise ValueError(f"timings names no stage: {timings!r:.120}; search once, then give the engine's timings")
    fig = new_figure("Where a search spends its time", "time (ms)", "stage", barmode="group", bargap=0.3,
                     height=150 + len(stages) * (30 + 24 * len(runs)))
    told = []
    for i, (name, run) in enumerate(runs.items()):
        total = sum(run.values()) or 1.0
        ms = [run.get(stage, 0.0) * 1e3 for stage in stages]
        fig.add_bar(y=stages, x=ms, orientation="h", name=f"{name}: {total * 1e3:.3g} ms", showlegend=len(runs) > 1,
                    marker={"color": COLORS[i % 7], "pattern": {"shape": PATTERNS[i % 7]}},
                    textposition="outside", cliponaxis=False, text=[f"{v:.3g} ms ({_percent(v / total / 1e3)})" for v in ms],
                    hovertemplate="%{y}: %{x:.3g} ms<extra>%{fullData.name}</extra>")
        told.append(f"{name}, {total * 1e3:.3g} ms in all: " + ", ".join(f"{s} {v:.3g} ms" for s, v in zip(stages, ms)))
    longest = max(max(run.values(), default=0.0) for run in runs.values()) * 1e3
    fig.update_xaxes(range=[0, longest * 1.22 or 1])
    fig.update_yaxes(categoryorder="array", categoryarray=stages, autorange="reversed")
    return describe(fig, f"Bar chart of the time per stage. {'; '.join(told)}.")


def _percent(share: float) -> str:
    return "< 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _recall_title(k: int) -> str:
    return f"recall@{k} (share of the true {k} nearest found)"


def _log_step(values: Array) -> int | str:
    """Tick step of a log axis: powers of ten over a wide range, else 1, 2, 5, 10."""
    return 1 if values.max() / values.min() > 300 else "D2"


def _points(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"{name} has shape {array.shape}; a plane needs (n, 2)")
    return array


def _place(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    if array.shape != (2,):
        raise ValueError(f"{name} has shape {array.shape}; one place on the plane is (2,)")
    return array


def _rows(values: ArrayLike, n: int, name: str) -> list[int]:
    numbers = [int(i) for i in np.ravel(np.asarray(values, dtype=float))]
    outside = [i for i in numbers if not 0 <= i < n]
    if outside:
        raise ValueError(f"{name}: {outside[0]} is not one of the {n} rows, 0 to {n - 1}")
    return numbers

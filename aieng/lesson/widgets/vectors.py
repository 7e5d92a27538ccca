"""Interactive pictures of section 01. The kernels they run, the learner's own, come in as arguments.

Each function returns a widget; while a grader runs the notebook it returns the still figure of the same beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike

from aieng.data.projection import Projection, explained_share
from aieng.figures import vectors as draw
from aieng.figures.theme import CourseFigure, alt_text, describe
from aieng.lesson.environment import interactive_allowed
from aieng.lesson.finding import drawn
from aieng.lesson.widgets.explorer import Explorer, guarded, live, redraw, slider, stepped


@drawn
def corpus_explorer(
    corpus: Any,
    projection: Projection,
    embed: Callable[[list[str]], ArrayLike],
    search: Callable[[ArrayLike, ArrayLike, int], tuple[Any, Any]],
    *,
    query: str = "a cat sleeping in the sun",
    k: int = 10,
    score: str = "cosine",
) -> Explorer | CourseFigure:
    """Type a sentence: a star moves over the corpus map and the passages that `search` finds nearest light up.

    Parameters
    ----------
    corpus : has `passages` (with title, text, category) and `embeddings` (n, dim) float32
    projection : `pca_2d(corpus.embeddings)`
    embed : texts -> (number of texts, dim), such as `MiniLM.encode`
    search : (query (dim,), corpus (n, dim), k) -> (scores (k,), ids (k,)), best first
    query, k : what to begin with
    score : what the scores of `search` are called
    """
    titles = [p.title for p in corpus.passages]
    texts = [p.text for p in corpus.passages]
    categories = [str(p.category) for p in corpus.passages]
    xy = np.asarray(projection.xy)
    kept = explained_share(corpus.embeddings, projection)

    def look(sentence: str, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        vector = np.asarray(embed([sentence]))[0]
        scores, ids = search(vector, corpus.embeddings, count)
        ids = np.asarray(ids).astype(int)
        star = projection.project(vector)
        return np.asarray(scores, dtype=float), ids, star, float(np.linalg.norm(xy[ids] - star, axis=1).max())

    scores, ids, star, radius = look(query, k)
    still = draw.corpus_map(xy, titles, texts, categories, ids.tolist(), star, radius, query_text=query)
    if not interactive_allowed():
        return still
    figure = live(still)
    box = widgets.Text(value=query, description="Your query:", continuous_update=False, placeholder="type a sentence, then Enter",
                       tooltip="Sentence to search for; Enter starts the search", style={"description_width": "initial"},
                       layout=widgets.Layout(width="min(480px, 100%)"))
    button = widgets.Button(description="Search", icon="search", tooltip="Search for the sentence", button_style="primary")
    count = slider("k, how many:", k, 1, min(max(50, k), len(titles)), tooltip="How many nearest passages to show")
    explorer = Explorer([box, button, count], [figure], "Corpus map with a query box")

    def tell(sentence: str, scores: np.ndarray, ids: np.ndarray) -> None:
        heading = (f"The {len(ids)} passages nearest to “{sentence}”, by {score}. The circle reaches the farthest "
                   "of them on this map. Other marks inside it look as near, but are less similar: the plane keeps only "
                   f"{kept:.0%} of the vectors' variance.")
        items = "".join(f"<li><b>{escape(titles[i])}</b> ({escape(categories[i])}, {score} {value:.3f})<br>"
                        f"{escape(_short(texts[i].removeprefix(f'{titles[i]}: ')))}</li>" for i, value in zip(ids, scores))
        listed = "; ".join(f"{rank}. {titles[i]} ({value:.3f})" for rank, (i, value) in enumerate(zip(ids, scores), 1))
        explorer.say(f"{heading} {listed}", f"<p>{escape(heading)}</p><ol style='line-height:1.4'>{items}</ol>")

    def update() -> None:
        if not box.value.strip():
            explorer.say("The query is empty: type a sentence, then press Enter.")
            return
        scores, ids, star, radius = look(box.value, count.value)
        with figure.batch_update():
            overlay = draw.query_overlay(xy, titles, texts, ids.tolist(), star, radius, box.value)
            for trace, change in zip(figure.data[-3:], overlay):
                trace.update(change)
        tell(box.value, scores, ids)
        describe(figure, explorer.text)

    handler = guarded(explorer, update)
    box.observe(handler, "value")
    count.observe(handler, "value")
    button.on_click(handler)
    tell(query, scores, ids)
    return explorer


@drawn
def codebook_explorer(quantizers_by_M: Mapping[int, Any], vectors: ArrayLike) -> Explorer | CourseFigure:
    """Product quantizers side by side: slide over M to see their codebooks and what they make of one vector.

    Parameters
    ----------
    quantizers_by_M : M -> a trained quantizer with `codebooks` (M, ksub, dsub), `encode` and `decode`
    vectors : (n, dim) float array to choose from
    """
    if not quantizers_by_M:
        raise ValueError("quantizers_by_M is empty; give at least one trained quantizer, {M: quantizer}")
    data = np.asarray(vectors, dtype=np.float32)
    if data.ndim != 2 or not len(data):
        raise ValueError(f"vectors has shape {data.shape}; expected (n, dim) with at least one row to choose")
    choices = sorted(quantizers_by_M)
    # As many panels for each quantizer, so that the same figure can show any of them.
    panels = min([12, *(np.asarray(q.codebooks).shape[1] for q in quantizers_by_M.values())])

    def pictures(m: int, row: int, subspace: int) -> tuple[CourseFigure, CourseFigure]:
        quantizer = quantizers_by_M[m]
        codes = np.asarray(quantizer.encode(data[row : row + 1]))
        book = np.asarray(quantizer.codebooks)[subspace]
        width = book.shape[1]
        piece = data[row, subspace * width : (subspace + 1) * width]
        grid = draw.codebook_grid(book, subvector=piece, chosen=int(codes[0, subspace]), subspace=subspace,
                                  limit=panels)
        return draw.reconstruction(data[row], {m: np.asarray(quantizer.decode(codes))[0]}), grid

    upper, lower = pictures(choices[0], 0, 0)
    if not interactive_allowed():
        return upper
    figures = [live(upper), live(lower)]
    pick = widgets.SelectionSlider(options=choices, value=choices[0], description="M, pieces per vector:",
                                   tooltip="Number of sub-vectors, which is the number of bytes per vector",
                                   style={"description_width": "initial"}, layout=widgets.Layout(width="min(420px, 100%)"))
    row = slider("vector number:", 0, 0, len(data) - 1, tooltip="Which vector to compress")
    subspace = slider("subspace:", 0, 0, choices[0] - 1, tooltip="Whose codebook to show")
    explorer = Explorer([pick, row, subspace], figures, "Codebooks of product quantizers and a vector's reconstruction")

    def update() -> None:
        # The last subspace of the old M may not exist for the new one.
        subspace.max = pick.value - 1
        fresh = pictures(pick.value, row.value, subspace.value)
        for shown, picture in zip(figures, fresh):
            redraw(shown, picture)
        explorer.say(" ".join(alt_text(figure) for figure in fresh))

    handler = guarded(explorer, update)
    for control in (pick, row, subspace):
        control.observe(handler, "value")
    explorer.say(f"{alt_text(upper)} {alt_text(lower)}")
    return explorer


@drawn
def ivf_explorer(
    points: ArrayLike,
    centroids: ArrayLike,
    assign: Callable[[Any, Any], ArrayLike],
    *,
    nprobe: int = 1,
    query: tuple[float, float] | None = None,
) -> Explorer | CourseFigure:
    """Voronoi cells in two dimensions: move the query and widen the search, and see when the true nearest is missed.

    Parameters
    ----------
    points, centroids : (n, 2) and (nlist, 2) float arrays
    assign : (points, centroids) -> (n,) list of each point
    nprobe, query : what to begin with; the query is by default the middle of the points
    """
    data, centres = np.asarray(points, dtype=np.float32), np.asarray(centroids, dtype=np.float32)
    for name, array in (("points", data), ("centroids", centres)):
        if array.ndim != 2 or array.shape[1] != 2 or not len(array):
            raise ValueError(f"{name} has shape {array.shape}; this picture is two-dimensional and needs (n, 2) with at least one row")
    if not 1 <= nprobe <= len(centres):
        raise ValueError(f"nprobe is {nprobe}; with {len(centres)} centroids allowed are 1 to {len(centres)}")
    lists = np.asarray(assign(data, centres)).astype(int)
    low, high = data.min(axis=0), data.max(axis=0)
    start = data.mean(axis=0) if query is None else np.asarray(query, dtype=float)

    def picture(probes: int, x: float, y: float) -> CourseFigure:
        at = np.array([x, y])
        probed = np.argsort(((centres - at) ** 2).sum(axis=1), kind="stable")[:probes]
        squared = ((data - at) ** 2).sum(axis=1)
        scanned = np.where(np.isin(lists, probed), squared, np.inf)
        found = int(scanned.argmin()) if np.isfinite(scanned).any() else None
        return draw.voronoi_2d(data, centres, lists, at, probed.tolist(), found=found, true=int(squared.argmin()))

    still = picture(nprobe, float(start[0]), float(start[1]))
    if not interactive_allowed():
        return still
    figure = live(still)
    # The axes stay where they are while the query moves inside the points' range.
    probes = slider("nprobe, cells to look into:", nprobe, 1, len(centres), tooltip="How many of the nearest cells to search")
    across, up = (
        slider(f"query, {name} coordinate:", float(np.clip(start[axis], low[axis], high[axis])), float(low[axis]),
               float(high[axis]), step=float(high[axis] - low[axis]) / 100, tooltip=f"Move the query along the {name} coordinate")
        for axis, name in enumerate(("first", "second"))
    )
    explorer = Explorer([probes, across, up], [figure], "Inverted file: Voronoi cells and the probed ones")

    def update() -> None:
        fresh = picture(probes.value, across.value, up.value)
        redraw(figure, fresh)
        explorer.say(alt_text(fresh))

    handler = guarded(explorer, update)
    for control in (probes, across, up):
        control.observe(handler, "value")
    return explorer


@drawn
def hnsw_player(
    hops: Sequence[Any],
    xy: ArrayLike,
    levels: ArrayLike,
    query_xy: ArrayLike,
    *,
    neighbors: Callable[[int, int], ArrayLike] | None = None,
    interval: int = 900,
) -> Explorer | CourseFigure:
    """Walk through the layers of an HNSW graph, hop by hop: play, pause, step forward and back.

    Parameters
    ----------
    hops : `index.trace(query, k, ef_search)`
    xy : (n, 2) place of each node
    levels : (n,) highest layer of each node, `index.levels`
    query_xy : (2,) place of the query
    neighbors : (node, level) -> linked nodes, `index.neighbors`; with it the graph's links are drawn
    interval : milliseconds per hop while playing
    """
    walk = list(hops)
    edges = None if neighbors is None else _edges(neighbors, np.asarray(levels))

    def picture(step: int) -> CourseFigure:
        return draw.hnsw_walk(xy, levels, walk, step, query_xy, edges=edges)

    return stepped(picture, len(walk), "hop", "Which hop of the search to show; arrow keys step", "HNSW search, hop by hop",
                   interval=interval)


def _edges(neighbors: Callable[[int, int], ArrayLike], levels: np.ndarray) -> dict[int, np.ndarray]:
    """Every layer's links, each once."""
    linked: dict[int, np.ndarray] = {}
    for level in range(int(levels.max()) + 1):
        pairs = {(min(int(a), int(b)), max(int(a), int(b)))
                 for a in np.flatnonzero(levels >= level) for b in np.asarray(neighbors(int(a), level)).ravel()}
        linked[level] = np.array(sorted(pairs), dtype=int).reshape(-1, 2)
    return linked


def _short(text: str, limit: int = 220) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1].rsplit(" ", 1)[0] + " …"

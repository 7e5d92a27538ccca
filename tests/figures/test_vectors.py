"""Every figure of section 01: title, axes, an alternative in words with the computed numbers, and refusals that help."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from aieng.data.projection import Projection, explained_share, pca_2d
from aieng.figures import theme
from aieng.figures import vectors as draw

PLACES = np.random.default_rng(0).normal(size=(40, 2))
CENTRES = np.array([[-1.0, -1.0], [1.0, 1.0], [1.0, -1.0]])
LISTS = ((PLACES[:, None] - CENTRES) ** 2).sum(-1).argmin(1)
LEVELS = np.where(np.arange(40) % 10 == 0, 1, 0)
HOPS = [(1, 0, [10, 20], 4.0), (1, 10, [0, 30], 2.5), (0, 10, [11, 12, 13], 2.5), (0, 12, [], 1.25)]
PAIRS = [("A cat sleeps.", "A kitten naps."), ("I love it.", "I hate it."), ("A train.", "A pear.")]
NAMES = [f"title {i}" for i in range(40)]
BOOK = np.random.default_rng(1).normal(size=(6, 40))

# name -> (figure, what its text alternative has to say)
FIGURES: dict[str, tuple[Callable[[], theme.CourseFigure], list[str]]] = {
    "corpus_map": (
        lambda: draw.corpus_map(PLACES, NAMES, NAMES, ["food"] * 25 + ["animal"] * 15, [3, 1], PLACES[3], 0.5, query_text="soup"),
        ["40 passages", "25 food", "15 animal", "'soup'", "title 3 and title 1"]),
    "corpus_map without a query": (lambda: draw.corpus_map(PLACES, NAMES, NAMES, ["food"] * 40), ["40 food"]),
    "similarity_bars": (
        lambda: draw.similarity_bars(PAIRS, [0.81, 0.5, -0.03], groups=["similar", "similar", "unrelated"]),
        ["3 sentence pairs", "'A cat sleeps.' and 'A kitten naps.': 0.81", "-0.03"]),
    "rank_bars": (
        lambda: draw.rank_bars("king − man + woman", [("king", 0.8), ("queen", 0.71)], inputs=("king",)),
        ["1. king (0.800, an input)", "2. queen (0.710)"]),
    "scaling_plot": (
        lambda: draw.scaling_plot([100, 1000, 10_000], {"yours": [1e-3, 1e-2, 1e-1], "flat": [1e-3] * 3}),
        ["1 ms for 100 rows", "100 ms for 10,000", "slope 1.00", "slope 0.00"]),
    "bytes_recall": (
        lambda: draw.bytes_recall([("PQ M=8", 8, 0.31), ("PQ M=16", 16, 0.45), ("SQ", 384, 0.99)], float_bytes=1536),
        ["PQ M=8: 8 bytes, recall 0.310", "SQ: 384 bytes, recall 0.990", "1536 bytes"]),
    "codebook_grid": (
        lambda: draw.codebook_grid(BOOK, subvector=BOOK[4] + 0.01, chosen=4, limit=5, subspace=2),
        ["subspace 2", "first 32 of 40 dimensions", "Nearest: code 4 at squared distance 0.004", "got code 4"]),
    "codebook_grid of one code": (lambda: draw.codebook_grid(BOOK[:1, :4]), ["1 small bar charts", "4 dimensions"]),
    "reconstruction": (
        lambda: draw.reconstruction(BOOK[0], {2: BOOK[0] * 0.5, 4: BOOK[0]}),
        ["first 32 of 40", "M = 2 in 2 bytes leaves 25%", "M = 4 in 4 bytes leaves 0%"]),
    "voronoi_2d": (
        lambda: draw.voronoi_2d(PLACES, CENTRES, LISTS, [0.2, 0.1], [1, 2], found=3, true=5),
        ["40 points in 3 Voronoi cells", "probes 2", f"{int(np.isin(LISTS, [1, 2]).sum())} points", "missed"]),
    "voronoi_2d without a query": (lambda: draw.voronoi_2d(PLACES, CENTRES, LISTS), ["probes 0", "0 points, 0%"]),
    "recall_latency": (
        lambda: draw.recall_latency({"IVF": [(1, 0.5, 2e-5), (8, 0.9, 1e-4)]}, k=5),
        ["Recall at 5", "recall 0.500 at 0.02 ms (nprobe 1)", "recall 0.900 at 0.1 ms (nprobe 8)"]),
    "throughput": (
        lambda: draw.recall_latency({"HNSW": [(10, 0.7, 2e-4)]}, parameter="ef_search", axis="throughput"),
        ["queries per second", "(ef_search 10)"]),
    "hnsw_walk": (
        lambda: draw.hnsw_walk(PLACES, LEVELS, HOPS, 2, [0.0, 0.0], edges={0: np.array([[10, 11]]), 1: np.array([[0, 10]])}),
        ["40 nodes in 2 layers", "Hop 3 of 4, number 1 on layer 0", "node 10 at distance 2.5, 3 neighbours", "best distance so far 2.5"]),
    "stage_bars": (
        lambda: draw.stage_bars({"embed": 0.012, "ann": 0.003}), ["15 ms in all", "embed 12 ms", "ann 3 ms"]),
    "stage_bars of two runs": (
        lambda: draw.stage_bars({"HNSW": {"embed": 0.012}, "exact": {"embed": 0.012, "ann": 0.003}}),
        ["HNSW, 12 ms in all", "exact, 15 ms in all", "ann 0 ms"]),
    "drift_bars": (
        lambda: draw.drift_bars(["before", "after"], {"IVF": [0.95, 0.6], "PQ": [0.8, 0.41]}),
        ["IVF: 0.950 before, 0.600 after", "PQ: 0.800 before, 0.410 after"]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_in_words_what_it_shows(name):
    make, said = FIGURES[name]
    text = theme.alt_text(make())
    assert len(text) > 30
    for phrase in said:
        assert phrase in text, text


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_title_axis_titles_and_marks(name):
    fig = FIGURES[name][0]()
    assert fig.layout.title.text.startswith("<b>") and theme.title_text(fig)
    for kind in ("x", "y"):
        assert any(axis.title.text for axis in getattr(fig, f"select_{kind}axes")()), f"no {kind} axis has a title"
    assert any(np.size(trace.x) for trace in fig.data)
    assert fig.layout.paper_bgcolor in (None, theme.CLEAR) and fig.layout.template.layout.paper_bgcolor == theme.CLEAR
    assert fig.layout.height >= 190
    json.loads(fig.to_json())


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_shown_with_its_description(name, monkeypatch):
    shown: list[Any] = []
    monkeypatch.setattr("IPython.display.display", lambda thing, **_: shown.append(thing))
    monkeypatch.setattr(theme.pio.renderers, "default", "plotly_mimetype")
    fig = FIGURES[name][0]()
    fig._ipython_display_()
    bundle, below = shown
    assert "application/vnd.plotly.v1+json" in bundle and bundle["text/plain"].startswith("[Figure] ")
    assert "<details" in below.data and theme.description_html(theme.alt_text(fig)) in below.data


def test_no_series_hangs_on_colour_alone():
    curves = {f"index {i}": [(1, 0.5, 1e-4), (2, 0.6 + i / 100, 2e-4)] for i in range(6)}
    lines = draw.recall_latency(curves).data
    assert len({(t.marker.symbol, t.line.dash) for t in lines}) == len({t.line.color for t in lines}) == 6
    bars = draw.drift_bars(["before"], {f"index {i}": [0.5] for i in range(6)}).data
    assert len({t.marker.pattern.shape for t in bars}) == 6
    categories = [f"kind {i % 15}" for i in range(40)]
    marks = draw.corpus_map(PLACES, NAMES, NAMES, categories).data[:-3]
    assert len({(t.marker.color, t.marker.symbol) for t in marks}) == 15


@pytest.mark.parametrize("background", ["#ffffff", "#111111"])
@pytest.mark.parametrize("color", [theme.BLUE, theme.VERMILLION, theme.GREY])
def test_the_main_colours_stand_out_on_the_light_and_the_dark_page(color, background):
    def luminance(hexed: str) -> float:
        parts = [int(hexed[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(color), luminance(background)))
    assert (high + 0.05) / (low + 0.05) >= 3


def test_the_text_follows_the_theme_of_jupyterlab():
    assert "var(--jp-ui-font-color1" in theme.STYLE and "fill:" in theme.STYLE


def test_markup_in_a_title_or_passage_is_shown_not_obeyed():
    fig = draw.corpus_map(PLACES[:1], ["<img src=x>"], ["<b>bold</b>"], ["food"])
    assert "<img" not in fig.data[0].text[0] and "&lt;img" in fig.data[0].text[0]
    assert "<script>" not in theme.description_html("<script>")


def test_long_sentences_that_begin_alike_keep_a_bar_each():
    start = "The same long opening of more than forty-four characters, then "
    fig = draw.similarity_bars([(start + "this", "b"), (start + "that", "b")], [0.9, 0.1])
    assert len(set(fig.data[0].y)) == 2
    assert len(fig.layout.yaxis.ticktext) == 2


def test_the_number_of_a_negative_bar_has_room_beside_the_sentences():
    assert draw.similarity_bars(PAIRS[:1], [-0.4]).layout.xaxis.range[0] < -0.5
    assert draw.similarity_bars(PAIRS[:1], [0.4]).layout.xaxis.range[0] == 0


def test_the_slope_is_that_of_the_power_law():
    slope, intercept = draw.fit_slope([10, 100, 1000], [2e-3, 2e-1, 2e1])
    assert slope == pytest.approx(2) and intercept == pytest.approx(np.log10(2e-5))


def test_voronoi_cells_hold_the_points_nearest_to_their_centroid_and_fill_the_box():
    cells = draw.voronoi_cells(CENTRES, [-3, -3], [3, 3])

    def area(cell: np.ndarray) -> float:
        x, y = cell.T
        return 0.5 * float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)))

    assert sum(map(area, cells)) == pytest.approx(36)
    for i, cell in enumerate(cells):
        # A cell is convex: points between its corners belong to it.
        inside = np.random.default_rng(i).dirichlet(np.ones(len(cell)), 200) @ cell
        nearest = ((inside[:, None] - CENTRES) ** 2).sum(-1).argmin(1)
        assert (nearest == i).all()


def test_the_codebook_shows_the_nearest_entries_first_and_marks_the_code():
    fig = draw.codebook_grid(BOOK, subvector=BOOK[4], chosen=4, limit=3)
    titles = [a.text for a in fig.layout.annotations]
    order = ((BOOK - BOOK[4]) ** 2).sum(1).argsort()[:3]
    assert [t.removeprefix("<b>").split(" ·")[0] for t in titles] == [f"code {i}" for i in order]
    assert titles[0].endswith("✓</b>") and not any("✓" in t for t in titles[1:])


def test_the_walk_shows_what_was_looked_at_in_the_layer_of_the_hop_only():
    fig = draw.hnsw_walk(PLACES, LEVELS, HOPS, 2, [0.0, 0.0])
    seen = [t for t in fig.data if t.name == "neighbour looked at" and t.showlegend is False]
    assert [len(t.x) for t in seen] == [0, 3]  # layer 1, layer 0
    np.testing.assert_allclose(np.column_stack([seen[1].x, seen[1].y]), PLACES[[11, 12, 13]])
    ways = [list(t.customdata) for t in fig.data if t.name == "way so far" and t.showlegend is False]
    assert ways == [[0, 10], [10]]


REFUSALS: dict[str, tuple[Callable[[], Any], str]] = {
    "map: one title short": (lambda: draw.corpus_map(PLACES, NAMES[:39], NAMES, NAMES), "40 rows.*39 titles"),
    "map: three columns": (lambda: draw.corpus_map(np.zeros((4, 3)), NAMES[:4], NAMES[:4], NAMES[:4]), r"\(4, 3\)"),
    "map: no rows": (lambda: draw.corpus_map(np.zeros((0, 2)), [], [], []), "no rows"),
    "map: row 40": (lambda: draw.corpus_map(PLACES, NAMES, NAMES, NAMES, [40]), "40 is not one of the 40 rows"),
    "map: query": (lambda: draw.corpus_map(PLACES, NAMES, NAMES, NAMES, None, [[1, 2]]), r"query_xy has shape \(1, 2\)"),
    "pairs: scores": (lambda: draw.similarity_bars(PAIRS, [0.1]), "3 pairs"),
    "pairs: none": (lambda: draw.similarity_bars([], []), "empty"),
    "pairs: groups": (lambda: draw.similarity_bars(PAIRS, [0.1] * 3, groups=["a"]), "1 entries for 3 pairs"),
    "ranking: none": (lambda: draw.rank_bars("a", []), "empty"),
    "slope: one size": (lambda: draw.fit_slope([1], [1]), "two or more"),
    "slope: zero": (lambda: draw.fit_slope([1, 2], [0, 1]), "above zero"),
    "scaling: none": (lambda: draw.scaling_plot([1, 2], {}), "empty"),
    "scaling: lengths": (lambda: draw.scaling_plot([1, 2, 3], {"a": [1, 2]}), "equally long"),
    "bytes: none": (lambda: draw.bytes_recall([]), "empty"),
    "bytes: zero": (lambda: draw.bytes_recall([("PQ", 0, 0.5)]), "above 0"),
    "bytes: percent": (lambda: draw.bytes_recall([("PQ", 8, 50)]), "between 0 and 1"),
    "codebook: all subspaces": (lambda: draw.codebook_grid(np.zeros((2, 3, 4))), r"\(2, 3, 4\)"),
    "codebook: piece": (lambda: draw.codebook_grid(BOOK, subvector=np.zeros(3)), r"\(3,\)"),
    "codebook: code": (lambda: draw.codebook_grid(BOOK, chosen=6), "0 to 5"),
    "codebook: limit": (lambda: draw.codebook_grid(BOOK, limit=0), "at least 1"),
    "reconstruction: matrix": (lambda: draw.reconstruction(BOOK, {1: BOOK}), "one vector"),
    "reconstruction: shape": (lambda: draw.reconstruction(BOOK[0], {2: BOOK[0, :3]}), "M=2"),
    "reconstruction: none": (lambda: draw.reconstruction(BOOK[0], {}), "at least one"),
    "voronoi: lists": (lambda: draw.voronoi_2d(PLACES, CENTRES, LISTS[:3]), "assignments has shape"),
    "voronoi: list 3": (lambda: draw.voronoi_2d(PLACES, CENTRES, np.full(40, 3)), "assignments: 3 is not one of the 3"),
    "voronoi: probed": (lambda: draw.voronoi_2d(PLACES, CENTRES, LISTS, [0, 0], [-1]), "probed: -1"),
    "voronoi: found": (lambda: draw.voronoi_2d(PLACES, CENTRES, LISTS, [0, 0], [1], found=99, true=1), "99"),
    "voronoi: query": (lambda: draw.voronoi_2d(PLACES, CENTRES, LISTS, [0, 0, 0]), "query has shape"),
    "voronoi: no centroids": (lambda: draw.voronoi_2d(PLACES, np.zeros((0, 2)), LISTS), "0 centroids"),
    "curves: axis": (lambda: draw.recall_latency({"a": [(1, 0.5, 1.0)]}, axis="time"), "'latency' and 'throughput'"),
    "curves: none": (lambda: draw.recall_latency({}), "empty"),
    "curves: empty": (lambda: draw.recall_latency({"IVF": []}), "'IVF'"),
    "curves: no time": (lambda: draw.recall_latency({"IVF": [(1, 0.5, 0.0)]}), "above 0"),
    "walk: step": (lambda: draw.hnsw_walk(PLACES, LEVELS, HOPS, 4, [0, 0]), "0 to 3"),
    "walk: no hops": (lambda: draw.hnsw_walk(PLACES, LEVELS, [], 0, [0, 0]), "hops is empty"),
    "walk: levels": (lambda: draw.hnsw_walk(PLACES, LEVELS[:2], HOPS, 0, [0, 0]), "levels has shape"),
    "walk: node": (lambda: draw.hnsw_walk(PLACES, LEVELS, [(0, 77, [], 1.0)], 0, [0, 0]), "77"),
    "walk: query": (lambda: draw.hnsw_walk(PLACES, LEVELS, HOPS, 0, [0, 0, 0]), "query_xy"),
    "stages: none": (lambda: draw.stage_bars({}), "empty"),
    "stages: empty runs": (lambda: draw.stage_bars({"HNSW": {}}), "no stage"),
    "drift: lengths": (lambda: draw.drift_bars(["a", "b"], {"IVF": [0.5]}), "1 recalls for 2 stages"),
    "drift: none": (lambda: draw.drift_bars(["a"], {}), "0 indexes"),
    "alternative: empty": (lambda: theme.describe(theme.new_figure("a"), " "), "empty text"),
    "pca: one row": (lambda: pca_2d(np.zeros((1, 4))), "at least two rows"),
    "pca: NaN": (lambda: pca_2d([[1.0, np.nan], [1.0, 2.0]]), "NaN"),
    "projection: dim": (lambda: pca_2d(BOOK).project(np.zeros(3)), r"\(40,\)"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_input_is_refused_with_what_is_wrong(name):
    call, message = REFUSALS[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_the_map_keeps_most_variance_and_places_new_vectors_on_itself():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 2)) @ np.array([[3, 0, 0, 0], [0, 2, 0, 0]]) + 0.01 * rng.normal(size=(200, 4)) + 5
    projection = pca_2d(x)
    assert isinstance(projection, Projection) and projection.xy.shape == (200, 2)
    np.testing.assert_allclose(projection.components @ projection.components.T, np.eye(2), atol=1e-5)
    np.testing.assert_allclose(projection.project(x), projection.xy, atol=1e-4)
    assert projection.project(x[0]).shape == (2,)
    assert explained_share(x, projection) > 0.99
    singular = np.linalg.svd(x - x.mean(0), compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(projection.xy, axis=0), singular[:2], rtol=1e-4)
    assert explained_share(np.ones((3, 4)), pca_2d(np.ones((3, 4)))) == 1.0

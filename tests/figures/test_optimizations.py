"""Every figure of section 04: title, axes, an alternative in words with the computed numbers, and refusals that help."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from aieng.figures import experts, paging, theme, tiled_attention

SCORES = np.where(np.tri(8, dtype=bool), np.arange(64).reshape(8, 8) / 10, np.nan)
ORDER = [(0, 0), (4, 0), (4, 4)]

FIGURES: dict[str, tuple[Callable[[], theme.CourseFigure], list[str]]] = {
    "block_pool": (
        lambda: paging.block_pool([["a", "b"], ["c"], []], [[0, 1], [1], []], {"A": [0], "B": [0, 1]}, 2, did="B gets c"),
        ["B gets c", "3 blocks of 2", "1 free", "1 shared", "1 empty slot in", "table B: blocks [0, 1]"]),
    "utilisation": (
        lambda: paging.utilisation_over_time({"strips": [0.1, 0.3], "pages": [0.9, 1.0]}, {"strips": 8, "pages": 40}),
        ["strips: mean 20.0% over 2 steps, 8 requests", "pages: mean 95.0%"]),
    "sharing": (lambda: paging.sharing_bars({"two, samples": (1.5, 3.0)}), ["two, samples: 1.5 MB shared, 3 MB apart"]),
    "places": (
        lambda: paging.places_timeline({"static": [[1, 1, 1], [2, -2, -2]], "continuous": [[1, 1, 1], [2, 3, 0]]}),
        ["static: 3 steps, 67%", "continuous: 3 steps, 83%"]),
    "parameters": (lambda: experts.parameter_bars({"experts": (45.1e9, 11.3e9), "rest": (1.6e9, 1.6e9)}),
                   ["46.7 in memory, 12.9 used", "experts: 45.10 in memory"]),
    "loads": (lambda: experts.expert_loads({"with": [0.5, 0.5], "without": [0.9, 0.1]}), ["with: 50 %, 50 %", "without: 90 %, 10 %"]),
    "touched": (lambda: experts.experts_touched_plot({1: 2.0, 8: 7.2}, {1: 2.0, 8: 7.1}, {1: 26.0, 8: 10.6}),
                ["2.0 experts and 26 GB per token for 1", "7.2 experts"]),
    "flow": (lambda: experts.token_flow(["x", "y"], [[2, 0], [2, 1]], [[0.7, 0.3], [0.5, 0.5]], 3, loss=2.5, max_k=3),
             ["2 tokens flow to their 2 of 3", "expert 2 2", "Balance loss 2.50"]),
    "costs": (
        lambda: tiled_attention.cost_curves([256, 512], {"naive": [0.01, 0.04], "yours": [0.01, 0.02]},
                                            {"naive": [1e6, 4e6], "yours": [1e5, 2e5]}),
        ["At 512 tokens", "naive: 40 ms and 4 MB", "yours: 20 ms and 0.2 MB"]),
    "traffic": (lambda: tiled_attention.traffic_bars({48: 3e7}, {48: 4e6}, {48: 4e6}, {48: 1e6}, 1024, 64),
                ["naive, counted: 30 MB with 48 KiB", "yours, counted: 4 MB"]),
    "tiles": (
        lambda: tiled_attention.tile_steps(SCORES, 4, 4, 1, np.arange(8.0), np.ones(8), ORDER),
        ["Tile 2 of 3", "queries 4 to 7, keys 0 to 3", "8 of 8 rows"]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_has_title_and_words(name):
    make, told = FIGURES[name]
    figure = make()
    assert isinstance(figure, theme.CourseFigure) and figure.layout.title.text
    text = theme.alt_text(figure)
    for part in told:
        assert part in text, text
    json.loads(figure.to_json())


@pytest.mark.parametrize("name", FIGURES)
def test_axes_that_are_seen_have_titles(name):
    figure = FIGURES[name][0]()
    titles = [axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes()) if axis.visible is not False]
    assert name in ("block_pool", "flow") or any(titles)


@pytest.mark.parametrize("call", [
    lambda: paging.block_pool([[]], [], {}, 2), lambda: paging.block_pool([], [], {str(i): [] for i in range(9)}, 2),
    lambda: paging.utilisation_over_time({"a": [1]}, {"b": 1}), lambda: paging.sharing_bars({}), lambda: paging.places_timeline({}),
    lambda: experts.parameter_bars({}), lambda: experts.expert_loads({}), lambda: experts.expert_loads({"a": [1], "b": [1, 0]}),
    lambda: experts.experts_touched_plot({1: 1}, {2: 1}, {1: 1}), lambda: experts.token_flow(["a"], [[5]], [[1.0]], 3),
    lambda: experts.token_flow(["a"], [[0]], [[1.0], [1.0]], 3), lambda: tiled_attention.cost_curves([1], {"a": [1]}, {"b": [1]}),
    lambda: tiled_attention.traffic_bars({1: 1}, {2: 1}, {1: 1}, {1: 1}, 8, 8),
    lambda: tiled_attention.tile_steps(SCORES, 4, 4, 3, np.zeros(8), np.ones(8), ORDER),
    lambda: tiled_attention.tile_steps(SCORES, 4, 4, 0, np.zeros(7), np.ones(8), ORDER)])
def test_refuses_what_it_cannot_draw(call):
    with pytest.raises(ValueError):
        call()

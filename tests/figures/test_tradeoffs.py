"""The pictures of section 05: what they hold, and that they say it in words."""

import numpy as np
import pytest

from aieng.figures import tradeoffs as draw
from aieng.figures.theme import alt_text, title_text


@pytest.mark.parametrize("figure", [
    draw.levels_over_weights(np.linspace(-1, 2, 32), np.linspace(-1, 2, 16), 0.05),
    draw.size_perplexity([("RTN 4 bits", 90.0, 55.4), ("GPTQ 4 bits", 90.0, 51.5)], 41.0),
    draw.lines({"dense": ([512, 1024], [1.0, 40.0]), "sparse": ([512, 1024], [1.0, 2.0])}, "Time", "tokens", "ms", log_x=True, log_y=True),
    draw.paired_bars(["q", "k"], {"nearest": [0.2, 0.3], "gptq": [0.1, 0.2]}, "Errors", "squared error"),
    draw.seeds({"PTQ": [50.0, 52.0], "QAT": [60.0]}, "Rounding", "accuracy (%)"),
    draw.mask_grid([np.eye(5, dtype=bool), np.ones((5, 5), dtype=bool)], 2),
    draw.draft_trace([([" the", " cat"], 1, " dog"), ([], 0, ".")]),
], ids=lambda f: title_text(f))
def test_every_figure_has_a_title_and_words(figure):
    assert title_text(figure) and len(alt_text(figure)) > 40 and figure.data
    assert figure.layout.yaxis.title.text


def test_layers_needed():
    grid = draw.mask_grid([np.eye(3, dtype=bool), np.tril(np.ones((3, 3), dtype=bool))], 2).data[0].z
    assert grid[1][1] == 1 and grid[2][0] == 2 and np.isnan(grid[0][2])


def test_trace_places():
    figure = draw.draft_trace([([" a", " b", " c"], 1, " x")])
    kept, thrown, own = figure.data
    assert list(kept.x) == [0] and list(own.x) == [1] and list(thrown.x) == [2, 3]


def test_refusals():
    with pytest.raises(ValueError, match="rows is empty"):
        draw.size_perplexity([], 1.0)

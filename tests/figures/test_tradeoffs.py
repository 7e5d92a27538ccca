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
    draw.draft_length_curves([0, 2], [np.nan, 0.5], [np.nan, 0.6], [1, 2], [1, 2.2], [1, 1.5], [1, 1.3]),
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
    places = [[round(float(at)) for at in np.array(bar.base) + np.array(bar.x) / 2] for bar in (kept, own, thrown)]
    assert places == [[0], [1], [2, 3]] and list(own.text) == ["+·x"]
    assert all(len(cell) <= 10 for cell in draw.draft_trace([([" interesting"], 1, "x")]).data[0].text), "no text leaves its cell"


def test_the_dotted_line_is_the_best_of_each_size():
    figure = draw.size_perplexity([("A one", 100, 40.0), ("B two", 90, 50.0), ("C three", 95, 60.0), ("D four", 80, 70.0)], 39.0)
    line = next(trace for trace in figure.data if trace.name == "best for its size")
    assert list(line.x) == [80, 90, 100] and list(line.y) == [70, 50, 40]


def test_draft_curves_leave_out_what_was_not_proposed():
    figure = draw.draft_length_curves([0, 2], [np.nan, 0.5], [np.nan, 0.6], [1, 2], [1, 2.2], [1, 1.5], [1, 1.3])
    assert list(figure.data[0].x) == [2] and list(figure.data[2].x) == [0, 2] and "kept, measured: 0.50 at 2" in alt_text(figure)
    with pytest.raises(ValueError, match="one each"):
        draw.draft_length_curves([0, 2], [0.5], [0.6], [1], [1], [1], [1])


def test_refusals():
    with pytest.raises(ValueError, match="rows is empty"):
        draw.size_perplexity([], 1.0)

"""The pictures of 6.1 and 6.2: what they hold, and that they say it in words."""

from __future__ import annotations

import numpy as np
import pytest

from aieng.figures import reasoning as draw
from aieng.figures.theme import alt_text, title_text

BAND = ([0.1, 0.4], [0.05, 0.3], [0.2, 0.5])


@pytest.mark.parametrize("figure", [
    draw.accuracy_by_steps({"direct": [[0.9, 0.2], [0.8, 0.1]], "scratchpad": [[1.0, 1.0]]}, 100, 0.1),
    draw.banded("Votes", "chains", "right", [1, 10], {"scratchpad": BAND}, levels={"greedy": 0.3}, log_x=True),
    draw.best_of_n_panels([1, 2], {"right": {"ORM": BAND, "PRM": BAND}, "sound": {"ORM": BAND, "PRM": BAND}}),
    draw.step_probabilities(np.eye(10)[[2, 6]], [2, 7], [2, 6], ["+5", "*3"], "Steps"),
    draw.judged_steps(["7 +5 = 2", "2 *3 = 7"], [True, False], {"ORM": [0.9, 0.6], "PRM": [1.0, 0.1]}, "Judges"),
    draw.credit_by_errors({"PRM": {0: [1.0, 0.9], 1: [0.8]}}),
], ids=lambda f: title_text(f))
def test_every_figure_has_a_title_and_words(figure):
    assert title_text(figure) and len(alt_text(figure)) > 40 and figure.data
    assert figure.layout.yaxis.title.text and figure.layout.xaxis.title.text


def test_words_carry_the_numbers():
    figure = draw.step_probabilities(np.eye(10)[[2, 6]], [2, 7], [2, 6], ["+5", "*3"], "Steps")
    assert "most likely 6 with 100%, written 7, right would be 6" in alt_text(figure)
    assert "planted" not in alt_text(figure) and "(wrong)" in alt_text(draw.judged_steps(["a"], [False], {"x": [0.2]}, "t"))
    nothing = draw.step_probabilities(np.full((1, 10), np.nan), [-1], [3], ["+1"], "Direct")
    assert "writes nothing" in alt_text(nothing)


def test_panels_share_one_legend():
    figure = draw.best_of_n_panels([1, 2], {"right": {"ORM": BAND, "PRM": BAND}, "sound": {"ORM": BAND, "PRM": BAND}})
    assert [trace.showlegend for trace in figure.data] == [None, None, False, False]


def test_refusals():
    with pytest.raises(ValueError, match="series is empty"):
        draw.banded("t", "x", "y", [1], {})
    with pytest.raises(ValueError, match="seeds is empty"):
        draw.accuracy_by_steps({}, 1, 0.1)
    with pytest.raises(ValueError, match="10"):
        draw.step_probabilities(np.ones((2, 9)), [1, 2], [1, 2], ["a", "b"], "t")
    with pytest.raises(ValueError, match="places"):
        draw.banded("t", "x", "y", [1, 2, 3], {"a": BAND})
    with pytest.raises(ValueError, match="judge"):
        draw.judged_steps(["a"], [True], {}, "t")
    with pytest.raises(ValueError, match="groups is empty"):
        draw.credit_by_errors({})

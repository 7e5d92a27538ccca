"""The picture of 1.4: both panels show the quantizer they are given, and the words say its numbers."""

from __future__ import annotations

import numpy as np
import pytest

from aieng.figures.scalar_quantization import ruler
from aieng.figures.theme import alt_text


def test_the_enlarged_panel_is_a_staircase_and_the_words_name_the_step():
    values, closer = np.linspace(-0.2, 1.2, 200), np.linspace(0.4, 0.8, 100)

    def back(x):
        return np.clip(np.rint(x / 0.1), 0, 10) * 0.1

    fig = ruler(values, back(values), closer, back(closer), np.linspace(0.4, 0.6, 50), 0.0, 1.0, 0.1)
    stairs = [t for t in fig.data if t.name == "comes back"]
    assert len(stairs) == 2 and len(np.unique(np.round(stairs[1].y, 6))) == 5
    assert [t.showlegend for t in stairs] == [True, False]
    assert fig.layout.xaxis.title.text and fig.layout.yaxis.title.text
    for fact in ("steps 0.1 high", "Between 0 and 1", "enlarges 4 of them", "100% of the values lie in the middle half"):
        assert fact in alt_text(fig)


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        ruler([0, 1], [0], [0, 1], [0, 1], [0, 1], 0.0, 1.0, 0.1)

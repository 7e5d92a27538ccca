"""The pictures of section 03: what they draw, what they say, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from aieng.figures.internals import attention_steps, cache_growth, position_heat_map, rope_dials, similarity_maps
from aieng.figures.theme import alt_text
from aieng.transformer.positions import sinusoidal_positions


def test_heat_map_counts_the_waves():
    fig = position_heat_map(sinusoidal_positions(100, 64))
    assert np.asarray(fig.data[0].z).shape == (100, 64)
    assert "first feature changes its sign 31 times, the last sine 0 times" in alt_text(fig)  # 100 radians are 31.8 half turns
    with pytest.raises(ValueError, match="expected"):
        position_heat_map(np.zeros(3))


def test_similarity_maps_have_one_panel_a_table():
    fig = similarity_maps({"a": np.eye(5), "b": np.ones((5, 5))})
    assert len(fig.data) == 2 and "a: neighbours 0.00" in alt_text(fig) and "b: neighbours 1.00" in alt_text(fig)


def test_dials_tell_the_angle_and_its_side():
    fig = rope_dials([[0, 1]], [[1, 0]], [3], 5, 4, 1.5, highest=2.0)  # the query a quarter turn ahead
    assert "pair 3 by 90°" in alt_text(fig) and "distance 1" in fig.layout.title.text
    assert "pair 3 by -90°" in alt_text(rope_dials([[1, 0]], [[0, 1]], [3], 4, 5, 1.5, highest=2.0))
    with pytest.raises(ValueError, match=r"expected \(2, 2\)"):
        rope_dials([[0, 1]], [[1, 0]], [3, 4], 5, 4, 1.5, highest=2.0)


def test_attention_hides_the_future_and_adds_up():
    values = np.array([[1.0, 0.0], [0.0, 2.0], [9.0, 9.0]])
    fig = attention_steps(["a", " b", "c"], [0.0, 1.0, np.nan], [0.25, 0.75, 0.0], values, 1, head="layer 0, head 0")
    scores, weights, mixed, total = fig.data
    assert np.isnan(scores.y[2]) and np.isnan(weights.y[2]) and np.isnan(np.asarray(mixed.z)[:, 2]).all()
    np.testing.assert_allclose(np.asarray(total.z)[:, 0], [0.25, 1.5])
    assert "'b' (token 1) 75% and 'a' (token 0) 25%" in alt_text(fig)
    with pytest.raises(ValueError, match="one of each"):
        attention_steps(["a"], [0.0, 1.0], [1.0], values, 0, head="")


def test_cache_growth_counts_passes():
    tokens = list("promptXY")
    fig = cache_growth(tokens, 6, 8, [6, 7, 8], 2, 100.0)
    assert list(np.asarray(fig.data[0].z)[0]) == [1] * 6 + [2, 3]  # prompt, made before, new
    assert "holds 8 of 8 tokens, the new token is 'Y'. So far 8 tokens went through the model; without" in alt_text(fig)
    assert "without a cache it would be 21" in alt_text(fig)
    assert "prompt has just arrived" in alt_text(cache_growth(tokens, 6, 8, [6, 7, 8], 0, 100.0))
    with pytest.raises(ValueError, match="step 3 of 3"):
        cache_growth(tokens, 6, 8, [6, 7, 8], 3, 100.0)

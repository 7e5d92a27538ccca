"""Word arithmetic."""

import numpy as np
import pytest

from aieng.vectors.analogies import analogy

WORDS = {"king": [1, 1, 0.1], "man": [1, 0, 0], "woman": [0, 0, 1], "queen": [0, 1, 1], "apple": [-1, 0, 0], "nothing": [0, 0, 0]}


def test_queen():
    assert [word for word, _ in analogy("king", "man", "woman", WORDS, k=2)] == ["queen", "apple"]


def test_scores_are_cosines_to_the_sum_of_unit_vectors():
    unit = {word: np.array(v, float) / (np.linalg.norm(v) or 1) for word, v in WORDS.items()}
    target = unit["king"] - unit["man"] + unit["woman"]
    ranking = analogy("king", "man", "woman", {w: 3 * np.array(v, np.float32) for w, v in WORDS.items()}, k=6, exclude_inputs=False)
    assert {word for word, _ in ranking} == set(WORDS)
    for word, score in ranking:
        assert score == pytest.approx(unit[word] @ target / np.linalg.norm(target), abs=1e-6)
    assert [s for _, s in ranking] == sorted((s for _, s in ranking), reverse=True)


@pytest.mark.parametrize(("words", "k", "message"), [(("king", "man", "prince"), 1, "prince"), (("king", "man", "woman"), 4, "3 words"),
                                                     (("king", "man", "woman"), 0, "k is 0")])
def test_refusals(words, k, message):
    with pytest.raises(ValueError, match=message):
        analogy(*words, WORDS, k)

"""Retrieval and the prompt's budget."""

from __future__ import annotations

import numpy as np
import pytest

from aieng.generation.rag import build_prompt, retrieve

PASSAGES = ["Ada wrote notes.", "Bo ran over many hills that day.", "Ada wrote notes.", "Cy sang."]


def search(queries, k):
    scores, ids = np.array([[0.9, 0.4, np.nan]]), np.array([[7, 2, -1]])
    return scores[:, :k], ids[:, :k]


def test_best_first_and_only_what_was_found():
    assert retrieve("q", lambda t: np.ones((len(t), 3)), search, 3) == [(7, 0.9), (2, 0.4)]
    assert retrieve("q", lambda t: np.ones((len(t), 3)), search, 3, min_score=0.5) == [(7, 0.9)]
    with pytest.raises(ValueError, match="at least one"):
        retrieve("q", lambda t: t, search, 0)


def test_prompt_uses_each_passage_in_turn_that_fits():
    prompt, used = build_prompt("Who?", PASSAGES, 1000, len)
    assert used == [0, 1, 3] and prompt.count("Ada") == 1 and "[3] Cy sang." in prompt and prompt.endswith("Question: Who?\nAnswer:")
    tight = len(build_prompt("Who?", ["Ada wrote notes.", "Cy sang."], 1000, len)[0])
    prompt, used = build_prompt("Who?", PASSAGES, tight, len)
    assert used == [0, 3] and len(prompt) == tight
    with pytest.raises(ValueError, match="raise it"):
        build_prompt("Who?", PASSAGES, 10, len)

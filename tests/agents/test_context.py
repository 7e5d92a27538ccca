"""MMR against its definition, packing against all subsets, composing against a plain layout, nDCG against scikit-learn."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score
from sklearn.metrics.pairwise import cosine_similarity

from aieng.agents.context import compose, mmr, ndcg, pack_context, question_likelihood


def test_mmr_picks_the_best_of_every_round():
    rng = np.random.default_rng(0)
    for trade_off in (0.0, 0.4, 0.8, 1.0):
        q, c = rng.normal(size=5), rng.normal(size=(12, 5)) * rng.uniform(0.1, 9, (12, 1))
        near, between = cosine_similarity(q[None], c)[0], cosine_similarity(c)
        got = mmr(q, c, 12, trade_off)
        assert sorted(got) == list(range(12))
        for step, row in enumerate(got):
            score = {i: trade_off * near[i] - (1 - trade_off) * (max(between[i, s] for s in got[:step]) if step else 0)
                     for i in range(12) if i not in got[:step]}
            assert score[row] == pytest.approx(max(score.values()))


@pytest.mark.parametrize(("k", "trade_off"), [(0, 0.5), (4, 0.5), (1, 1.5), (1, -0.1)])
def test_mmr_refuses(k, trade_off):
    with pytest.raises(ValueError, match="need 1 <= k <= 3"):
        mmr([1.0, 0.0], np.eye(2)[[0, 1, 0]], k, trade_off)
    with pytest.raises(ValueError, match="expected"):
        mmr([1.0], np.eye(2), 1)


def test_packing_is_the_best_of_all_subsets():
    rng = np.random.default_rng(1)
    for _ in range(60):
        n, budget = int(rng.integers(0, 9)), int(rng.integers(0, 30))
        values, costs = rng.integers(-2, 7, n).astype(float).tolist(), rng.integers(0, 10, n).tolist()
        worth = {s: (sum(values[i] for i in s), -sum(costs[i] for i in s)) for r in range(n + 1) for s in combinations(range(n), r)}
        best = max(w for w in worth.values() if -w[1] <= budget)
        got = pack_context(values, costs, budget)
        assert worth[tuple(got)] == best and all(values[i] > 0 for i in got)
    with pytest.raises(ValueError, match="as many costs"):
        pack_context([1.0], [], 3)


def test_compose_keeps_to_the_budget_in_every_order():
    texts, scores = ["aa", "b b b", "AA ", "cccc", "d"], [0.1, 0.9, 0.5, 0.5, 0.2]
    for order, ids in {"best_first": [1, 2, 3, 4], "best_last": [4, 3, 2, 1], "edges": [1, 3, 4, 2]}.items():
        prompt, placed = compose("I.", "Q?", texts, scores, 1000, len, order)
        assert placed == ids
        assert prompt == "I.\n\n" + "".join(f"[{n}] {texts[i]}\n" for n, i in enumerate(ids, 1)) + "\nQuestion: Q?\nAnswer:"
        for budget in range(len("I.\n\nQuestion: Q?\nAnswer:"), 90):
            prompt, placed = compose("I.", "Q?", texts, scores, budget, len, order)
            assert len(prompt) <= budget
    with pytest.raises(ValueError, match="raise it"):
        compose("I.", "Q?", texts, scores, 5, len)
    with pytest.raises(ValueError, match="order is"):
        compose("I.", "Q?", texts, scores, 500, len, "sideways")
    with pytest.raises(ValueError, match="one score each"):
        compose("I.", "Q?", texts, [1.0], 500, len)


def test_ndcg_is_sklearns():
    rng = np.random.default_rng(2)
    for _ in range(30):
        n = int(rng.integers(2, 15))
        gains = (rng.random(n) < 0.4).astype(float)
        if gains.any():
            assert ndcg(gains, 5) == pytest.approx(ndcg_score([gains], [-np.arange(n)], k=5))
    assert ndcg([0, 0]) == 0 and ndcg([1]) == 1 and ndcg([0, 1]) == pytest.approx(1 / np.log2(3))


def test_question_likelihood_on_a_model_that_counts():
    """A model whose next token is always the last one plus one: log-probabilities by hand."""

    def encode(text: str) -> list[int]:
        return [ord(sign) % 7 for sign in text]

    def logits(ids: list[int]) -> torch.Tensor:
        scores = torch.zeros(len(ids), 7)
        for row, token in enumerate(ids):
            scores[row, (token + 1) % 7] = 2.0
        return scores

    lm = SimpleNamespace(tokenizer=SimpleNamespace(encode=encode), logits=logits)
    begin, end = encode("ab\nQuestion:"), encode(" cd")
    rows = logits([*begin, *end]).log_softmax(-1)
    want = np.mean([float(rows[len(begin) - 1 + i, token]) for i, token in enumerate(end)])
    assert question_likelihood(lm, "ab", "cd") == pytest.approx(want, abs=1e-6)

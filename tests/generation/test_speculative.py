"""Speculative decoding: proposals, the accept-reject rule enumerated exactly, and its distribution by chi-square."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from aieng.generation.speculative import (
    acceptance_and_residual,
    expected_tokens,
    prompt_lookup,
    speculative_generate,
    speculative_sample,
    verify_greedy,
)


def distributions(seed, *shape):
    scores = 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return scores.softmax(-1)


def test_prompt_lookup_by_hand():
    assert prompt_lookup([5, 6, 7, 8, 5, 6], 2) == [7, 8]
    assert prompt_lookup([5, 6, 7, 9, 6, 1, 5, 6], 3) == [7, 9, 6]  # two tokens match further back, one nearer: two win
    assert prompt_lookup([1, 2, 1, 3, 1], 5) == [3, 1]  # the latest place, and not beyond the end
    assert prompt_lookup([1, 2, 3], 4) == [] and prompt_lookup([1], 4) == [] and prompt_lookup([], 4) == []
    assert prompt_lookup([4, 4], 3) == [4]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=25), st.integers(0, 6), st.integers(1, 4))
def test_prompt_lookup_finds_the_longest_then_latest(ids, count, longest):
    best = []
    for n in range(longest, 0, -1):
        places = [i for i in range(len(ids) - n) if ids[i : i + n] == ids[len(ids) - n :]]
        if places:
            best = ids[places[-1] + n :][:count]
            break
    assert prompt_lookup(ids, count, longest) == best


def test_verify_greedy():
    logits = torch.full((4, 6), -1.0)
    for row, token in enumerate((2, 5, 0, 3)):
        logits[row, token] = 1.0
    assert verify_greedy([2, 5, 0], logits) == [2, 5, 0, 3]
    assert verify_greedy([2, 4, 0], logits) == [2, 5]
    assert verify_greedy([1, 5, 0], logits) == [2]
    assert verify_greedy([], logits[:1]) == [2]
    with pytest.raises(ValueError, match="expected"):
        verify_greedy([2, 5], logits)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_accepting_and_replacing_gives_the_target_exactly(seed, size):
    target, draft = distributions(seed, 2, size)
    if seed % 3 == 0:  # tokens that only one of both can produce
        target[0], draft[-1] = 0, 0
        target, draft = target / target.sum(), draft / draft.sum()
    acceptance, residual = acceptance_and_residual(target, draft)
    assert torch.isclose(residual.sum(), torch.tensor(1.0, dtype=torch.float64)) and (residual >= 0).all()
    out = draft * acceptance + (1 - (draft * acceptance).sum()) * residual
    assert (out - target).abs().max() < 1e-12
    # The share kept is 1 minus the total variation distance.
    assert torch.isclose((draft * acceptance).sum(), 1 - 0.5 * (target - draft).abs().sum())


def test_equal_distributions_reject_nothing():
    p = distributions(1, 5)
    acceptance, residual = acceptance_and_residual(p, p)
    assert (acceptance == 1).all() and torch.equal(residual, p)


def test_every_place_is_distributed_as_the_target():
    """Draft tokens do not depend on each other here, so the first and second outputs can be tested against rows of the target."""
    draft, target = distributions(2, 2, 6), distributions(3, 3, 6)
    generator = torch.Generator().manual_seed(7)
    first, second = torch.zeros(6), torch.zeros(6)
    draws = 20_000
    proposals = torch.multinomial(draft, draws, replacement=True, generator=generator).T.tolist()
    for tokens in proposals:
        out = speculative_sample(tokens, draft, target, generator)
        first[out[0]] += 1
        if len(out) > 1:
            second[out[1]] += 1
    assert chisquare(first, draws * target[0]).pvalue > 1e-3
    assert chisquare(second, second.sum() * target[1]).pvalue > 1e-3


def test_expected_tokens():
    assert expected_tokens(0.8, 5) == pytest.approx(sum(0.8**i for i in range(6)))
    assert expected_tokens(1.0, 4) == 5 and expected_tokens(0.0, 4) == 1


class Cycle:
    """A model with a fixed successor for each token, and a cache that only counts."""

    def __init__(self):
        self.length = 0
        self.passes = 0

    def truncate(self, length):
        assert 0 <= length <= self.length
        self.length = length

    def __call__(self, ids, cache, logits_to_keep):
        self.passes += 1
        self.length += ids.shape[1]
        return torch.nn.functional.one_hot((ids[:, -logits_to_keep:] * 3 + 1) % 7, 7).float()


@pytest.mark.parametrize("count", [0, 1, 4, 9])
@pytest.mark.parametrize("stop", [(), (5,)])
def test_loop_gives_the_tokens_of_plain_decoding(count, stop):
    plain, token = [], 2
    while len(plain) < 30:
        token = (token * 3 + 1) % 7
        plain.append(token)
        if token in stop:
            break
    model = Cycle()
    out = speculative_generate(model, [2], 30, model, num_draft_tokens=count, stop_ids=stop)
    assert out.tokens == plain
    assert len(out.rounds) == model.passes
    if count == 0:
        assert model.passes == len(plain)
    elif not stop:
        assert model.passes < len(plain)

"""Samplers against transformers' logits processors, closed forms and chi-square."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from aieng.generation.sampling import Sampler, greedy, keep_top_k, keep_top_p, sample, scale_temperature


def logits(*shape: int, seed: int = 0, spread: float = 3.0) -> torch.Tensor:
    return spread * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("spread", [0.3, 3.0, 12.0])
@pytest.mark.parametrize("vocab", [5, 1000, 49152])
def test_the_steps_are_transformers(vocab, spread):
    x = logits(3, vocab, seed=vocab, spread=spread)
    torch.testing.assert_close(scale_temperature(x, 0.7), TemperatureLogitsWarper(0.7)(None, x))
    for k in (1, 4, 50, vocab):
        torch.testing.assert_close(keep_top_k(x, k), TopKLogitsWarper(min(k, vocab))(None, x))
    for p in (0.1, 0.5, 0.95):
        ours, theirs = keep_top_p(x, p), TopPLogitsWarper(p)(None, x)
        assert int((ours.isfinite() != theirs.isfinite()).sum()) <= 3 * (vocab > 10_000)  # they cumulate in float32, from the small end
        both = ours.isfinite() & theirs.isfinite()
        assert torch.equal(ours[both], theirs[both])


def test_ties_stay_together():
    x = torch.tensor([[1.0, 3.0, 3.0, 3.0, 0.0]])
    assert torch.equal(keep_top_k(x, 2), TopKLogitsWarper(2)(None, x))
    assert keep_top_p(torch.zeros(10), 0.35).isfinite().all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-16, 16), min_size=1, max_size=30), st.floats(0.01, 1.0))
def test_the_nucleus_is_the_smallest(halves, p):
    x = torch.tensor(halves) / 2  # either equal or clearly different
    kept = keep_top_p(x, p)
    shares = x.double().softmax(-1)
    inside = shares[kept.isfinite()]
    assert float(inside.sum()) >= p - 1e-5
    smaller = inside[inside > 1.1 * inside.min()]  # without the least likely ones it would not reach p
    assert p == 1 or float(smaller.sum()) < p + 1e-5


def test_steps_compose_and_leave_their_input_alone():
    x = logits(4, 60)
    before = x.clone()
    step = keep_top_p(keep_top_k(scale_temperature(x, 0.8), 9), 0.7)
    assert torch.equal(x, before) and bool((step.isfinite().sum(-1) <= 9).all())
    expected = TopPLogitsWarper(0.7)(None, TopKLogitsWarper(9)(None, TemperatureLogitsWarper(0.8)(None, x)))
    torch.testing.assert_close(step, expected)
    assert torch.equal(keep_top_p(x, 1.0), x) and keep_top_p(x.bfloat16(), 0.5).dtype == torch.bfloat16


def test_draws_follow_the_probabilities():
    x, n = torch.tensor([0.3, -1.0, 1.2, -math.inf, 0.0, 2.0]), 40_000
    counts = torch.bincount(sample(x.expand(n, 6), torch.Generator().manual_seed(1)), minlength=6)
    expected = n * x.double().softmax(-1)
    alive = expected > 0
    assert counts[3] == 0 and float(((counts - expected) ** 2)[alive].div(expected[alive]).sum()) < 30  # 4 degrees of freedom
    x = logits(7, 5, 4000)
    first, again = (sample(x, torch.Generator().manual_seed(2)) for _ in range(2))
    assert first.shape == (7, 5) and torch.equal(first, again)


def test_sampler_is_the_steps_in_a_row():
    x = logits(500)
    sampler = Sampler(temperature=0.8, top_k=50, top_p=0.9, seed=4)
    assert torch.equal(sampler.process(x), keep_top_p(keep_top_k(scale_temperature(x, 0.8), 50), 0.9))
    drawn = [sampler(x) for _ in range(20)]
    again = Sampler(temperature=0.8, top_k=50, top_p=0.9, seed=4)
    assert drawn == [again(x) for _ in range(20)] and len(set(drawn)) > 1 and type(drawn[0]) is int
    assert Sampler(temperature=0)(x) == int(greedy(x)) == int(x.argmax())


@pytest.mark.parametrize("call", [
    lambda x: scale_temperature(x, 0.0), lambda x: scale_temperature(x, math.inf), lambda x: keep_top_k(x, 0), lambda x: keep_top_k(x, 2.5),
    lambda x: keep_top_p(x, 0.0), lambda x: keep_top_p(x, 1.1), lambda x: Sampler(temperature=-1),
])
def test_parameters_out_of_range(call):
    with pytest.raises(ValueError):
        call(logits(5))

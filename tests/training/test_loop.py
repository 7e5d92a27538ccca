"""The training loop: learns, warms up, stops, and refuses to go on with NaN."""

from __future__ import annotations

import math

import pytest
import torch

from aieng.training.loop import TrainingConfig, learning_rate_at, random_windows, train


def fit(on_step=None, steps=60):
    w = torch.tensor([[5.0, -3.0]], requires_grad=True)
    losses = train([w], lambda _: (w - 1).square().sum(), TrainingConfig(steps, learning_rate=0.3, weight_decay=0.0), on_step)
    return w, losses


def test_a_quadratic_is_minimised():
    w, losses = fit(steps=120)
    assert losses[-1] < 0.05 < losses[0] and torch.allclose(w.detach(), torch.ones(1, 2), atol=0.2)


def test_false_stops_and_nothing_else_does():
    assert len(fit(lambda step, loss: step < 3)[1]) == 4
    assert len(fit(lambda step, loss: None, steps=7)[1]) == 7


def test_learning_rate_rises_and_falls():
    config = TrainingConfig(100, learning_rate=1.0, warmup=10)
    rates = [learning_rate_at(s, config) for s in range(100)]
    assert rates[:2] == pytest.approx([0.1, 0.2]) and max(rates) == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True) and rates[-1] == pytest.approx(0.1, abs=0.01)


def test_nan_is_an_error():
    w = torch.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match="loss is nan at step 0"):
        train([w], lambda _: w.sum() * math.nan, TrainingConfig(3))


def test_windows():
    ids = torch.arange(50)
    batch = random_windows(ids, 8, 5, torch.Generator().manual_seed(0))
    assert batch.shape == (8, 5) and bool((batch.diff(dim=1) == 1).all())
    assert random_windows(ids, 2, 50, torch.Generator()).tolist() == [list(range(50))] * 2
    with pytest.raises(ValueError, match="shorten"):
        random_windows(ids, 2, 51, torch.Generator())

"""Labels against planted errors, the loss against torch's, best of n against every subset."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch
from torch.nn import functional

from aieng.reasoning import process_supervision as supervision
from aieng.reasoning.scratchpad import Chain, apply, random_chain
from aieng.reasoning.verifiers import best_of_n, process_loss, step_labels, trace_score


def test_labels_by_hand():
    question = Chain(7, ("+5", "*3", "-8"))
    assert step_labels(question, [(7, "+5", 2), (2, "*3", 7), (7, "-8", 9)]) == [True, False, True]
    assert step_labels(question, [(7, "+5", 2), (4, "*3", 2)]) == [True, False]
    assert step_labels(question, [(7, "+5", 2), (2, "*3", 6), (6, "-8", 8), (8, "-8", 0)]) == [True, True, True, False]


def test_traces_are_what_they_are_called():
    rng = random.Random(0)
    for _ in range(300):
        question = random_chain(rng, 5)
        sound, slip, cancelled = (supervision.write_trace(question, kind, rng) for kind in supervision.KINDS)
        assert all(step_labels(question, sound.steps)) and sound.right_answer
        assert step_labels(question, slip.steps).count(False) == 1
        assert cancelled.right_answer and step_labels(question, cancelled.steps).count(False) == 2
    with pytest.raises(ValueError, match="kind"):
        supervision.write_trace(question, "lucky", rng)


def test_loss():
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(6, 4, generator=generator), torch.rand(6, 4, generator=generator) < 0.5
    mask = torch.rand(6, 4, generator=generator) < 0.6
    spoiled = z.masked_fill(~mask, math.nan).requires_grad_()
    loss = process_loss(spoiled, y, mask)
    assert torch.isclose(loss, functional.binary_cross_entropy_with_logits(z[mask], y[mask].float()))
    loss.backward()
    assert spoiled.grad[~mask].eq(0).all() and spoiled.grad.isfinite().all()
    with pytest.raises(ValueError, match="no step"):
        process_loss(z, y, torch.zeros_like(mask))
    with pytest.raises(ValueError, match="shapes"):
        process_loss(z, y[:1], mask)


def test_scores():
    assert trace_score([0.5, 0.25]) == 0.125 and trace_score([0.5, 0.25], "min") == 0.25 and trace_score([0.5, 0.75], "last") == 0.75
    for bad in (([], "prod"), ([0.5], "mean")):
        with pytest.raises(ValueError):
            trace_score(*bad)


def test_best_of_n_is_the_average_over_all_subsets():
    rng = random.Random(2)
    for _ in range(60):
        count = rng.randrange(1, 8)
        scores, right = [rng.choice((0.0, 0.5, rng.random())) for _ in range(count)], [rng.random() < 0.5 for _ in range(count)]
        for n in range(1, count + 1):
            picks = []
            for subset in itertools.combinations(range(count), n):
                best = [right[i] for i in subset if scores[i] == max(scores[j] for j in subset)]
                picks.append(sum(best) / len(best))
            assert best_of_n(scores, right, n) == pytest.approx(sum(picks) / len(picks))
    for bad in (([1.0], [True], 2), ([1.0], [True], 0), ([1.0], [], 1)):
        with pytest.raises(ValueError):
            best_of_n(*bad)


def test_outcome_loss_is_the_cross_entropy_of_the_product():
    z, right = torch.tensor([[1.0, -0.5], [2.0, 3.0]], dtype=torch.float64), torch.tensor([True, False])
    p = z.sigmoid().prod(dim=1)
    assert torch.isclose(supervision.outcome_loss(z, right), functional.binary_cross_entropy(p, right.double()))


def test_training_learns_the_steps():
    seen, unseen = supervision.make_traces(400, 0), supervision.make_traces(100, 1)
    models = supervision.train_reward_models(seen, step_labels, process_loss, steps=250)
    labels = torch.tensor([step_labels(t.question, t.steps) for t in unseen])
    p = supervision.step_probabilities(models["process"], unseen)
    assert ((p > 0.5) == labels).double().mean() > labels.double().mean() + 0.02
    assert set(models) == {"outcome", "process"} and p.shape == (100, 5)
    assert apply(9, "+1") == 0

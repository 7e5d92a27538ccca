"""Clock arithmetic against Python's own, and models that learn it."""

from __future__ import annotations

import random

import pytest
import torch

from aieng.reasoning import scratchpad as pad


def test_values_are_last_digits():
    rng = random.Random(1)
    for _ in range(200):
        chain = pad.random_chain(rng, rng.randrange(1, 6))
        value, exact = chain.start, [chain.start]
        for operation in chain.operations:
            d = int(operation[1:])
            value = value + d if operation[0] == "+" else value - d if operation[0] == "-" else value * d
            exact.append(value)
        assert list(chain.values) == [v % 10 for v in exact[1:]] and chain.answer == value % 10


def test_encoding():
    chain = pad.Chain(7, ("+5", "*3"))
    assert [pad.VOCABULARY[i] for i in pad.question_ids(chain)] == ["7", "+5", "*3", "_", "_", "_", "="]
    assert pad.answer_ids(chain, "scratchpad") == [2, 6] and pad.answer_ids(chain, "direct") == [6]
    with pytest.raises(ValueError, match="style"):
        pad.answer_ids(chain, "loud")


def test_probabilities_are_those_that_writing_uses():
    model, chain = pad.solver("scratchpad", seed=3), pad.Chain(7, ("+5", "*3", "-8"))
    written = model.write([chain])[0].tolist()
    p = model.step_probabilities(chain, written)
    assert p.shape == (3, 10) and torch.allclose(p.sum(-1), torch.ones(3), atol=1e-5)
    assert p.argmax(-1).tolist() == written
    with pytest.raises(ValueError, match="equal length"):
        model.write([chain, pad.Chain(1, ("+1",))])


def test_training_lowers_the_loss_and_saving_keeps_the_model(tmp_path):
    losses = []
    trained = pad.train_solver("scratchpad", tokens=20_000, on_step=lambda _, loss: losses.append(loss))
    assert losses[-1] < losses[0] - 0.3 and len(losses) == 20_000 // (64 * 11)
    pad.save_solvers({"scratchpad-0": trained}, tmp_path / "s.safetensors")
    again = pad.load_solver("scratchpad-0", tmp_path / "s.safetensors")
    chain = pad.Chain(7, ("+5", "*3"))
    assert torch.allclose(trained.step_probabilities(chain), again.step_probabilities(chain), atol=5e-3)
    with pytest.raises(KeyError, match="direct-9"):
        pad.load_solver("direct-9", tmp_path / "s.safetensors")
    with pytest.raises(FileNotFoundError):
        pad.load_solver("direct-0", tmp_path / "none")


def test_the_shipped_models_do_what_the_record_says():
    rng = random.Random(5)
    chains = [pad.random_chain(rng, 5) for _ in range(200)]
    assert pad.load_solver("scratchpad-0").accuracy(chains) > 0.95
    assert pad.load_solver("direct-0").accuracy(chains) < 0.5
    assert 0.2 < pad.load_solver("scratchpad-early").accuracy(chains) < 0.95

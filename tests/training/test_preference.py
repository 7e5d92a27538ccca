"""Preference losses against closed forms and torch; a bandit; the toy alignment moves the way it should."""

from __future__ import annotations

import math

import pytest
import torch

from aieng.models.tiny_gpt import load_tiny_gpt
from aieng.training.alignment import AlignmentConfig, RewardModel, align, sample_responses, train_reward_model
from aieng.training.preference import bradley_terry_loss, group_advantages, kl_per_token, policy_gradient_loss


def test_bradley_terry():
    assert float(bradley_terry_loss(torch.zeros(3), torch.zeros(3))) == pytest.approx(math.log(2))
    far = torch.tensor([-300.0], requires_grad=True)
    loss = bradley_terry_loss(far, torch.zeros(1))
    loss.backward()
    assert loss.item() == pytest.approx(300) and far.grad.item() == pytest.approx(-1)
    a, b = torch.randn(4, dtype=torch.float64, requires_grad=True), torch.randn(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(bradley_terry_loss, (a, b))
    with pytest.raises(ValueError, match="same shape"):
        bradley_terry_loss(torch.zeros(2, 1), torch.zeros(2))


def test_kl_is_torchs_and_knows_impossible_tokens():
    p, q = 2 * torch.randn(3, 5, 7), 2 * torch.randn(3, 5, 7)
    want = torch.distributions.kl_divergence(torch.distributions.Categorical(logits=p), torch.distributions.Categorical(logits=q))
    torch.testing.assert_close(kl_per_token(p, q), want, rtol=1e-4, atol=1e-5)
    ruled_out = torch.tensor([0.0, 0.0, -math.inf])
    assert float(kl_per_token(ruled_out, ruled_out)) == 0
    assert float(kl_per_token(ruled_out, torch.zeros(3))) == pytest.approx(math.log(1.5), rel=1e-5)
    with pytest.raises(ValueError, match="same shape"):
        kl_per_token(torch.zeros(3), torch.zeros(1, 3))


def test_advantages():
    torch.testing.assert_close(group_advantages(torch.tensor([[1.0, 3.0], [5.0, 5.0]])), torch.tensor([[-1.0, 1.0], [0.0, 0.0]]))


def test_policy_gradient():
    old = torch.tensor([[-1.0, -2.0]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    up = old + torch.tensor([[math.log(1.5), 0.0]])
    assert float(policy_gradient_loss(up, old, torch.tensor([2.0]), mask)) == pytest.approx(-2.2)
    assert float(policy_gradient_loss(up, old, torch.tensor([-2.0]), mask)) == pytest.approx(2.5)
    half = torch.tensor([[True, False]])
    assert float(policy_gradient_loss(torch.tensor([[-1.0, math.nan]]), old, torch.tensor([2.0]), half)) == pytest.approx(-2)
    per_token = policy_gradient_loss(up, old, torch.tensor([[2.0, -1.0]]), mask)
    assert float(per_token) == pytest.approx(-(2.4 - 1) / 2)
    for arguments in ((up, old[:, :1], torch.ones(1), mask), (up, old, torch.ones(2), mask), (up, old, torch.ones(1), mask, 0.0)):
        with pytest.raises(ValueError):
            policy_gradient_loss(*arguments)


def test_a_bandit_finds_its_best_arm():
    values, logits = torch.tensor([0.1, 0.9, 0.3]), torch.zeros(3, requires_grad=True)
    optimizer, generator = torch.optim.SGD([logits], lr=2.0), torch.Generator().manual_seed(0)
    for _ in range(50):
        arms = torch.multinomial(logits.detach().softmax(-1), 64, replacement=True, generator=generator)
        log_p = logits.log_softmax(-1)[arms][:, None]
        loss = policy_gradient_loss(log_p, log_p.detach(), group_advantages(values[arms][None])[0], torch.ones(64, 1).bool())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert logits.detach().softmax(-1)[1] > 0.9


@pytest.fixture(scope="module")
def gpt():
    return load_tiny_gpt()


def test_responses_stop_and_repeat_with_the_seed(gpt):
    prompts = torch.tensor([gpt.tokenizer.encode("Teapot:")] * 6)
    stop = gpt.tokenizer.encode(" a")[0]
    first, again = (sample_responses(gpt.model, prompts, 10, stop, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first.ids, again.ids) and first.new.shape == (6, 10)
    for row, kept in zip(first.new.tolist(), first.mask.tolist()):
        end = row.index(stop) + 1 if stop in row else 10
        assert kept == [True] * end + [False] * (10 - end)


def test_reward_model_learns_a_preference_for_a_token(gpt):
    prompts = torch.tensor([gpt.tokenizer.encode("Teapot:")] * 64)
    generator = torch.Generator().manual_seed(0)
    first, second = (sample_responses(gpt.model, prompts, 8, -1, generator) for _ in range(2))
    liked = gpt.tokenizer.encode(" a")[0]
    better, worse = (first, second) if (first.new == liked).sum() > (second.new == liked).sum() else (second, first)
    reward = RewardModel(gpt.model.config.vocab_size, 8)
    losses = train_reward_model(reward, better, worse, steps=40)
    assert losses[0] == pytest.approx(math.log(2)) and losses[-1] < losses[0] and float(reward.values.detach()[liked]) > 0


def test_alignment_raises_the_reward_and_beta_holds_it_back(gpt):
    prompts = torch.tensor([gpt.tokenizer.encode(f"{word}:") for word in ("Teapot", "Teapot")])
    wanted = gpt.tokenizer.encode(" with")[0]

    def reward(tokens, mask):
        return ((tokens == wanted) & mask).float().sum(dim=1)

    runs = {}
    for beta in (0.0, 2.0):
        policy, reference = gpt.copy(), gpt.copy(requires_grad=False)
        config = AlignmentConfig(beta, steps=8, prompts=2, group=8, max_new_tokens=8, learning_rate=2e-3)
        runs[beta] = align(policy.model, list(policy.weights.values()), reference.model, prompts, reward, reward, -1, config)
    assert runs[0.0].kl[0] == pytest.approx(0, abs=1e-4)
    assert runs[0.0].reward[-1] > runs[0.0].reward[0] and runs[0.0].kl[-1] > runs[2.0].kl[-1]

"""2.5 Learning from preferences: visible properties and hints."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from aieng.lesson.checking import expect, expect_close, expect_raises, expect_shape, hints, prop, untouched

hints(
    "2.5",
    "All four are one or two lines of torch once the formula is clear. Mind three things: -log sigmoid(x) overflows when you write it as "
    "-torch.log(torch.sigmoid(x)); KL weighs by the *policy's* probabilities; and no gradient may flow through advantages or old "
    "log-probabilities.",
    "-log sigmoid(x) is `softplus(-x)`, or `-F.logsigmoid(x)`. KL: log_softmax of both, (p · (log p - log q)) summed over the vocabulary. "
    "Advantages: subtract the group's mean, divide by its standard deviation (divided by n) + eps. PPO: ratio = exp(new - old); take the "
    "*smaller* of ratio · A and clamped ratio · A.",
    "bradley_terry_loss: same shape? mean(-logsigmoid(chosen - rejected)).\nkl_per_token: log_softmax twice, sum over the last axis.\n"
    "group_advantages: (r - mean) / (std(correction=0) + eps) along the last axis.\n"
    "policy_gradient_loss: advantages.detach(), one per response → unsqueeze(-1); ratio; minimum of the two products; pick the masked "
    "positions; minus their mean.",
)

Fns = Any


def _normal(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _one_number(value: Any, name: str) -> float:
    expect(isinstance(value, Tensor), f"{name} should return a tensor with one number; yours is a {type(value).__name__}.")
    expect_shape(value, (), name)
    return float(value)


@prop("2.5", "Bradley–Terry by hand")
def bt_by_hand(bradley_terry_loss: Fns, kl_per_token: Fns, group_advantages: Fns, policy_gradient_loss: Fns) -> None:
    same = _one_number(bradley_terry_loss(torch.zeros(3), torch.zeros(3)), "bradley_terry_loss")
    expect_close(same, math.log(2), "Equal rewards are a coin toss: the loss is log 2 = 0.693.")
    better = float(bradley_terry_loss(torch.tensor([2.0]), torch.tensor([0.0])))
    expect(better < same, f"The chosen response has the larger reward, and the loss rose to {better:.3f}: you subtracted the wrong way "
                          f"round.")
    expect_close(better, 0.126928, "For rewards 2 and 0 the loss is log(1 + e⁻²) = 0.1269.", rtol=1e-4)
    chosen, rejected = _normal((5,), 1), _normal((5,), 2)
    want = -torch.nn.functional.logsigmoid(chosen - rejected).mean()
    expect_close(bradley_terry_loss(chosen, rejected), want, "The loss is the mean over the pairs of -log sigmoid(chosen - rejected).")
    expect_close(bradley_terry_loss(chosen + 100, rejected + 100), want, "Only differences count: 100 more for all changes "
                                                                         "nothing.", rtol=1e-3)


@prop("2.5", "Bradley–Terry stays finite")
def bt_stable(bradley_terry_loss: Fns, kl_per_token: Fns, group_advantages: Fns, policy_gradient_loss: Fns) -> None:
    chosen = torch.tensor([-300.0], requires_grad=True)
    loss = bradley_terry_loss(chosen, torch.tensor([0.0]))
    value = float(loss.detach())
    expect(math.isfinite(value), f"Rewards -300 and 0 gave {value}: sigmoid became 0 before its log was taken. Use logsigmoid "
                                       f"or "
                                       "softplus.")
    expect_close(value, 300, "Far on the wrong side the loss is the difference itself, 300.")
    loss.backward()
    expect_close(chosen.grad, [-1], "There the gradient for the chosen reward is -1: it must neither vanish nor become nan.")


@prop("2.5", "KL by hand, and which way round")
def kl(bradley_terry_loss: Fns, kl_per_token: Fns, group_advantages: Fns, policy_gradient_loss: Fns) -> None:
    policy, reference = torch.tensor([[0.75, 0.25]]).log(), torch.tensor([[0.5, 0.5]]).log()
    got = kl_per_token(policy, reference)
    expect_shape(got, (1,), "kl_per_token", "One number per position: sum over the vocabulary only.")
    expect(abs(float(got) - 0.143841) > 1e-4, "You computed KL(reference || policy): weigh the log ratio by the policy's probabilities.")
    expect_close(got, [0.130812], "0.75 · log 1.5 + 0.25 · log 0.5 = 0.1308.", rtol=1e-4)
    policy, reference = _normal((2, 3, 9), 3), _normal((2, 3, 9), 4)
    got = kl_per_token(policy, reference)
    p, q = policy.double().log_softmax(-1), reference.double().log_softmax(-1)
    expect_shape(got, (2, 3), "kl_per_token")
    expect_close(got, (p.exp() * (p - q)).sum(-1), "For logits (2, 3, 9) the KL of each position is the sum of p · (log p - log "
                                                   "q).", rtol=1e-4)
    expect_close(kl_per_token(policy, policy), torch.zeros(2, 3), "A policy's KL to itself is 0.", atol=1e-5)
    expect_close(kl_per_token(policy + 5, reference - 2), got, "Logits, not probabilities, come in: a constant added changes nothing.",
                 rtol=1e-3, atol=1e-5)


@prop("2.5", "advantages within a group")
def advantages(bradley_terry_loss: Fns, kl_per_token: Fns, group_advantages: Fns, policy_gradient_loss: Fns) -> None:
    got = group_advantages(torch.tensor([[1.0, 3.0], [10.0, 10.0]]))
    expect_shape(got, (2, 2), "group_advantages")
    expect(not torch.isnan(torch.as_tensor(got)).any(), "Four equal rewards gave nan: add eps to the standard deviation before you divide.")
    expect(abs(float(got[0, 1]) - 1 / math.sqrt(2)) > 1e-3, "Rewards 1 and 3 gave 0.707: you divided by n - 1 in the standard deviation; "
                                                            "it is n.")
    expect_close(got, [[-1, 1], [0, 0]], "Rewards 1 and 3: one standard deviation below and above. Equal rewards: 0.", atol=1e-4)
    rewards = _normal((3, 6), 5) * torch.tensor([[1.0], [5.0], [0.2]]) + 3
    got = torch.as_tensor(group_advantages(rewards))
    expect_close(got.mean(-1), torch.zeros(3), "Each prompt's advantages have mean 0: subtract the mean of its own group.", atol=1e-5)
    expect_close(got.std(-1, correction=0), torch.ones(3), "Each prompt's advantages have standard deviation 1.", rtol=1e-3)


def _rollout(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    old = -_normal((3, 5), seed).abs() - 0.1
    new = old + 0.4 * _normal((3, 5), seed + 1)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 1, 0, 0]]).bool()
    return new, old, torch.tensor([1.5, -0.7, 0.4]), mask


def _objective(new: Tensor, old: Tensor, advantage: Tensor, mask: Tensor, clip: float) -> Tensor:
    total, n = torch.zeros(()), 0
    for i in range(new.shape[0]):
        for t in range(new.shape[1]):
            if mask[i, t]:
                ratio = (new[i, t] - old[i, t]).exp()
                total = total + torch.minimum(ratio * advantage[i], ratio.clamp(1 - clip, 1 + clip) * advantage[i])
                n += 1
    return -total / n


@prop("2.5", "the policy step by hand")
def policy_step(bradley_terry_loss: Fns, kl_per_token: Fns, group_advantages: Fns, policy_gradient_loss: Fns) -> None:
    old = torch.tensor([[-1.0, -2.0]])
    mask = torch.ones(1, 2).bool()
    same = _one_number(policy_gradient_loss(old.clone(), old, torch.tensor([2.0]), mask), "policy_gradient_loss")
    expect(same < 0, f"Advantage 2 and unchanged probabilities gave a loss of {same:.3f}: minimising has to raise what went well, so the "
                     "objective gets a minus sign.")
    expect_close(same, -2, "With ratio 1 everywhere the loss is minus the advantage.")
    up = old + torch.tensor([[math.log(1.5), 0.0]])
    got = float(policy_gradient_loss(up, old, torch.tensor([2.0]), mask, clip_range=0.2))
    expect_close(got, -(1.2 * 2 + 2) / 2, "A ratio of 1.5 with a good advantage is cut to 1.2: -(1.2 · 2 + 1 · 2) / 2 = -2.2.")
    got = float(policy_gradient_loss(up, old, torch.tensor([-2.0]), mask, clip_range=0.2))
    expect(abs(got - 2.2) > 1e-4, "With a *bad* advantage a ratio of 1.5 is not cut: min(1.5 · -2, 1.2 · -2) = -3. You cut it always.")
    expect_close(got, (1.5 * 2 + 2) / 2, "For advantage -2 and ratios 1.5, 1 the loss is (3 + 2) / 2 = 2.5.")


@prop("2.5", "masked positions count nowhere")
def masked(bradley_terry_loss: Fns, kl_per_token: Fns, group_advantages: Fns, policy_gradient_loss: Fns) -> None:
    new, old, advantage, mask = _rollout(6)
    want = _objective(new, old, advantage, mask, 0.2)
    got = _one_number(policy_gradient_loss(new, old, advantage, mask), "policy_gradient_loss")
    all_places = want * int(mask.sum()) / mask.numel()
    expect(abs(got - float(all_places)) > 1e-4, "You divided by all positions, padding included: divide by the number of masked-in tokens.")
    expect_close(got, want, "The loss is the mean over the mask of -min(ratio · A, clipped ratio · A), one advantage a "
                            "response.", rtol=1e-4)
    spoiled = new.masked_fill(~mask, 50.0)
    expect_close(policy_gradient_loss(spoiled, old, advantage, mask), want, "Values at positions outside the mask changed your "
                                                                            "loss.", rtol=1e-4)
    each = advantage[:, None].expand(3, 5) * torch.tensor([1, 2, 0.5, 1, 3])
    expect(math.isfinite(float(policy_gradient_loss(new, old, each, mask))), "Advantages (batch, tokens), one a token, are allowed as "
                                                                             "well.")


@prop("2.5", "gradients go into the policy only")
def gradients(bradley_terry_loss: Fns, kl_per_token: Fns, group_advantages: Fns, policy_gradient_loss: Fns) -> None:
    _new, old, advantage, mask = _rollout(8)
    leaves = [t.clone().requires_grad_(True) for t in (old.clone(), old, advantage)]
    loss = policy_gradient_loss(*leaves, mask)
    expect(loss.requires_grad, "The loss has no gradient: the log-probabilities of the policy have to stay in the graph.")
    grads = torch.autograd.grad(loss, leaves, allow_unused=True)
    want = (-advantage[:, None] * mask / mask.sum()).expand(3, 5)
    expect_close(grads[0], want, "Where old and new policy agree the gradient is REINFORCE's: -A / (number of tokens) at each "
                                 "token.", rtol=1e-4)
    for name, grad in zip(("old_log_probs", "advantages"), grads[1:]):
        expect(grad is None or not bool(grad.any()), f"A gradient flows into {name}: detach it.")


@prop("2.5", "inputs and errors")
def errors(bradley_terry_loss: Fns, kl_per_token: Fns, group_advantages: Fns, policy_gradient_loss: Fns) -> None:
    new, old, advantage, mask = _rollout(10)
    with untouched(new=new, old=old, advantage=advantage, mask=mask):
        policy_gradient_loss(new, old, advantage, mask)
        group_advantages(new)
        kl_per_token(new, old)
    expect_raises(ValueError, lambda: bradley_terry_loss(torch.zeros(3), torch.zeros(1)),
                  "3 chosen and 1 rejected reward should raise ValueError; broadcasting would invent pairs that nobody compared.")
    expect_raises(ValueError, lambda: bradley_terry_loss(torch.zeros(3, 1), torch.zeros(3)),
                  "Shapes (3, 1) and (3,) should raise ValueError; broadcasting would make 9 pairs of 3.")
    expect_raises(ValueError, lambda: kl_per_token(torch.zeros(2, 4), torch.zeros(1, 4)), "Different shapes should raise ValueError.")
    expect_raises(ValueError, lambda: policy_gradient_loss(new, old[:2], advantage, mask), "Different shapes should raise ValueError.")
    expect_raises(ValueError, lambda: policy_gradient_loss(new, old, advantage, mask, clip_range=0.0), "clip_range = 0 should raise "
                                                                                                       "ValueError.")

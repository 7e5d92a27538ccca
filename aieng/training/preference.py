"""Learning from preferences: a reward from comparisons, the distance to a reference, and a policy-gradient step.

Sources: Bradley, Terry 1952; Christiano et al. 2017 (arXiv:1706.03741) and Ouyang et al. 2022 (arXiv:2203.02155) for reward
models and the KL penalty; Schulman et al. 2017, "Proximal Policy Optimization Algorithms" (arXiv:1707.06347), equation 7;
Shao et al. 2024, "DeepSeekMath" (arXiv:2402.03300), section 4.1, for group-relative advantages (GRPO).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def bradley_terry_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Mean of -log sigmoid(r_chosen - r_rejected): how surprised the reward model is by the human's choices.

    Parameters
    ----------
    chosen, rejected : Tensor (pairs,), floating point
        Rewards of the preferred response and of the other one.

    Returns
    -------
    Tensor, scalar
        log 2 where the rewards are equal; finite for any difference.

    Raises
    ------
    ValueError
        Different shapes, which would be broadcast to pairs that nobody compared.
    """
    if chosen.shape != rejected.shape:
        raise ValueError(f"chosen {tuple(chosen.shape)} and rejected {tuple(rejected.shape)} must have the same shape: one pair a row")
    return F.softplus(rejected - chosen).mean()  # -log sigmoid(x) = log(1 + exp(-x))


def kl_per_token(policy_logits: Tensor, reference_logits: Tensor) -> Tensor:
    """KL(policy || reference) of the next-token distributions, in nats.

    Parameters
    ----------
    policy_logits, reference_logits : Tensor (..., vocab_size)

    Returns
    -------
    Tensor (...)
        0 where both agree, never negative beyond rounding.

    Raises
    ------
    ValueError
        Different shapes.
    """
    if policy_logits.shape != reference_logits.shape:
        raise ValueError(f"policy {tuple(policy_logits.shape)} and reference {tuple(reference_logits.shape)} must have the same shape")
    policy, reference = policy_logits.log_softmax(dim=-1), reference_logits.log_softmax(dim=-1)
    # A token that the policy never says contributes 0, also where the reference never says it (-inf - -inf).
    difference = torch.where(policy.isneginf(), torch.zeros_like(policy), policy - reference)
    return (policy.exp() * difference).sum(dim=-1)


def group_advantages(rewards: Tensor, eps: float = 1e-6) -> Tensor:
    """How much better each response was than the others to the same prompt, in standard deviations (GRPO).

    Parameters
    ----------
    rewards : Tensor (prompts, group), floating point
    eps : float
        Added to the standard deviation: a group of equal rewards has advantage 0.

    Returns
    -------
    Tensor (prompts, group)
        Rows of mean 0.
    """
    centred = rewards - rewards.mean(dim=-1, keepdim=True)
    return centred / (rewards.std(dim=-1, correction=0, keepdim=True) + eps)


def policy_gradient_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor, clip_range: float = 0.2
) -> Tensor:
    """PPO's clipped objective with the sign turned, so that minimising it raises the expected reward.

    With ratio = exp(log_probs - old_log_probs): the mean over the mask of -min(ratio · A, clip(ratio, 1 ± clip_range) · A).
    At log_probs = old_log_probs its gradient is REINFORCE's, -A · ∇ log p.

    Parameters
    ----------
    log_probs : Tensor (batch, tokens)
        Of the sampled tokens under the policy that is trained.
    old_log_probs : Tensor (batch, tokens)
        Under the policy that sampled them; no gradient flows into it.
    advantages : Tensor (batch,) or (batch, tokens)
        One number a response, or one a token; no gradient flows into it.
    mask : Tensor (batch, tokens), bool
        True at the response's tokens.
    clip_range : float > 0

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        Shapes that do not fit, or clip_range not positive.
    """
    if log_probs.shape != old_log_probs.shape or log_probs.shape != mask.shape:
        raise ValueError(f"log_probs {tuple(log_probs.shape)}, old_log_probs {tuple(old_log_probs.shape)} and mask "
                         f"{tuple(mask.shape)} must have the same shape")
    if clip_range <= 0:
        raise ValueError(f"clip_range is {clip_range}; it must be above 0")
    advantages = advantages.detach()
    if advantages.ndim == log_probs.ndim - 1:
        advantages = advantages.unsqueeze(-1)
    if advantages.shape[0] != log_probs.shape[0] or advantages.shape[-1] not in (1, log_probs.shape[-1]):
        raise ValueError(f"advantages {tuple(advantages.shape)} must be one a response or one a token of {tuple(log_probs.shape)}")
    ratio = (log_probs - old_log_probs.detach()).exp()
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    objective = torch.minimum(ratio * advantages, clipped * advantages)
    # Not objective * mask: a padded position may hold nan, and nan times 0 is nan.
    return -objective[mask.bool()].mean()

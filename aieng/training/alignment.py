"""RLHF at toy size: a reward model of token counts, responses sampled in groups, and policy-gradient steps with a KL penalty.

The reward model of Ouyang et al. 2022 (arXiv:2203.02155) is a language model with one number for an output. Here it is linear in which
tokens occur, so that what it learned can be read off, and so that a policy can find its gaps within a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from aieng.training import preference
from aieng.transformer.llama import Llama


@dataclass(frozen=True)
class Responses:
    """Sampled continuations of prompts of equal length.

    ids : Tensor (batch, prompt + new tokens), int64; mask : Tensor (batch, new tokens), bool, True up to and with the stop token;
    prompt_length : int
    """

    ids: Tensor
    mask: Tensor
    prompt_length: int

    @property
    def new(self) -> Tensor:
        """The continuations (batch, new tokens)."""
        return self.ids[:, self.prompt_length:]


@torch.no_grad()
def sample_responses(model: Llama, prompts: Tensor, max_new_tokens: int, stop_id: int, generator: torch.Generator) -> Responses:
    """Draw a continuation of every prompt, all at once, at temperature 1.

    prompts : Tensor (batch, tokens), int64; what is drawn after the stop token is masked out.
    """
    ids, fed = prompts, prompts
    cache = model.new_cache(len(prompts), prompts.shape[1] + max_new_tokens)
    for _ in range(max_new_tokens):
        logits = model(fed, cache, logits_to_keep=1)[:, -1]
        fed = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
        ids = torch.cat([ids, fed], dim=1)
    new = ids[:, prompts.shape[1]:]
    ended = (new == stop_id).cumsum(dim=1)
    return Responses(ids.clone(), (ended == 0) | ((ended == 1) & (new == stop_id)), prompts.shape[1])


class RewardModel:
    """A number for a response: the sum of its tokens' values divided by a fixed length.

    vocab_size : int; values : Tensor (vocab_size,), what each occurrence of a token adds, 0 at first.
    """

    def __init__(self, vocab_size: int, length: int) -> None:
        self.values = torch.zeros(vocab_size, requires_grad=True)
        self.length = length

    def __call__(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Rewards (batch,) of responses (batch, tokens) with their mask."""
        return (self.values[tokens] * mask).sum(dim=1) / self.length


def train_reward_model(
    reward: RewardModel, chosen: Responses, rejected: Responses, *, steps: int = 150, learning_rate: float = 0.5, decay: float = 1e-3,
    loss: Callable[[Tensor, Tensor], Tensor] = preference.bradley_terry_loss,
) -> list[float]:
    """Fit the reward to comparisons by gradient descent; row i of `chosen` was preferred to row i of `rejected`. Returns the losses."""
    optimizer = torch.optim.Adam([reward.values], lr=learning_rate)
    losses = []
    for _ in range(steps):
        value = loss(reward(chosen.new, chosen.mask), reward(rejected.new, rejected.mask))
        optimizer.zero_grad()
        (value + decay * reward.values.square().sum()).backward()
        optimizer.step()
        losses.append(float(value.detach()))
    return losses


@dataclass(frozen=True)
class AlignmentConfig:
    """beta: weight of the KL to the reference; group: responses a prompt; prompts: prompts a step."""

    beta: float
    steps: int = 60  # one update each
    prompts: int = 6
    group: int = 8
    max_new_tokens: int = 16
    learning_rate: float = 1e-3
    clip_range: float = 0.2
    seed: int = 0


@dataclass
class AlignmentRun:
    """What each step measured: `reward` by the model, `gold` by the true preference, `kl` to the reference in nats a token."""

    beta: float
    reward: list[float] = field(default_factory=list)
    gold: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    samples: list[list[int]] = field(default_factory=list)  # a few responses of the last step


def align(
    policy: Llama, weights: Sequence[Tensor], reference: Llama, prompts: Tensor, reward: Callable[[Tensor, Tensor], Tensor],
    gold: Callable[[Tensor, Tensor], Tensor], stop_id: int, config: AlignmentConfig, *,
    advantages_of: Callable[[Tensor], Tensor] = preference.group_advantages,
    policy_loss: Callable[..., Tensor] = preference.policy_gradient_loss,
    kl: Callable[[Tensor, Tensor], Tensor] = preference.kl_per_token,
    on_step: Callable[[int, AlignmentRun], bool | None] | None = None,
) -> AlignmentRun:
    """Policy-gradient steps on sampled responses: GRPO's advantages, PPO's loss, and beta times the exact KL per token.

    Parameters
    ----------
    policy, weights : the model that is trained and its weights
    reference : the model it started from
    prompts : Tensor (number, tokens), int64, to draw from
    reward : (responses (batch, tokens), mask) to (batch,), what is optimised
    gold : the same form, what one would really like; only measured
    stop_id : ends a response
    advantages_of, policy_loss, kl : the three kernels of exercise 2.5
    on_step : called with (step, run so far); exactly False stops
    """
    generator = torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    run = AlignmentRun(config.beta)
    for step in range(config.steps):
        rows = torch.randint(len(prompts), (config.prompts,), generator=generator).repeat_interleave(config.group)
        made = sample_responses(policy, prompts[rows], config.max_new_tokens, stop_id, generator)
        new, inner = made.new, slice(made.prompt_length - 1, -1)
        scores = reward(new, made.mask).detach()
        logits = policy(made.ids)[:, inner]  # (batch, new tokens, vocab_size), each predicts its new token
        with torch.no_grad():
            reference_logits = reference(made.ids)[:, inner]
        log_probs = logits.log_softmax(dim=-1).gather(-1, new[..., None]).squeeze(-1)
        advantages = advantages_of(scores.reshape(config.prompts, config.group)).reshape(-1)
        distance = kl(logits, reference_logits)[made.mask].mean()
        # One step per batch of samples: the policy that sampled is the policy that is trained, so the ratio is 1 and PPO is REINFORCE.
        loss = policy_loss(log_probs, log_probs.detach(), advantages, made.mask, config.clip_range) + config.beta * distance
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(weights), 1.0)
        optimizer.step()
        run.reward.append(float(scores.mean()))
        run.gold.append(float(gold(new, made.mask).mean()))
        run.kl.append(float(distance.detach()))
        run.samples = [row[m].tolist() for row, m in zip(new[:: config.group], made.mask[:: config.group])]
        if on_step is not None and on_step(step, run) is False:
            break
    return run

"""The training loop: AdamW, a learning rate that warms up and cools down, clipped gradients, and a way to stop.

Sources: Loshchilov, Hutter 2019, "Decoupled Weight Decay Regularization" (arXiv:1711.05101); cosine schedule: Loshchilov, Hutter 2017
(arXiv:1608.03983); clipping: Pascanu et al. 2013 (arXiv:1211.5063), section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TrainingConfig:
    """steps: updates of the weights; learning_rate: the highest; warmup: steps to get there; the rest falls as a cosine to a tenth."""

    steps: int
    learning_rate: float = 3e-3
    warmup: int = 20
    weight_decay: float = 0.1  # on matrices only; norms stay free
    max_gradient_norm: float = 1.0


def learning_rate_at(step: int, config: TrainingConfig) -> float:
    """The learning rate of a step, counted from 0: a straight line up over the warm-up, then half a cosine down to a tenth."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return config.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def train(
    weights: Iterable[Tensor], loss_of: Callable[[int], Tensor], config: TrainingConfig,
    on_step: Callable[[int, float], bool | None] | None = None,
) -> list[float]:
    """Make a loss small.

    Parameters
    ----------
    weights : iterable of Tensor
        What to train; changed in place.
    loss_of : callable
        Step number, from 0, to the loss on that step's batch, a scalar with a gradient.
    config : TrainingConfig
    on_step : callable, optional
        Called with (step, loss) after each update; what is exactly False ends the training, so that a stop button can.

    Returns
    -------
    list of float
        The loss of each step that was made.

    Raises
    ------
    ValueError
        The loss became infinite or NaN; the weights are those before that step.
    """
    trained = list(weights)
    matrices, others = [w for w in trained if w.ndim >= 2], [w for w in trained if w.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=config.learning_rate, betas=(0.9, 0.95),
    )
    losses: list[float] = []
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, config)
        loss = loss_of(step)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ValueError(f"the loss is {value} at step {step}: lower the learning rate ({config.learning_rate})")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, config.max_gradient_norm)
        optimizer.step()
        losses.append(value)
        if on_step is not None and on_step(step, value) is False:
            break
    return losses


def random_windows(ids: Tensor, batch: int, length: int, generator: torch.Generator) -> Tensor:
    """`batch` pieces of `length` neighbouring tokens from random places of a text; ids (tokens,) int64 to (batch, length)."""
    if len(ids) < length:
        raise ValueError(f"the text has {len(ids)} tokens, a window {length}: shorten the window")
    starts = torch.randint(len(ids) - length + 1, (batch,), generator=generator)
    return ids[starts[:, None] + torch.arange(length)]

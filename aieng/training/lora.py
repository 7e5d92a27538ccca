"""LoRA: leave a weight as it is and learn a low-rank correction beside it.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv:2106.09685), section 4.1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LoRALinear(nn.Module):
    """y = x Wᵀ (+ bias) + alpha / rank · x Aᵀ Bᵀ, with W frozen and A, B trained.

    Parameters
    ----------
    base : nn.Linear
        Its parameters are frozen (requires_grad False); they stay where they are.
    rank : int, 1 to min(in_features, out_features)
    alpha : float
        The correction is multiplied by alpha / rank, so that the rank can be changed without a new learning rate.
    seed : int
        Of A's random start.

    Attributes
    ----------
    A : Parameter (rank, in_features), random, entries uniform within ±1/√in_features
    B : Parameter (out_features, rank), zeros: before training, the layer computes exactly what `base` did
    """

    def __init__(self, base: nn.Linear, rank: int = 8, alpha: float = 16.0, seed: int = 0) -> None:
        super().__init__()
        out_features, in_features = base.weight.shape
        if not 1 <= rank <= min(out_features, in_features):
            raise ValueError(f"rank={rank}; a {out_features} x {in_features} weight allows 1 to {min(out_features, in_features)}")
        self.base = base.requires_grad_(False)
        self.scaling = alpha / rank
        start = torch.rand(rank, in_features, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        self.A = nn.Parameter(start / math.sqrt(in_features))
        self.B = nn.Parameter(torch.zeros(out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        # Two thin products; B A itself, as large as W, is never formed.
        return self.base(x) + self.scaling * (x @ self.A.mT) @ self.B.mT

    def merged_weight(self) -> Tensor:
        """W + alpha / rank · B A (out_features, in_features): one plain layer that computes the same."""
        return self.base.weight + self.scaling * self.B @ self.A

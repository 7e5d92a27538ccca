"""LoRA: leave a weight as it is and learn a low-rank correction beside it; QLoRA: keep that weight in NF4.

Sources: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv:2106.09685), section 4.1; Dettmers et al. 2023,
"QLoRA" (arXiv:2305.14314), equation 5.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aieng.quantization.nf4 import NF4Weight


class LoRALinear(nn.Module):
    """y = base(x) + alpha / rank · x Aᵀ Bᵀ, with the base frozen and A, B trained.

    Parameters
    ----------
    base : nn.Module
        A linear layer with `in_features`, `out_features` and `weight` (out_features, in_features): nn.Linear, or one whose weight is
        quantized. Its parameters, if any, are frozen (requires_grad False); they stay where they are.
    rank : int, 1 to min(in_features, out_features)
    alpha : float
        The correction is multiplied by alpha / rank, so that the rank can be changed without a new learning rate.
    seed : int
        Of lora_A's random start.

    Attributes
    ----------
    lora_A : Parameter (rank, in_features), float32, random: uniform within ±1/√in_features
    lora_B : Parameter (out_features, rank), float32, zeros: before training, the layer computes exactly what `base` did

    Raises
    ------
    ValueError
        rank outside its range.
    """

    def __init__(self, base: nn.Module, rank: int = 8, alpha: float = 16.0, seed: int = 0) -> None:
        super().__init__()
        out_features, in_features = int(base.out_features), int(base.in_features)  # type: ignore[arg-type]
        if not 1 <= rank <= min(out_features, in_features):
            raise ValueError(f"rank={rank}; a {out_features} x {in_features} weight allows 1 to {min(out_features, in_features)}")
        self.base = base.requires_grad_(False)
        self.scaling = alpha / rank
        start = torch.rand(rank, in_features, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        self.lora_A = nn.Parameter(start / math.sqrt(in_features))
        self.lora_B = nn.Parameter(torch.zeros(out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        # Two thin products; B A itself, as large as the weight, is never formed.
        correction: Tensor = (x @ self.lora_A.mT) @ self.lora_B.mT
        return self.base(x) + self.scaling * correction

    def merged_weight(self) -> Tensor:
        """weight + alpha / rank · B A (out_features, in_features): one plain layer that computes the same."""
        weight: Tensor = self.base.weight  # type: ignore[assignment]
        return weight + self.scaling * self.lora_B @ self.lora_A


class NF4Linear(nn.Module):
    """A frozen linear layer without bias whose weight is kept in NF4 and unpacked for each use.

    kept : NF4Weight of a weight (out_features, in_features).
    """

    def __init__(self, kept: NF4Weight) -> None:
        super().__init__()
        self.kept = kept
        self.out_features, self.in_features = kept.shape

    @property
    def weight(self) -> Tensor:
        """The weight in float32, unpacked."""
        return self.kept.dequantize()

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        return F.linear(x, self.weight)

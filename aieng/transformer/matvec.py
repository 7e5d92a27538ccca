"""x Wᵀ for a single row x, which is nearly all that decoding does, at the speed of memory.

A BLAS product is tuned for many rows; with one row, MKL reads the weights at about half of what memory gives (benchmarks/llm.py measures
it). A plain loop over the rows, compiled, comes close with a single thread.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

WORTH_IT = 1 << 16  # numbers in the weight; below, calling costs more than reading


def project(x: Tensor, weight: Tensor) -> Tensor:
    """x Wᵀ: x (..., in_features), weight (out_features, in_features), to (..., out_features)."""
    single_row = x.numel() == x.shape[-1] and weight.numel() >= WORTH_IT
    plain = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu" and weight.is_contiguous()
    if not (single_row and plain) or (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)):
        return x @ weight.mT
    out = torch.empty(*x.shape[:-1], len(weight))
    _matvec(weight.detach().numpy(), x.detach().reshape(-1).numpy(), out.view(-1).numpy())
    return out


@njit(nogil=True, fastmath=True, cache=True)
def _matvec(weight, x, out):
    for row in range(len(weight)):
        total = np.float32(0)
        for i in range(len(x)):
            total += weight[row, i] * x[i]
        out[row] = total

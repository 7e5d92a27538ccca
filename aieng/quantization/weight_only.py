"""Weight-only INT8 inside a model: bytes are read, bfloat16 is computed.

Writing one token multiplies each weight with one vector, so the time goes into reading weights, not into multiplying. The activations stay
in floating point; only what is read becomes smaller.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from aieng.quantization.integer import quantize_absmax


def int8_linear(*weights: Tensor) -> Callable[[Tensor], Tensor]:
    """x ↦ x Wᵀ with the weights (out, in) kept as int8, one scale per output channel; several weights' outputs stand side by side.

    A `linear` for `aieng.transformer.llama.Kernels`. Activations are rounded to bfloat16; the result has x's dtype.
    """
    codes, scale = quantize_absmax(torch.cat(weights), dim=1)
    scales = scale.flatten().bfloat16()

    def project(x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1]).bfloat16()
        return torch._weight_int8pack_mm(flat, codes, scales).to(x.dtype).view(*x.shape[:-1], -1)

    return project

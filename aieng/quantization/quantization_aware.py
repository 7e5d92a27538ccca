"""Quantization-aware training: round in the forward pass, and let the gradient through as if nothing had been rounded.

Source: Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons" (arXiv:1308.3432), the straight-through
estimator; Jacob et al. 2018 (arXiv:1712.05877), section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fake_quantize(x: Tensor, scale: Tensor | float, bits: int = 8) -> Tensor:
    """Numbers as they come back from symmetric codes, with a straight-through gradient.

    Parameters
    ----------
    x : Tensor, floating point
    scale : Tensor that broadcasts to x, or float; above 0
        A constant: no gradient flows into it.
    bits : int, 2 to 8
        Codes run from -(2^(bits-1) - 1) to 2^(bits-1) - 1.

    Returns
    -------
    Tensor, shape and dtype of x
        scale · code, the code being the nearest allowed one. Its gradient with respect to x is 1 inside the range of the codes and
        0 beyond the outermost level. (Within half a step of that level implementations differ.)

    Raises
    ------
    ValueError
        bits outside 2 … 8.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits={bits}; allowed are 2 to 8 (with a sign, one bit leaves nothing but it)")
    highest = 2 ** (bits - 1) - 1
    scale = torch.as_tensor(scale, dtype=x.dtype, device=x.device).detach()
    inside = (x / scale).clamp(-highest, highest)  # its gradient: 1 inside, 0 outside
    # Value of round(inside), gradient of inside: the difference is a constant to autograd.
    codes = inside + (inside.round() - inside).detach()
    return codes * scale


def absmax_scale(weight: Tensor, bits: int, dim: int | None = None) -> Tensor:
    """The scale that puts the largest magnitude on the largest code; 1 where all weights are 0."""
    largest = weight.detach().abs().amax() if dim is None else weight.detach().abs().amax(dim, keepdim=True)
    return torch.where(largest > 0, largest / (2 ** (bits - 1) - 1), 1.0)

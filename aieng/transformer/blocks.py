"""What surrounds attention in a Transformer layer: normalisation, activation, feed-forward network, the block."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aieng.transformer.attention import Linear, MultiHeadAttention


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Give every token mean 0 and variance 1 over its features, then scale and shift.

    Parameters
    ----------
    x : Tensor (..., features)
    weight, bias : Tensor (features,)
    eps : float
        Added to the variance, so that a constant vector does not divide by zero.

    Returns
    -------
    Tensor, shape and dtype of x

    References
    ----------
    Ba, Kiros, Hinton 2016, "Layer Normalization" (arXiv:1607.06450), section 3.
    """
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)  # divided by n, not n - 1
    return (x - mean) * torch.rsqrt(variance + eps) * weight + bias


def gelu(x: Tensor) -> Tensor:
    """x · Φ(x), with the exact normal distribution function Φ, as in BERT (not the tanh approximation of GPT-2).

    References
    ----------
    Hendrycks, Gimpel 2016, "Gaussian Error Linear Units" (arXiv:1606.08415), section 2.
    """
    return 0.5 * x * (1.0 + torch.erf(x / math.sqrt(2.0)))


@dataclass(frozen=True)
class LayerNorm:
    """layer_norm with its parameters: weight and bias (features,), eps."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class EncoderBlock:
    """One layer of BERT: each sublayer is added to its input, and the *sum* is normalised (post-norm).

    attention : MultiHeadAttention; attention_norm : LayerNorm; up : Linear (hidden to intermediate size);
    down : Linear (back); output_norm : LayerNorm.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.1; GELU in place of ReLU from Devlin et al. 2018
    (arXiv:1810.04805), appendix A.2.
    """

    attention: MultiHeadAttention
    attention_norm: LayerNorm
    up: Linear
    down: Linear
    output_norm: LayerNorm

    def __call__(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map (batch, tokens, hidden_size) to the same shape; mask broadcasts to (batch, heads, tokens, tokens)."""
        x = self.attention_norm(x + self.attention(x, mask))
        return self.output_norm(x + self.down(gelu(self.up(x))))

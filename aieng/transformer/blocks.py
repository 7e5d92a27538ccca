"""What surrounds attention in a Transformer layer: normalisation, activation, feed-forward network, the block."""

from __future__ import annotations

import math
from collections.abc import Callable
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


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    """Divide every token by the root of the mean of its squares, then scale: layer_norm without mean and shift.

    Parameters
    ----------
    x : Tensor (..., features)
    weight : Tensor (features,)
    eps : float
        Added to the mean square.

    Returns
    -------
    Tensor, shape and dtype of x
        Computed in float32 at least.

    References
    ----------
    Zhang, Sennrich 2019, "Root Mean Square Layer Normalization" (arXiv:1910.07467), equation 4.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(x.dtype)


def silu(x: Tensor) -> Tensor:
    """x · sigmoid(x), also called swish."""
    return x * torch.sigmoid(x)


Projection = Callable[[Tensor], Tensor]  # (..., in_features) to (..., out_features): a Linear, or one with packed weights


def swiglu(x: Tensor, gate: Projection, up: Projection, down: Projection) -> Tensor:
    """Gated feed-forward network: down(silu(gate(x)) · up(x)).

    Parameters
    ----------
    x : Tensor (..., hidden_size)
    gate, up : callable
        hidden_size to intermediate_size.
    down : callable
        intermediate_size to hidden_size.

    Returns
    -------
    Tensor (..., hidden_size)

    References
    ----------
    Shazeer 2020, "GLU Variants Improve Transformer" (arXiv:2002.05202), equation 6.
    """
    return down(silu(gate(x)) * up(x))


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
class RMSNorm:
    """rms_norm with its parameters: weight (features,), eps."""

    weight: Tensor
    eps: float = 1e-5

    def __call__(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


@dataclass(frozen=True)
class SwiGLU:
    """swiglu with its parameters: gate, up (hidden to intermediate size), down (back)."""

    gate: Projection
    up: Projection
    down: Projection

    def __call__(self, x: Tensor) -> Tensor:
        return swiglu(x, self.gate, self.up, self.down)


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


@dataclass(frozen=True)
class CrossAttentionBlock:
    """One decoder layer of the encoder–decoder Transformer: attend to the past, attend to the encoder's output, feed forward.

    Each sublayer is added to its input and the sum normalised (post-norm). self_attention, cross_attention : MultiHeadAttention;
    up, down : Linear; three LayerNorms, in order. The activation is the paper's ReLU.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.1.
    """

    self_attention: MultiHeadAttention
    self_attention_norm: LayerNorm
    cross_attention: MultiHeadAttention
    cross_attention_norm: LayerNorm
    up: Linear
    down: Linear
    output_norm: LayerNorm

    def __call__(self, x: Tensor, memory: Tensor, mask: Tensor | None = None, memory_mask: Tensor | None = None) -> Tensor:
        """Map x (batch, tokens, hidden_size) to the same shape, given the encoder's output memory (batch, keys, hidden_size).

        mask (usually causal) broadcasts to (batch, heads, tokens, tokens), memory_mask to (batch, heads, tokens, keys).
        """
        x = self.self_attention_norm(x + self.self_attention(x, mask))
        x = self.cross_attention_norm(x + self.cross_attention(x, memory_mask, memory))
        return self.output_norm(x + self.down(torch.relu(self.up(x))))


@dataclass(frozen=True)
class DecoderOnlyBlock:
    """One layer of GPT or Llama: the *input* of each sublayer is normalised (pre-norm), and nothing stands between the sums.

    attention_norm, feed_forward_norm, feed_forward : callables of x (batch, tokens, hidden_size); attention : callable of x and whatever
    else it needs (mask, positions, a cache).

    Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture" (arXiv:2002.04745), table 1.
    """

    attention_norm: Projection
    attention: Callable[..., Tensor]
    feed_forward_norm: Projection
    feed_forward: Projection

    def __call__(self, x: Tensor, **attention_arguments: object) -> Tensor:
        """Map (batch, tokens, hidden_size) to the same shape; keyword arguments go to attention."""
        x = x + self.attention(self.attention_norm(x), **attention_arguments)
        return x + self.feed_forward(self.feed_forward_norm(x))

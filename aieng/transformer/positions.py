"""Where a token stands: sinusoidal position vectors, and rotary positions (RoPE).

Attention alone does not see order. A sinusoidal vector is *added* to the token's embedding, once; RoPE *turns* queries and keys, in every
layer and head, so that their dot product depends on the distance of the two tokens only.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def sinusoidal_positions(n: int, dim: int) -> Tensor:
    """Position vectors of Vaswani et al. 2017 (arXiv:1706.03762), section 3.5.

    Parameters
    ----------
    n : int
        Number of positions, 0 … n − 1.
    dim : int
        Features of a token; even.

    Returns
    -------
    Tensor (n, dim), float32
        ``[p, 2i] = sin(p / 10000^(2i/dim))``, ``[p, 2i + 1] = cos(p / 10000^(2i/dim))``.

    Raises
    ------
    ValueError
        dim odd or below 2, or n negative.
    """
    if n < 0 or dim < 2 or dim % 2:
        raise ValueError(f"n={n}, dim={dim}: n must be at least 0 and dim an even number of at least 2 (sines and cosines come in pairs)")
    frequencies = 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = torch.outer(torch.arange(n, dtype=torch.float64), frequencies)  # (n, dim/2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).reshape(n, dim).float()


def embed_tokens(ids: Tensor, token_embeddings: Tensor, position_embeddings: Tensor) -> Tensor:
    """Look up each token's vector and add that of its place.

    Parameters
    ----------
    ids : Tensor (..., tokens), int64
    token_embeddings : Tensor (vocab_size, dim)
        Row i belongs to token i.
    position_embeddings : Tensor (max_positions, dim)
        Row p belongs to place p: learned, or from `sinusoidal_positions`.

    Returns
    -------
    Tensor (..., tokens, dim)

    Raises
    ------
    ValueError
        More tokens than there are positions, or rows of different length.

    References
    ----------
    Vaswani et al. 2017 (arXiv:1706.03762), section 3.5; learned: Gehring et al. 2017 (arXiv:1705.03122), section 3.1.
    """
    tokens = ids.shape[-1]
    if tokens > len(position_embeddings):
        raise ValueError(f"{tokens} tokens, but the table ends after {len(position_embeddings)} positions: shorten the text")
    if token_embeddings.shape[1] != position_embeddings.shape[1]:
        raise ValueError(f"tokens have {token_embeddings.shape[1]} features, positions {position_embeddings.shape[1]}: they are added up")
    return token_embeddings[ids] + position_embeddings[:tokens]


def rope_frequencies(head_dim: int, theta: float = 10000.0) -> Tensor:
    """Turning speeds of RoPE's pairs, in radians per position: theta^(−2i/head_dim) for i = 0 … head_dim/2 − 1.

    Parameters
    ----------
    head_dim : int
        Features of a query or key; even.
    theta : float
        Base: 10,000 in the paper, 100,000 in SmolLM2. The larger, the slower the last pairs turn.

    Returns
    -------
    Tensor (head_dim/2,), float32
        From 1 (the first pair) downwards.

    Raises
    ------
    ValueError
        head_dim odd or below 2, or theta not positive.

    References
    ----------
    Su et al. 2021, "RoFormer" (arXiv:2104.09864), section 3.2.2, equation 15.
    """
    if head_dim < 2 or head_dim % 2:
        raise ValueError(f"head_dim is {head_dim}; RoPE turns pairs of features, so it must be an even number of at least 2")
    if theta <= 0:
        raise ValueError(f"theta is {theta}; it must be positive")
    # In float32 throughout, as the models were trained: at position 2,000 another rounding of a frequency shows in the fourth digit.
    return 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)


def apply_rope(x: Tensor, positions: Tensor, theta: float = 10000.0, layout: Literal["half", "interleaved"] = "half") -> Tensor:
    """Turn each pair of features of a query or key by (position · frequency of the pair).

    Parameters
    ----------
    x : Tensor (..., tokens, head_dim), floating point
        Queries or keys.
    positions : Tensor, integer or floating point
        (tokens,), or more axes that broadcast against those of x before head_dim, such as (batch, 1, tokens). Fractions are
        allowed (position interpolation).
    theta : float
        See `rope_frequencies`.
    layout : {"half", "interleaved"}
        Which features make a pair: i and i + head_dim/2 (GPT-NeoX, transformers' Llama), or 2i and 2i + 1 (the paper, GGUF files).

    Returns
    -------
    Tensor, shape and dtype of x
        Computed in float32 at least: bfloat16 cannot tell position 1,000 from 1,001.

    Raises
    ------
    ValueError
        head_dim odd, unknown layout, or positions that do not fit x.

    References
    ----------
    Su et al. 2021, "RoFormer" (arXiv:2104.09864), equation 34.
    """
    if layout not in ("half", "interleaved"):
        raise ValueError(f'layout is {layout!r}; choose "half" (i and i + head_dim/2) or "interleaved" (2i and 2i + 1)')
    tokens, head_dim = x.shape[-2:]
    if positions.ndim == 0 or positions.shape[-1] != tokens:
        raise ValueError(f"positions has shape {tuple(positions.shape)}, x has {tokens} tokens; expected (..., {tokens})")
    precision = torch.promote_types(x.dtype, torch.float32)
    angles = positions[..., None].to(precision) * rope_frequencies(head_dim, theta).to(x.device, precision)  # (..., tokens, head_dim/2)
    cos, sin = angles.cos(), angles.sin()
    half = layout == "half"
    x1, x2 = x.to(precision).chunk(2, dim=-1) if half else (x[..., 0::2].to(precision), x[..., 1::2].to(precision))
    turned = (x1 * cos - x2 * sin, x1 * sin + x2 * cos)
    out = torch.cat(turned, dim=-1) if half else torch.stack(turned, dim=-1).flatten(-2)
    return out.to(x.dtype)

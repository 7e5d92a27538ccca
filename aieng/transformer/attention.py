"""Attention: stable softmax, masks, scaled dot product, and several heads side by side.

Axes, everywhere in this file: (batch, heads, tokens, head_dim). Masks follow torch's scaled_dot_product_attention:
boolean, True where a query may look at a key, or float, added to the scores (0 allowed, -inf forbidden).

Source: Vaswani et al. 2017, "Attention Is All You Need" (arXiv:1706.03762), section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from aieng.transformer.matvec import project


def softmax(scores: Tensor, dim: int = -1) -> Tensor:
    """Exponentials divided by their sum, computed without overflow.

    Parameters
    ----------
    scores : Tensor, any shape, floating point
        -inf stands for "impossible".
    dim : int
        Axis that sums to 1 in the result.

    Returns
    -------
    Tensor, same shape and dtype
        Where every score along ``dim`` is -inf there is no distribution: zeros, not NaN.
    """
    highest = scores.amax(dim, keepdim=True)
    # The shift cancels in the quotient; it keeps exp() from overflowing. A row of -inf only must not give inf - inf.
    exponentials = torch.exp(scores - highest.clamp_min(torch.finfo(scores.dtype).min))
    # The highest score adds exp(0) = 1, so that a total below 1 is that of a row of -inf only: 0.
    return exponentials / exponentials.sum(dim, keepdim=True).clamp_min(1.0)


def padding_mask(attention_mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Additive mask that hides padding from every query.

    Parameters
    ----------
    attention_mask : Tensor (batch, tokens), bool or integer
        1 for a token, 0 for padding, as tokenizers return it.
    dtype : torch.dtype
        Of the scores that the mask will be added to.

    Returns
    -------
    Tensor (batch, 1, 1, tokens)
        0 at tokens, -inf at padding; broadcasts over heads and queries.

    Raises
    ------
    ValueError
        Not two axes.
    """
    if attention_mask.ndim != 2:
        raise ValueError(f"attention_mask has shape {tuple(attention_mask.shape)}; expected (batch, tokens)")
    hidden = attention_mask[:, None, None, :] == 0
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill(hidden, -math.inf)


def causal_mask(
    queries: int, keys: int | None = None, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Tensor:
    """Additive mask that hides the future.

    Parameters
    ----------
    queries, keys : int
        Number of query and key positions; ``keys`` defaults to ``queries``. With more keys than queries the queries
        are the *last* positions (aligned bottom-right, as a key-value cache needs it; torch's ``is_causal`` aligns
        top-left).
    dtype, device
        Of the result.

    Returns
    -------
    Tensor (queries, keys)
        0 where the key is not later than the query, -inf where it is.

    Raises
    ------
    ValueError
        Fewer keys than queries, or a negative number.
    """
    keys = queries if keys is None else keys
    if not 0 <= queries <= keys:
        raise ValueError(f"queries={queries}, keys={keys}: need 0 <= queries <= keys, the queries are the last positions")
    return torch.full((queries, keys), -math.inf, dtype=dtype, device=device).triu(keys - queries + 1)


def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """softmax(q kᵀ · scale + mask) v: each query's weighted mean of the values (equation 1 of the paper).

    Parameters
    ----------
    q : Tensor (..., queries, head_dim)
    k : Tensor (..., keys, head_dim)
    v : Tensor (..., keys, value_dim)
    mask : Tensor, optional
        Broadcasts to (..., queries, keys); bool (True = may look) or float (added to the scores).
    scale : float, optional
        Default 1/√head_dim, which keeps the scores' variance near 1.

    Returns
    -------
    Tensor (..., queries, value_dim)
        A query that may look at no key gets zeros.

    Raises
    ------
    ValueError
        head_dim of q and k, or the number of keys and values, differ.
    """
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}: q and k must share their last axis (head_dim), "
            "k and v their last but one (keys)"
        )
    return attention_weights(q, k, mask, scale) @ v


def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None = None, scale: float | None = None) -> Tensor:
    """softmax(q kᵀ · scale + mask) (..., queries, keys): how much each query takes from each key. Arguments as above."""
    scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = (q * scale) @ k.mT  # (..., queries, keys)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return softmax(scores)


AttentionKernel = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]  # (q, k, v, mask) to (batch, heads, queries, value_dim)


def grouped_query_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, attention: AttentionKernel = scaled_dot_product_attention
) -> Tensor:
    """Attention in which several query heads share one key-value head, so that the cache is smaller.

    Query heads 0 … g − 1 share key-value head 0, the next g head 1, and so on (g = heads / key-value heads). With g = 1 this is
    multi-head attention, with a single key-value head multi-query attention.

    Parameters
    ----------
    q : Tensor (batch, heads, queries, head_dim)
    k, v : Tensor (batch, key_value_heads, keys, head_dim)
        key_value_heads divides heads.
    mask : Tensor, optional
        Broadcasts to (batch, heads, queries, keys); bool or float, as in `scaled_dot_product_attention`.
    attention : callable
        ``attention(q, k, v, mask)`` for equal numbers of heads; the mask alone may say who looks where.

    Returns
    -------
    Tensor (batch, heads, queries, head_dim)

    Raises
    ------
    ValueError
        The key-value heads do not divide the heads.

    References
    ----------
    Ainslie et al. 2023, "GQA" (arXiv:2305.13245), section 2.2.
    """
    batch, heads, queries, head_dim = q.shape
    shared = k.shape[1]
    if shared == heads:
        return attention(q, k, v, mask)
    if heads % shared:
        raise ValueError(f"{heads} query heads cannot share {shared} key-value heads evenly")
    group = heads // shared
    if queries > 1:
        return attention(q, k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1), mask)
    # One new token, a long cache: the heads of a group become the queries of their shared head, and nothing is copied.
    if mask is not None and mask.ndim >= 3 and mask.shape[-3] == heads:
        mask = mask.reshape(*mask.shape[:-3], shared, group, mask.shape[-1])
    out = attention(q.reshape(batch, shared, group, head_dim), k, v, mask)
    return out.reshape(batch, heads, 1, out.shape[-1])


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Cut the features into heads: (batch, tokens, num_heads * head_dim) to (batch, num_heads, tokens, head_dim)."""
    batch, tokens, features = x.shape
    if features % num_heads:
        raise ValueError(f"{features} features cannot be cut into {num_heads} heads of equal width")
    return x.reshape(batch, tokens, num_heads, features // num_heads).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Put the heads side by side again: (batch, heads, tokens, head_dim) to (batch, tokens, heads * head_dim)."""
    batch, heads, tokens, head_dim = x.shape
    return x.transpose(1, 2).reshape(batch, tokens, heads * head_dim)


@dataclass(frozen=True)
class Linear:
    """x Wᵀ + b, with the weight laid out as torch stores it.

    weight : Tensor (out_features, in_features); bias : Tensor (out_features,), optional.
    """

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        y = project(x, self.weight)
        return y if self.bias is None else y + self.bias


@dataclass(frozen=True)
class MultiHeadAttention:
    """Several heads side by side: project, split, attend, merge, project back (section 3.2.2).

    query, output : Linear (hidden_size to hidden_size); key, value : Linear (to num_key_value_heads * head_dim);
    num_heads : int, divides hidden_size; num_key_value_heads : int, divides num_heads, the same number when left out;
    attention : callable (q, k, v, mask) for equal numbers of heads.
    """

    query: Linear
    key: Linear
    value: Linear
    output: Linear
    num_heads: int
    num_key_value_heads: int | None = None
    attention: AttentionKernel = field(default_factory=lambda: scaled_dot_product_attention)  # no method of the class

    def __call__(self, x: Tensor, mask: Tensor | None = None, memory: Tensor | None = None) -> Tensor:
        """Attend from x (batch, tokens, hidden_size) to memory (batch, keys, hidden_size), or to x itself without one.

        mask broadcasts to (batch, heads, tokens, keys).
        """
        source = x if memory is None else memory
        shared = self.num_key_value_heads or self.num_heads
        q = split_heads(self.query(x), self.num_heads)
        k, v = split_heads(self.key(source), shared), split_heads(self.value(source), shared)
        return self.output(merge_heads(grouped_query_attention(q, k, v, mask, self.attention)))

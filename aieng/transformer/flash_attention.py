"""FlashAttention: exact attention in tiles, without ever storing the (queries x keys) matrix.

A running maximum and a running sum per query let the softmax be taken piece by piece; whatever was summed under an older maximum
is rescaled once. Of a pass only the output and each row's log-sum-exp are kept: the backward pass makes the weights again from them.

Source: Dao, Fu, Ermon, Rudra, Ré 2022, "FlashAttention" (arXiv:2205.14135), and Dao 2023, "FlashAttention-2"
(arXiv:2307.08691), whose loop order is used here: query tiles outside, key tiles inside. The running softmax is Milakov and
Gimelshein's (2018, arXiv:1805.02867).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def online_softmax(highest: Tensor, total: Tensor, weighted: Tensor, scores: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fold one more block of keys into a softmax-weighted sum.

    Parameters
    ----------
    highest : Tensor (..., rows)
        Largest score so far; -inf where none was seen.
    total : Tensor (..., rows)
        Sum of exp(score - highest) so far.
    weighted : Tensor (..., rows, value_dim)
        Sum of exp(score - highest) · value so far.
    scores : Tensor (..., rows, columns)
        Of the new block; -inf stands for a key that the row may not see.
    values : Tensor (..., columns, value_dim)

    Returns
    -------
    highest, total, weighted : Tensor
        The same three with the block taken in; inputs are left as they were. ``weighted / total`` after the last block is
        softmax(all scores) @ all values. A row that has seen -inf only keeps total 0 and weighted 0.
    """
    new_highest = torch.maximum(highest, scores.amax(-1))
    # A row with no score yet has maximum -inf: shift by 0 there, since inf - inf is NaN.
    shift = new_highest.masked_fill(new_highest == -math.inf, 0.0)
    exponentials = (scores - shift[..., None]).exp_()
    rescale = torch.exp(highest - shift)  # brings what was summed under the old maximum to the new one
    total = total * rescale + exponentials.sum(-1)
    return new_highest, total, torch.addcmul(exponentials @ values, weighted, rescale[..., None])


def flash_attention_forward(
    q: Tensor, k: Tensor, v: Tensor, block_m: int = 256, block_n: int = 512, causal: bool = False
) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ / √head_dim) v in tiles of block_m queries by block_n keys (FlashAttention-2, algorithm 1).

    Parameters
    ----------
    q : Tensor (..., queries, head_dim); k : Tensor (..., keys, head_dim); v : Tensor (..., keys, value_dim)
        Same leading axes, dtype and device.
    block_m, block_n : int
        Rows and columns of a tile; any numbers from 1, also ones that do not divide the number of tokens.
    causal : bool
        Hide the future. The queries are the *last* positions, so query i sees keys 0 … keys - queries + i.

    Returns
    -------
    output : Tensor (..., queries, value_dim)
    lse : Tensor (..., queries)
        log Σ exp(score) of each row, natural logarithm, scale included.

    Raises
    ------
    ValueError
        Shapes that do not fit, a block size below 1, or causal with more queries than keys.
    """
    offset = _check(q, k, v, block_m, block_n, causal)
    queries, keys, scale = q.shape[-2], k.shape[-2], 1.0 / math.sqrt(q.shape[-1])
    output = q.new_empty((*q.shape[:-1], v.shape[-1]))
    lse = q.new_empty(q.shape[:-1])
    for first in range(0, queries, block_m):
        rows = slice(first, min(first + block_m, queries))
        tile = q[..., rows, :] * scale  # (..., rows, head_dim)
        highest = tile.new_full(tile.shape[:-1], -math.inf)
        total = torch.zeros_like(highest)
        weighted = torch.zeros_like(output[..., rows, :])
        for start, stop in _key_tiles(rows, keys, block_n, offset):
            scores = tile @ k[..., start:stop, :].mT  # (..., rows, columns)
            _hide_future(scores, rows, start, offset)
            highest, total, weighted = online_softmax(highest, total, weighted, scores, v[..., start:stop, :])
        output[..., rows, :] = weighted / total[..., None]
        lse[..., rows] = highest + total.log()
    return output, lse


def flash_attention_backward(
    d_output: Tensor, q: Tensor, k: Tensor, v: Tensor, output: Tensor, lse: Tensor, block_m: int = 256, block_n: int = 512,
    causal: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v, tile by tile; the weights are made again as exp(score - lse) (FlashAttention-2, algorithm 2).

    Parameters
    ----------
    d_output : Tensor (..., queries, value_dim)
        Gradient of the loss with respect to ``output``.
    q, k, v, output, lse
        As `flash_attention_forward` took and returned them.
    block_m, block_n, causal
        The tiles may differ from those of the forward pass.

    Returns
    -------
    dq, dk, dv : Tensor, shapes of q, k and v
    """
    offset = _check(q, k, v, block_m, block_n, causal)
    queries, keys, scale = q.shape[-2], k.shape[-2], 1.0 / math.sqrt(q.shape[-1])
    dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    for first in range(0, queries, block_m):
        rows = slice(first, min(first + block_m, queries))
        tile, d_tile = q[..., rows, :] * scale, d_output[..., rows, :]
        # Σ_j P_ij dP_ij equals the row's dO · O, so the softmax's backward needs no row of weights.
        delta = (d_tile * output[..., rows, :]).sum(-1, keepdim=True)
        for start, stop in _key_tiles(rows, keys, block_n, offset):
            key, value = k[..., start:stop, :], v[..., start:stop, :]
            scores = tile @ key.mT
            _hide_future(scores, rows, start, offset)
            weights = scores.sub_(lse[..., rows, None]).exp_()  # (..., rows, columns)
            dv[..., start:stop, :] += weights.mT @ d_tile
            d_scores = (d_tile @ value.mT).sub_(delta).mul_(weights)
            dk[..., start:stop, :] += d_scores.mT @ tile
            dq[..., rows, :] += (d_scores @ key).mul_(scale)
    return dq, dk, dv


def flash_attention(q: Tensor, k: Tensor, v: Tensor, block_m: int = 256, block_n: int = 512, causal: bool = False) -> Tensor:
    """`flash_attention_forward` that autograd can differentiate, keeping O(tokens) for the backward pass."""
    return _FlashAttention.apply(q, k, v, block_m, block_n, causal)


class _FlashAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, block_m: int, block_n: int, causal: bool) -> Tensor:
        output, lse = flash_attention_forward(q, k, v, block_m, block_n, causal)
        ctx.save_for_backward(q, k, v, output, lse)
        ctx.tiles = block_m, block_n, causal
        return output

    @staticmethod
    def backward(ctx: Any, d_output: Tensor) -> tuple[Tensor | None, ...]:
        return *flash_attention_backward(d_output, *ctx.saved_tensors, *ctx.tiles), None, None, None


def _check(q: Tensor, k: Tensor, v: Tensor, block_m: int, block_n: int, causal: bool) -> int | None:
    """Raise ValueError for arguments that do not fit; the last key that query 0 may see, or None without a mask."""
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2] or not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        raise ValueError(f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}: all leading axes must agree, q and k share "
                         "head_dim, k and v the number of keys")
    if block_m < 1 or block_n < 1:
        raise ValueError(f"block_m={block_m}, block_n={block_n}: a tile has at least one row and one column")
    if causal and q.shape[-2] > k.shape[-2]:
        raise ValueError(f"causal with {q.shape[-2]} queries and {k.shape[-2]} keys: the queries are the last positions, so there "
                         "cannot be more of them than keys")
    return k.shape[-2] - q.shape[-2] if causal else None


def _key_tiles(rows: slice, keys: int, block_n: int, offset: int | None) -> list[tuple[int, int]]:
    """(start, stop) of the key tiles that some of these rows may see; the others are never computed."""
    visible = keys if offset is None else min(keys, rows.stop + offset)
    return [(start, min(start + block_n, visible)) for start in range(0, visible, block_n)]


def _hide_future(scores: Tensor, rows: slice, start: int, offset: int | None) -> None:
    """Set a tile's scores to -inf, in place, where the key is later than the query."""
    if offset is None or start + scores.shape[-1] - 1 <= rows.start + offset:
        return  # the whole tile lies in the past
    first_hidden = rows.start + offset - start + 1
    hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(first_hidden)
    scores.masked_fill_(hidden, -math.inf)

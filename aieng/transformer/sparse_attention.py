"""Sparse attention: masks that leave most pairs of tokens out, and attention that really skips the work.

Sources: Beltagy et al. 2020, "Longformer" (arXiv:2004.05150), section 3: sliding window, dilated, global; Child et al. 2019,
"Generating Long Sequences with Sparse Transformers" (arXiv:1904.10509); Xiao et al. 2023, "Efficient Streaming Language Models
with Attention Sinks" (arXiv:2309.17453) for a window plus the first tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def sparse_mask(
    tokens: int, window: int, dilation: int = 1, global_tokens: Sequence[int] = (), causal: bool = False
) -> Tensor:
    """Which token may look at which: a window, possibly with gaps, and tokens that see and are seen by all.

    Parameters
    ----------
    tokens : int
    window : int, >= 0
        How many neighbours on *each* side, besides the token itself.
    dilation : int, >= 1
        Distance between neighbours: 3 with window 2 gives positions -6, -3, 0, +3, +6.
    global_tokens : positions from 0 to tokens - 1
        Each looks at every token, and every token looks at it.
    causal : bool
        Leave out every key later than the query, also for global tokens.

    Returns
    -------
    Tensor (tokens, tokens), bool
        Row: the query; column: the key; True where it may look.

    Raises
    ------
    ValueError
        window < 0, dilation < 1, or a global token that does not exist.
    """
    if window < 0 or dilation < 1:
        raise ValueError(f"window={window}, dilation={dilation}; need window >= 0 and dilation >= 1")
    if any(not 0 <= g < tokens for g in global_tokens):
        raise ValueError(f"global_tokens {list(global_tokens)}; with {tokens} tokens allowed are 0 to {tokens - 1}")
    position = torch.arange(tokens)
    distance = position[:, None] - position  # (queries, keys), above 0 where the key is earlier
    mask = (distance % dilation == 0) & (distance.abs() <= window * dilation)
    chosen = list(global_tokens)
    mask[chosen, :] = True
    mask[:, chosen] = True
    return mask & (distance >= 0) if causal else mask


def block_sparse_attention(
    q: Tensor, k: Tensor, v: Tensor, window: int, global_tokens: int = 0, block_size: int = 128
) -> Tensor:
    """Causal attention in a sliding window, computed for the blocks inside the window only.

    Query i looks at keys j <= i with i - j <= window, and at the first `global_tokens` keys (as far as they are not later than i).

    Parameters
    ----------
    q, k : Tensor (..., tokens, head_dim)
    v : Tensor (..., tokens, value_dim)
    window : int, >= 0
        Earlier keys that a query sees, besides its own and the global ones.
    global_tokens : int, >= 0
        Number of tokens at the beginning that every later one sees.
    block_size : int, >= 1
        Queries handled together; need not divide the number of tokens.

    Returns
    -------
    Tensor (..., tokens, value_dim)
        Equal to dense attention with that mask; scores computed: tokens · (window + block_size + global_tokens), not tokens².

    Raises
    ------
    ValueError
        Shapes that do not fit, window or global_tokens below 0, block_size below 1.
    """
    if q.shape != k.shape or k.shape[:-1] != v.shape[:-1]:
        raise ValueError(f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}: q and k share a shape, v all but the last axis")
    if window < 0 or global_tokens < 0 or block_size < 1:
        raise ValueError(f"window={window}, global_tokens={global_tokens}, block_size={block_size}; need >= 0, >= 0 and >= 1")
    tokens = q.shape[-2]
    out = torch.empty(*q.shape[:-1], v.shape[-1], dtype=v.dtype, device=v.device)
    for start in range(0, tokens, block_size):
        end = min(start + block_size, tokens)
        first = max(0, start - window)  # the earliest key in the window of this block's first query
        sinks = min(global_tokens, first)  # the first tokens, as far as the window does not hold them already
        keys = torch.cat([torch.arange(sinks), torch.arange(first, end)])
        distance = torch.arange(start, end)[:, None] - keys  # (queries, keys) of this block
        mask = (distance >= 0) & ((distance <= window) | (keys < global_tokens))
        near = slice(first, end)
        block_k = torch.cat([k[..., :sinks, :], k[..., near, :]], dim=-2) if sinks else k[..., near, :]
        block_v = torch.cat([v[..., :sinks, :], v[..., near, :]], dim=-2) if sinks else v[..., near, :]
        out[..., start:end, :] = F.scaled_dot_product_attention(q[..., start:end, :], block_k, block_v, mask)
    return out


def reach(mask: Tensor, layers: int) -> Tensor:
    """Which token can be influenced by which through several layers of the same mask.

    Parameters
    ----------
    mask : Tensor (tokens, tokens), bool
    layers : int, >= 1

    Returns
    -------
    Tensor (tokens, tokens), bool
        True where a path of at most `layers` looks leads from the query (row) to the token (column).
    """
    if layers < 1:
        raise ValueError(f"layers={layers}; need at least 1")
    # The residual path keeps a token's own vector, so every token reaches itself.
    step = (mask | torch.eye(len(mask), dtype=torch.bool)).float()
    seen = step
    for _ in range(layers - 1):
        seen = (seen @ step > 0).float()
    return seen > 0

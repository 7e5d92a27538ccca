# Keys begin at the block, not a window earlier.
def sparse_mask(tokens, window, dilation=1, global_tokens=(), causal=False):
    """Which token may look at which: a window, possibly with gaps, and tokens that see and are seen by all.

    Parameters
    ----------
    tokens : int
    window : int, >= 0, how many neighbours on *each* side, besides the token itself
    dilation : int, >= 1, distance between neighbours
    global_tokens : positions, 0 to tokens - 1; each looks at every token, and every token looks at it
    causal : bool; leave out every key that is later than the query, also for global tokens

    Returns
    -------
    Tensor (tokens, tokens), bool: row the query, column the key, True where it may look

    Raises
    ------
    ValueError: window < 0, dilation < 1, a global token that does not exist.
    """
    if window < 0 or dilation < 1 or any(not 0 <= g < tokens for g in global_tokens):
        raise ValueError(f"window={window}, dilation={dilation}, global_tokens={list(global_tokens)} for {tokens} tokens")
    position = torch.arange(tokens)
    distance = position[:, None] - position  # (queries, keys), above 0 where the key is earlier
    mask = (distance % dilation == 0) & (distance.abs() <= window * dilation)
    for g in global_tokens:
        mask[g, :] = True
        mask[:, g] = True
    return mask & (distance >= 0) if causal else mask


def block_sparse_attention(q, k, v, window, global_tokens=0, block_size=128):
    """Causal attention in a sliding window, computed for the blocks inside the window only.

    Query i looks at keys j <= i with i - j <= window, and at the first `global_tokens` keys (as far as they are not later than i).

    Parameters
    ----------
    q, k : Tensor (..., tokens, head_dim); v : Tensor (..., tokens, value_dim)
    window, global_tokens : int, >= 0
    block_size : int, >= 1, queries handled together; need not divide the number of tokens

    Returns
    -------
    Tensor (..., tokens, value_dim), what softmax(q kᵀ / √head_dim) v with that mask gives, without computing tokens² scores

    Raises
    ------
    ValueError: q and k of different shapes, v with another number of tokens, window or global_tokens < 0, block_size < 1.
    """
    if q.shape != k.shape or k.shape[:-1] != v.shape[:-1] or window < 0 or global_tokens < 0 or block_size < 1:
        raise ValueError(f"{tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}, window={window}, {global_tokens}, block_size={block_size}")
    tokens, out = q.shape[-2], []
    for start in range(0, tokens, block_size):
        end = min(start + block_size, tokens)
        first = max(0, start - window + 1)  # the earliest key that this block's first query sees in its window
        keys = torch.cat([torch.arange(min(global_tokens, first)), torch.arange(first, end)])
        distance = torch.arange(start, end)[:, None] - keys
        mask = (distance >= 0) & ((distance <= window) | (keys < global_tokens))
        out.append(F.scaled_dot_product_attention(q[..., start:end, :], k[..., keys, :], v[..., keys, :], mask))
    return torch.cat(out, dim=-2)

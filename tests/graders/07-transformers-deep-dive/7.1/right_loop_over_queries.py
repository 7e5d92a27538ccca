def causal_mask(queries, keys=None, dtype=torch.float32):
    """Additive mask that hides the future.

    Parameters
    ----------
    queries, keys : int
        Numbers of positions; `keys` is as many as `queries` when left out. With more keys than
        queries, the queries are the last positions.
    dtype : torch.dtype, of the result

    Returns
    -------
    mask : Tensor (queries, keys)
        0 where the key is not later than the query, -inf where it is.

    Raises
    ------
    ValueError: fewer keys than queries.
    """
    keys = queries if keys is None else keys
    if keys < queries:
        raise ValueError(f"{queries} queries and {keys} keys: the queries are the last of the keys' positions")
    first = keys - queries  # position of the first query
    mask = torch.zeros(queries, keys, dtype=dtype)
    for i in range(queries):
        mask[i, first + i + 1 :] = float("-inf")
    return mask


def attention_weights(q, k, mask=None):
    """How much each query takes from each key: softmax of the scaled scores plus the mask.

    Parameters
    ----------
    q : Tensor (..., queries, head_dim), floating point
    k : Tensor (..., keys, head_dim)
    mask : Tensor, optional
        Of zeros and -inf, or other numbers to add; broadcasts to (..., queries, keys).

    Returns
    -------
    weights : Tensor (..., queries, keys)
        Rows add up to 1; 0 where the mask is -inf. A query that may look at no key has weights 0.
        Finite for scores of any size. Gradients flow through.
    """
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores + mask
    rows = []
    for i in range(q.shape[-2]):
        row = scores[..., i, :]
        nothing = torch.isneginf(row).all(-1, keepdim=True)
        rows.append(torch.where(nothing, torch.zeros_like(row), torch.softmax(torch.where(nothing, torch.zeros_like(row), row), -1)))
    return torch.stack(rows, dim=-2)


def masked_attention(q, k, v, mask=None):
    """Each query's weighted mean of the values.

    Parameters
    ----------
    q, k, mask : as in attention_weights
    v : Tensor (..., keys, value_dim)

    Returns
    -------
    output : Tensor (..., queries, value_dim), of q's dtype; zeros for a query that may look at no key
    """
    return attention_weights(q, k, mask) @ v

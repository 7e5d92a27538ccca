def previous_token_score(weights):
    """Mean weight on the token just before.

    Parameters
    ----------
    weights : Tensor (..., n, n), n >= 2: queries, keys; leading axes are layers, texts, heads

    Returns
    -------
    Tensor (...): one score for each map; the mean over the queries 1 … n - 1
    """
    n = weights.shape[-1]
    return sum(weights[..., i, i - 1] for i in range(1, n)) / (n - 1)


def attention_sink_score(weights):
    """Mean weight on token 0, over the queries 1 … n - 1; (..., n, n) to (...)."""
    n = weights.shape[-1]
    return torch.stack([weights[..., i, 0] for i in range(1, n)], dim=-1).mean(dim=-1)


def induction_score(weights, ids):
    """Mean weight on what followed earlier occurrences of the query's own token.

    Parameters
    ----------
    weights : Tensor (..., n, n)
    ids : Tensor (n,), integers: the tokens

    Returns
    -------
    Tensor (...)
        The mean over the queries i whose token stands somewhere before i; the share of such a query
        is the sum of its weights on the keys p + 1, for every p < i with ids[p] == ids[i].

    Raises
    ------
    ValueError: no token comes twice.
    """
    seen, total, count = {}, torch.zeros(weights.shape[:-2], dtype=weights.dtype), 0
    for i, token in enumerate(ids.tolist()):
        if token in seen:
            count += 1
            for p in seen[token]:
                total = total + weights[..., i, p + 1]
        seen.setdefault(token, []).append(i)
    if count == 0:
        raise ValueError("all tokens differ")
    return total / count


def ablation_effects(loss, heads, num_layers, num_heads):
    """How much the loss rises when each head alone is switched off.

    Parameters
    ----------
    loss : callable
        loss(head_mask) with head_mask a Tensor (num_layers, num_heads) of factors, gives a number.
        Each call is one pass of the model.
    heads : sequence of (layer, head)
    num_layers, num_heads : int

    Returns
    -------
    Tensor (number of heads given,): the loss without the head, minus the loss with all heads
    """
    masks = [torch.ones(num_layers, num_heads)]
    for layer, head in heads:
        off = torch.zeros(num_layers, num_heads)
        off[layer, head] = 1
        masks.append(1 - off)
    losses = torch.tensor([loss(m) for m in masks], dtype=torch.float64)
    return losses[1:] - losses[0]

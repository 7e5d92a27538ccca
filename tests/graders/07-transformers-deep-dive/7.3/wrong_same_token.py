def previous_token_score(weights):
    """Mean weight on the token just before.

    Parameters
    ----------
    weights : Tensor (..., n, n), n >= 2: queries, keys; leading axes are layers, texts, heads

    Returns
    -------
    Tensor (...): one score for each map; the mean over the queries 1 … n - 1
    """
    return weights.diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1)


def attention_sink_score(weights):
    """Mean weight on token 0, over the queries 1 … n - 1; (..., n, n) to (...)."""
    return weights[..., 1:, 0].mean(-1)


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
    n = len(ids)
    shares = []
    for i in range(n):
        followers = [p for p in range(i) if ids[p] == ids[i]]
        if followers:
            shares.append(weights[..., i, followers].sum(-1))
    if not shares:
        raise ValueError("no token comes twice: there is nothing to continue")
    return torch.stack(shares).mean(0)


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
    whole = float(loss(torch.ones(num_layers, num_heads)))
    effects = []
    for layer, head in heads:
        mask = torch.ones(num_layers, num_heads)
        mask[layer, head] = 0.0
        effects.append(float(loss(mask)) - whole)
    return torch.tensor(effects)

"""What a head does, read off its attention weights, and what the model loses without it.

Axes: weights (..., queries, keys), each row adding up to 1, keys no later than their query; leading axes are layers, heads, texts.

Sources: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits" (previous-token and induction heads); Olsson et al. 2022,
"In-context Learning and Induction Heads" (arXiv:2209.11895); Xiao et al. 2023, "Efficient Streaming Language Models with Attention Sinks"
(arXiv:2309.17453); ablation: Michel, Levy, Neubig 2019, "Are Sixteen Heads Really Better than One?" (arXiv:1905.10650).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def previous_token_score(weights: Tensor) -> Tensor:
    """Mean weight on the token just before, over all queries that have one; (..., n, n), n ≥ 2, to (...)."""
    return _checked(weights).diagonal(-1, -2, -1).mean(-1)


def attention_sink_score(weights: Tensor) -> Tensor:
    """Mean weight on the very first token, over all later queries; (..., n, n), n ≥ 2, to (...)."""
    return _checked(weights)[..., 1:, 0].mean(-1)


def induction_score(weights: Tensor, ids: Tensor) -> Tensor:
    """Mean weight on what followed earlier occurrences of the query's token.

    Parameters
    ----------
    weights : Tensor (..., n, n)
    ids : Tensor (n,), integer
        The tokens. A query i counts if its token stands somewhere before i; its share is the sum of its weights on the keys p + 1 for every
        p < i with ids[p] = ids[i].

    Returns
    -------
    Tensor (...)
        Mean share of the queries that count.

    Raises
    ------
    ValueError
        Shapes do not fit, or no token comes twice.
    """
    _checked(weights)
    n = weights.shape[-1]
    if ids.shape != (n,):
        raise ValueError(f"ids has shape {tuple(ids.shape)}; weights of {n} tokens need ({n},)")
    same = (ids[:, None] == ids[None, :]).tril(-1)  # (queries, p): the same token, earlier
    counts = same.any(-1)
    if not counts.any():
        raise ValueError("no token comes twice, so nothing can be continued: repeat a part of the sequence")
    after = same.roll(1, dims=-1)  # (queries, keys): one to the right of each; the last column was False everywhere
    return (weights * after).sum(-1)[..., counts].mean(-1)


def ablation_effects(
    loss: Callable[[Tensor], float], heads: Sequence[tuple[int, int]], num_layers: int, num_heads: int
) -> Tensor:
    """How much the loss rises when each head alone is switched off.

    Parameters
    ----------
    loss : callable
        ``loss(head_mask)`` with head_mask (num_layers, num_heads) of ones and zeros, as `Llama` takes it.
    heads : sequence of (layer, head)
    num_layers, num_heads : int

    Returns
    -------
    Tensor (number of heads given,), float64
        Loss without the head minus the loss with all of them; positive: the head helped.

    Raises
    ------
    ValueError
        A head that the model does not have.
    """
    for layer, head in heads:
        if not (0 <= layer < num_layers and 0 <= head < num_heads):
            raise ValueError(f"there is no head ({layer}, {head}) in a model of {num_layers} layers with {num_heads} heads")
    everything = torch.ones(num_layers, num_heads)
    whole = float(loss(everything.clone()))
    effects = []
    for layer, head in heads:
        mask = everything.clone()
        mask[layer, head] = 0.0
        effects.append(float(loss(mask)) - whole)
    return torch.tensor(effects, dtype=torch.float64)


def _checked(weights: Tensor) -> Tensor:
    if weights.ndim < 2 or weights.shape[-1] != weights.shape[-2] or weights.shape[-1] < 2:
        raise ValueError(f"weights has shape {tuple(weights.shape)}; expected (..., n, n) with n of at least 2")
    return weights

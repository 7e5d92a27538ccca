"""Mixture of experts: a router sends every token to a few of many feed-forward networks.

Source: Shazeer et al. 2017 (arXiv:1701.06538); the form is that of Mixtral, Jiang et al. 2024 (arXiv:2401.04088), section 2.1;
the balance loss is that of Switch Transformers, Fedus, Zoph, Shazeer 2021 (arXiv:2101.03961), equations 4 to 6.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear, silu


def top_k_router(x: Tensor, router: Tensor, top_k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Choose top_k experts for each token and say how much each of them counts.

    Parameters
    ----------
    x : Tensor (tokens, hidden_size)
    router : Tensor (num_experts, hidden_size)
        One row per expert; its product with a token is the expert's logit.
    top_k : int
        1 … num_experts.

    Returns
    -------
    weights : Tensor (tokens, top_k), float32 (float64 for float64 input)
        The chosen probabilities divided by their sum, largest first.
    chosen : Tensor (tokens, top_k) int64
        The experts they belong to.
    probabilities : Tensor (tokens, num_experts)
        Softmax over *all* experts, for `load_balancing_loss`.

    Raises
    ------
    ValueError
        top_k out of range.
    """
    if not 1 <= top_k <= len(router):
        raise ValueError(f"top_k={top_k} of {len(router)} experts: choose 1 to {len(router)}")
    logits = linear(x, router)
    # Half precision would make ties and, over many experts, sums that are not 1.
    probabilities = torch.softmax(logits, -1, dtype=torch.promote_types(logits.dtype, torch.float32))
    weights, chosen = probabilities.topk(top_k, dim=-1)
    return weights / weights.sum(-1, keepdim=True), chosen, probabilities


def dispatch(chosen: Tensor, num_experts: int) -> tuple[Tensor, Tensor]:
    """Group the assignments by expert, so that each expert's tokens lie together.

    Parameters
    ----------
    chosen : Tensor (tokens, top_k) int64
        Experts of each token.
    num_experts : int

    Returns
    -------
    order : Tensor (tokens * top_k,) int64
        Positions in ``chosen.flatten()``: all of expert 0, then all of expert 1, …, each in the order of the tokens.
        ``order // top_k`` is the token, ``order % top_k`` which of its choices.
    counts : Tensor (num_experts,) int64
        Number of assignments to each expert; 0 for one that nobody chose.
    """
    flat = chosen.flatten()
    return flat.argsort(stable=True), torch.bincount(flat, minlength=num_experts)


def load_balancing_loss(probabilities: Tensor, chosen: Tensor) -> Tensor:
    """num_experts · Σ_e f_e · P_e: smallest when tokens and probability are spread evenly.

    Parameters
    ----------
    probabilities : Tensor (tokens, num_experts)
        The router's softmax; the gradient flows through it.
    chosen : Tensor (tokens, top_k) int64

    Returns
    -------
    Tensor, scalar
        f_e is the number of assignments to expert e divided by the number of tokens (so that Σ f_e = top_k, as in
        transformers; Switch has top_k = 1), P_e the mean probability of e. Perfect balance gives top_k, everything to one
        expert with certainty num_experts (for top_k = 1).
    """
    num_experts = probabilities.shape[-1]
    share = torch.bincount(chosen.flatten(), minlength=num_experts) / len(chosen)
    return num_experts * (share * probabilities.mean(0)).sum()


@dataclass(frozen=True)
class MoELayer:
    """num_experts SwiGLU networks behind a router; each token runs through top_k of them.

    router : Tensor (num_experts, hidden_size)
    gate, up : Tensor (num_experts, intermediate_size, hidden_size)
    down : Tensor (num_experts, hidden_size, intermediate_size)
    top_k : int
    """

    router: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor
    top_k: int

    def __call__(self, x: Tensor) -> Tensor:
        """Map x (..., hidden_size) to the same shape and dtype; each expert computes only the tokens sent to it."""
        tokens = x.reshape(-1, x.shape[-1])
        weights, chosen, _ = top_k_router(tokens, self.router, self.top_k)
        order, counts = dispatch(chosen, len(self.router))
        rows = order // self.top_k  # (assignments,) the token of each
        gathered = tokens[rows]
        outputs = torch.cat([self.expert(e, part) for e, part in enumerate(gathered.split(counts.tolist()))])
        outputs = outputs * weights.flatten()[order, None].to(outputs.dtype)
        return torch.zeros_like(tokens).index_add(0, rows, outputs).reshape(x.shape)

    def expert(self, e: int, x: Tensor) -> Tensor:
        """Expert e's own network, for x (tokens, hidden_size): down(silu(gate x) · up x)."""
        return linear(silu(linear(x, self.gate[e])) * linear(x, self.up[e]), self.down[e])

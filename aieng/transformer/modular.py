"""A Llama whose attention layers are objects of a `MultiHeadAttention` class, so that a class can be tried inside a trained model.

RoPE turns each projected head by its token's position; here it is part of the projections that the class is given. What earlier tokens
left behind are their inputs to each layer, the class's `memory`; their keys and values are computed again at every step. `Llama` itself
keeps keys and values instead, which is faster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from aieng.transformer.attention import AttentionKernel, Linear, MultiHeadAttention, merge_heads, split_heads
from aieng.transformer.llama import Kernels, Llama


class InputCache:
    """The inputs (batch, tokens, hidden_size) that each attention layer has seen; made with the arguments of `KVCache`."""

    def __init__(self, num_layers: int, batch: int, num_key_value_heads: int, head_dim: int, capacity: int, dtype: torch.dtype) -> None:
        self.inputs: list[Tensor | None] = [None] * num_layers
        self.capacity, self.length = capacity, 0

    def append(self, layer: int, x: Tensor) -> Tensor:
        """Store the new tokens' inputs of one layer; give back those of all tokens so far."""
        held = self.inputs[layer]
        whole = x if held is None else torch.cat([held[:, : self.length], x], dim=1)
        self.inputs[layer] = whole
        if layer == len(self.inputs) - 1:
            self.length = whole.shape[1]
        return whole

    def truncate(self, length: int) -> None:
        """Forget all tokens from position `length` on. ValueError beyond what is held."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot cut to {length} tokens: the cache holds {self.length}")
        self.length = length


def with_multi_head(model: Llama, multi_head: Callable[..., Any] = MultiHeadAttention, attention: AttentionKernel | None = None) -> Llama:
    """The same weights with every attention layer computed by ``multi_head(query, key, value, output, num_heads, num_key_value_heads,
    attention)``, called as ``(x, mask, memory)``.

    Parameters
    ----------
    model : Llama
        Its weights are shared, not copied.
    multi_head : callable
        `MultiHeadAttention` or a class of the same signature.
    attention : callable, optional
        ``(q, k, v, mask)``; by default the model's own kernel.

    Notes
    -----
    The new model takes no `on_attention` or `head_mask` and expects one row of positions; both raise ValueError.
    """
    kernels = dataclasses.replace(model.kernels, cache=InputCache, attention=attention or model.kernels.attention)
    exchanged = Llama(model.config, model.weights, kernels)
    exchanged.blocks = tuple(dataclasses.replace(block, attention=_Layer(exchanged, i, multi_head, kernels))
                             for i, block in enumerate(exchanged.blocks))
    return exchanged


class _Layer:
    """One attention layer, made of an object of the given class."""

    def __init__(self, model: Llama, layer: int, multi_head: Callable[..., Any], kernels: Kernels) -> None:
        self.config, self.layer, self.multi_head, self.kernels = model.config, layer, multi_head, kernels
        names = (f"model.layers.{layer}.self_attn.{part}_proj.weight" for part in "qkvo")
        self.q, self.k, self.v, self.o = (Linear(model.weights[name]) for name in names)

    def __call__(self, x: Tensor, *, positions: Tensor, mask: Tensor | None, cache: Any, on_attention: Any, head_mask: Any) -> Tensor:
        if on_attention is not None or head_mask is not None or positions.ndim != 1:
            raise ValueError("a model with an exchanged multi-head attention takes no on_attention, no head_mask and one row of positions")
        memory = x if cache is None else cache.append(self.layer, x)
        first = int(positions[0]) + x.shape[1] - memory.shape[1]
        before = torch.arange(first, first + memory.shape[1])
        c = self.config
        heads = self.multi_head(self._turned(self.q, c.num_attention_heads, positions), self._turned(self.k, c.num_key_value_heads, before),
                                self.v, self.o, c.num_attention_heads, c.num_key_value_heads, self.kernels.attention)
        out: Tensor = heads(x, mask, memory)
        return out

    def _turned(self, project: Linear, heads: int, positions: Tensor) -> Callable[[Tensor], Tensor]:
        """The projection, and after it RoPE on each head."""
        return lambda x: merge_heads(self.kernels.rope(split_heads(project(x), heads), positions, self.config.rope_theta))

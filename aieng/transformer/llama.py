"""Llama's decoder-only Transformer, assembled from kernels that can be exchanged one by one.

Source: Touvron et al. 2023, "LLaMA" (arXiv:2302.13971), section 2.2; grouped-query attention as in Llama 2 (arXiv:2307.09288).
Tensor names are those of transformers' LlamaForCausalLM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from aieng.transformer.attention import (
    AttentionKernel,
    Linear,
    attention_weights,
    causal_mask,
    grouped_query_attention,
    merge_heads,
    scaled_dot_product_attention,
    split_heads,
)
from aieng.transformer.blocks import DecoderOnlyBlock, Projection, rms_norm, swiglu
from aieng.transformer.kv_cache import KVCache
from aieng.transformer.positions import apply_rope


@dataclass(frozen=True, kw_only=True)
class LlamaConfig:
    """Sizes of a Llama; field names as in transformers' config.json."""

    hidden_size: int  # features of a token
    intermediate_size: int  # features inside the feed-forward network
    num_hidden_layers: int
    num_attention_heads: int  # query heads
    num_key_value_heads: int  # key and value heads; divides num_attention_heads
    vocab_size: int  # rows of the embedding
    head_dim: int = 0  # features of a head, even; 0 stands for hidden_size / num_attention_heads
    rope_theta: float = 10000.0  # base of the rotary frequencies
    rms_norm_eps: float = 1e-5
    max_position_embeddings: int = 2048  # context length, in tokens
    tie_word_embeddings: bool = True  # the output layer is the embedding

    def __post_init__(self) -> None:
        if self.num_attention_heads < 1 or self.num_key_value_heads < 1 or self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(f"{self.num_attention_heads} query heads cannot share {self.num_key_value_heads} key-value heads evenly")
        if self.head_dim == 0:
            if self.hidden_size % self.num_attention_heads:
                raise ValueError(f"hidden_size {self.hidden_size} is no multiple of {self.num_attention_heads} heads; give head_dim")
            object.__setattr__(self, "head_dim", self.hidden_size // self.num_attention_heads)
        if self.head_dim % 2:
            raise ValueError(f"head_dim is {self.head_dim}; RoPE turns pairs of features, so it must be even")


def linear(*weights: Tensor) -> Projection:
    """x ↦ x Wᵀ of one or several weights (out_features, in_features); the outputs of several stand side by side.

    Weights that lie one after the other in memory are multiplied as one matrix.
    """
    joined = _as_one(weights)
    if joined is not None:
        return Linear(joined)
    return lambda x: torch.cat([x @ weight.mT for weight in weights], dim=-1)


def _as_one(weights: tuple[Tensor, ...]) -> Tensor | None:
    """One view over weights that lie one after the other in the same memory, or None. Trained weights stay apart."""
    first = weights[0]
    if len(weights) == 1:
        return first
    end = first.storage_offset()
    for w in weights:
        same = w.untyped_storage().data_ptr() == first.untyped_storage().data_ptr() and w.dtype == first.dtype
        if not same or w.storage_offset() != end or not w.is_contiguous() or w.requires_grad or w.shape[1:] != first.shape[1:]:
            return None
        end += w.numel()
    return first.as_strided((sum(w.shape[0] for w in weights), *first.shape[1:]), first.stride(), first.storage_offset())


@dataclass(frozen=True)
class Kernels:
    """The parts that a learner writes, as callables; the defaults are this package's."""

    rope: Callable[[Tensor, Tensor, float], Tensor] = apply_rope  # (x (batch, heads, tokens, head_dim), positions, theta) to x's shape
    attention: AttentionKernel = scaled_dot_product_attention  # (q, k, v, mask), equal heads; mask None: nothing is hidden
    norm: Callable[[Tensor, Tensor, float], Tensor] = rms_norm  # (x, weight, eps) to x's shape
    feed_forward: Callable[[Tensor, Projection, Projection, Projection], Tensor] = swiglu  # (x, gate, up, down) to x's shape
    cache: Callable[..., Any] = KVCache  # (num_layers, batch, num_key_value_heads, head_dim, capacity, dtype)
    linear: Callable[..., Projection] = linear  # (*weights) to a callable; packs quantized weights


@dataclass(frozen=True)
class LlamaAttention:
    """Project, turn queries and keys by position, remember, attend, merge, project back.

    qkv : callable (hidden_size to (heads + 2 key-value heads) * head_dim); output : callable (heads * head_dim to hidden_size).
    """

    qkv: Projection
    output: Projection
    config: LlamaConfig
    kernels: Kernels
    layer: int

    def __call__(
        self, x: Tensor, *, positions: Tensor, mask: Tensor | None, cache: Any, on_attention: Callable[[int, Tensor], None] | None,
        head_mask: Tensor | None,
    ) -> Tensor:
        """Map x (batch, tokens, hidden_size) to the same shape. For the other arguments see `Llama.__call__`."""
        heads, shared = self.config.num_attention_heads, self.config.num_key_value_heads
        qk, v = split_heads(self.qkv(x), heads + 2 * shared).split([heads + shared, shared], dim=1)  # (batch, heads, tokens, head_dim)
        q, k = self.kernels.rope(qk, positions, self.config.rope_theta).split([heads, shared], dim=1)
        attend = getattr(cache, "attend", None)  # a cache that lies in pieces, such as a paged one, attends by itself
        if attend is not None:
            mixed = attend(self.layer, q, k, v)
        else:
            if cache is not None:
                k, v = cache.append(self.layer, k, v)
            mixed = grouped_query_attention(q, k, v, mask, self.kernels.attention)
        if on_attention is not None:
            on_attention(self.layer, attention_weights(q, k.repeat_interleave(heads // shared, dim=1), mask))
        if head_mask is not None:
            mixed = mixed * head_mask[self.layer, :, None, None]
        return self.output(merge_heads(mixed))


class Llama:
    """Token ids in, scores of the next token out.

    Parameters
    ----------
    config : LlamaConfig
    weights : mapping of str to Tensor
        Named as in transformers' LlamaForCausalLM: ``model.layers.0.self_attn.q_proj.weight`` and so on. Held, not copied: an optimiser
        that changes them trains this model.
    kernels : Kernels
        Any part can be exchanged; a wrong one changes the logits, the model still runs.

    Raises
    ------
    ValueError
        A tensor is missing or has the wrong shape.
    """

    def __init__(self, config: LlamaConfig, weights: Mapping[str, Any], kernels: Kernels | None = None) -> None:
        self.config, self.weights = config, weights
        self.kernels = kernels = Kernels() if kernels is None else kernels
        shapes = weight_shapes(config)

        def get(name: str) -> Any:
            if name not in weights:
                raise ValueError(f"tensor {name!r} is missing; got {len(weights)} tensors, are they a LlamaForCausalLM's?")
            if tuple(weights[name].shape) != shapes[name]:
                raise ValueError(f"{name} has shape {tuple(weights[name].shape)}, the config says {shapes[name]}")
            return weights[name]

        def norm(name: str) -> Projection:
            weight = get(f"{name}.weight")
            return lambda x: kernels.norm(x, weight, config.rms_norm_eps)

        def project(layer: str, *names: str) -> Projection:
            return kernels.linear(*(get(f"{layer}.{name}_proj.weight") for name in names))

        def feed_forward(layer: str) -> Projection:
            gate, up, down = (project(f"{layer}.mlp", name) for name in ("gate", "up", "down"))
            return lambda x: kernels.feed_forward(x, gate, up, down)

        def block(i: int) -> DecoderOnlyBlock:
            layer = f"model.layers.{i}"
            qkv, output = project(f"{layer}.self_attn", "q", "k", "v"), project(f"{layer}.self_attn", "o")
            return DecoderOnlyBlock(
                attention_norm=norm(f"{layer}.input_layernorm"),
                attention=LlamaAttention(qkv, output, config, kernels, i),
                feed_forward_norm=norm(f"{layer}.post_attention_layernorm"),
                feed_forward=feed_forward(layer),
            )

        self.embedding = get("model.embed_tokens.weight")  # (vocab_size, hidden_size)
        self.blocks = tuple(block(i) for i in range(config.num_hidden_layers))
        self.final_norm = norm("model.norm")
        self.output = kernels.linear(self.embedding if config.tie_word_embeddings else get("lm_head.weight"))
        self.dtype: torch.dtype = weights["model.norm.weight"].dtype

    def with_kernels(self, kernels: Kernels) -> Llama:
        """The same weights on other kernels."""
        return Llama(self.config, self.weights, kernels)

    def new_cache(self, batch: int = 1, capacity: int | None = None) -> Any:
        """An empty cache for `batch` sequences of up to `capacity` tokens (default: the context length)."""
        c = self.config
        return self.kernels.cache(c.num_hidden_layers, batch, c.num_key_value_heads, c.head_dim, capacity or c.max_position_embeddings,
                                  self.dtype)

    def __call__(
        self, ids: Tensor, cache: Any = None, positions: Tensor | None = None, mask: Tensor | None = None, *,
        logits_to_keep: int | None = None, on_attention: Callable[[int, Tensor], None] | None = None, head_mask: Tensor | None = None,
    ) -> Tensor:
        """Scores of the token that follows each of the given ones.

        Parameters
        ----------
        ids : Tensor (batch, tokens), int64
            At least one token each; with a cache, those that follow the ones it holds.
        cache : optional
            From `new_cache`; takes up the keys and values of `ids`.
        positions : Tensor (tokens,) or (batch, tokens), optional
            Default: counted on from the cache's length.
        mask : Tensor, optional
            *In place of* the causal mask; broadcasts to (batch, heads, tokens, length + tokens), bool (True = may look) or float (added).
        logits_to_keep : int, optional
            Compute the output layer for the last so many tokens only; generation needs one.
        on_attention : callable, optional
            Called as ``on_attention(layer, weights)``, weights (batch, heads, tokens, length + tokens), for maps of what the heads do. They
            are computed beside the attention kernel, from the same queries and keys.
        head_mask : Tensor (num_hidden_layers, num_attention_heads), optional
            Factors for the heads' outputs: 0 switches a head off.

        Returns
        -------
        Tensor (batch, tokens or logits_to_keep, vocab_size)

        Raises
        ------
        ValueError
            Ids of the wrong shape or dtype or outside the vocabulary, no tokens, more tokens than the context holds, a cache, positions
            or head_mask of the wrong shape or dtype.
        """
        self._check_ids(ids)
        batch, tokens = ids.shape
        past = 0 if cache is None else self._checked_length(cache, batch)
        if past + tokens > self.config.max_position_embeddings:
            raise ValueError(f"{past + tokens} tokens, but the context holds {self.config.max_position_embeddings}: shorten the prompt")
        if positions is None:
            positions = torch.arange(past, past + tokens, device=ids.device)
        elif positions.shape == (batch, tokens):
            positions = positions[:, None, :]  # one axis for the heads
        elif positions.shape != (tokens,):
            raise ValueError(f"positions has shape {tuple(positions.shape)}; expected ({tokens},) or ({batch}, {tokens})")
        if head_mask is not None and head_mask.shape != (self.config.num_hidden_layers, self.config.num_attention_heads):
            raise ValueError(f"head_mask has shape {tuple(head_mask.shape)}; expected (num_hidden_layers, num_attention_heads) = "
                             f"({self.config.num_hidden_layers}, {self.config.num_attention_heads})")
        if mask is None and tokens > 1:
            mask = causal_mask(tokens, past + tokens, self.dtype, ids.device)
        # Packed weights unpack the rows that are asked for.
        x = functional.embedding(ids, self.embedding) if isinstance(self.embedding, Tensor) else self.embedding.rows(ids)
        for block in self.blocks:
            x = block(x, positions=positions, mask=mask, cache=cache, on_attention=on_attention, head_mask=head_mask)
        if logits_to_keep is not None:
            x = x[:, -logits_to_keep:]
        return self.output(self.final_norm(x))

    def _check_ids(self, ids: Tensor) -> None:
        if ids.ndim != 2 or ids.dtype not in (torch.int64, torch.int32):
            raise ValueError(f"ids has shape {tuple(ids.shape)} and dtype {ids.dtype}; expected (batch, tokens), int64")
        if ids.numel() == 0:
            raise ValueError(f"ids has shape {tuple(ids.shape)}: there is no token to continue from; an empty prompt needs a start token")
        low, high = (int(end) for end in ids.aminmax())
        if low < 0 or high >= self.config.vocab_size:
            raise ValueError(f"token id {low if low < 0 else high} is outside the vocabulary, 0 … {self.config.vocab_size - 1}")

    def _checked_length(self, cache: Any, batch: int) -> int:
        """Tokens in the cache, after a look at whether it is one of this model. A learner's own cache is taken as it is."""
        if isinstance(cache, KVCache):
            c = self.config
            expected = (c.num_hidden_layers, batch, c.num_key_value_heads, c.head_dim)
            given = (*cache.keys.shape[:3], cache.keys.shape[4])
            if given != expected or cache.keys.dtype != self.dtype:
                raise ValueError(f"the cache is for (layers, batch, key-value heads, head_dim) = {given}, {cache.keys.dtype}; this model "
                                 f"and batch need {expected}, {self.dtype}: make it with new_cache(batch)")
        return cache.length


def weight_shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a Llama."""
    c = config
    q, kv = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (c.vocab_size, c.hidden_size)}
    for i in range(c.num_hidden_layers):
        of_layer: Iterable[tuple[str, tuple[int, ...]]] = (
            ("input_layernorm", (c.hidden_size,)), ("self_attn.q_proj", (q, c.hidden_size)), ("self_attn.k_proj", (kv, c.hidden_size)),
            ("self_attn.v_proj", (kv, c.hidden_size)), ("self_attn.o_proj", (c.hidden_size, q)),
            ("post_attention_layernorm", (c.hidden_size,)), ("mlp.gate_proj", (c.intermediate_size, c.hidden_size)),
            ("mlp.up_proj", (c.intermediate_size, c.hidden_size)), ("mlp.down_proj", (c.hidden_size, c.intermediate_size)),
        )
        shapes |= {f"model.layers.{i}.{name}.weight": shape for name, shape in of_layer}
    shapes["model.norm.weight"] = (c.hidden_size,)
    if not c.tie_word_embeddings:
        shapes["lm_head.weight"] = (c.vocab_size, c.hidden_size)
    return shapes


def init_weights(config: LlamaConfig, seed: int = 0, std: float = 0.02, requires_grad: bool = True) -> dict[str, Tensor]:
    """Fresh weights for training: norms 1, everything else normal with standard deviation `std`, float32.

    The same seed gives the same weights. The values of the dictionary are what an optimiser takes: ``AdamW(weights.values())``.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {name: torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=generator) * std
               for name, shape in weight_shapes(config).items()}
    return {name: weight.requires_grad_(requires_grad) for name, weight in weights.items()}

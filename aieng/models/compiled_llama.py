"""A Llama with weights of one byte each, whose decoding step is one compiled loop: no Python stands between two layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from aieng.quantization.packed_linear import Int8Weight, PackedLinear, matvec, pack_int8, round_row
from aieng.transformer.kv_cache import KVCache
from aieng.transformer.llama import Kernels, Llama, LlamaConfig
from aieng.transformer.positions import rope_frequencies

PACKED = Kernels(linear=PackedLinear)


@dataclass(frozen=True)
class PackedLayers:
    """All layers' weights, stacked: values (layers, out_features, in_features) int8 and scales (layers, out_features), norms float32."""

    norms: NDArray[np.float32]  # (layers, 2, hidden_size): before attention, before the feed-forward network
    qkv: Int8Weight
    output: Int8Weight
    gate_up: Int8Weight
    down: Int8Weight
    final_norm: NDArray[np.float32]  # (hidden_size,)
    embedding: Int8Weight  # (vocab_size, hidden_size); the output layer too

    @classmethod
    def pack(cls, weights: Mapping[str, Tensor], config: LlamaConfig) -> PackedLayers:
        """Round a Llama's float weights. ValueError where the output layer is not the embedding."""
        if not config.tie_word_embeddings:
            raise ValueError("packing needs tie_word_embeddings: the output layer is the embedding")

        def stack(*parts: str) -> Int8Weight:
            layers = [pack_int8(torch.cat([weights[f"model.layers.{i}.{part}_proj.weight"] for part in parts]))
                      for i in range(config.num_hidden_layers)]
            return Int8Weight(np.stack([layer.values for layer in layers]), np.stack([layer.scales for layer in layers]))

        norms = [torch.stack([weights[f"model.layers.{i}.{name}_layernorm.weight"] for name in ("input", "post_attention")])
                 for i in range(config.num_hidden_layers)]
        return cls(
            torch.stack(norms).numpy(), stack("self_attn.q", "self_attn.k", "self_attn.v"), stack("self_attn.o"),
            stack("mlp.gate", "mlp.up"), stack("mlp.down"), weights["model.norm.weight"].numpy(),
            pack_int8(weights["model.embed_tokens.weight"]))

    def to_tensors(self) -> dict[str, Tensor]:
        """For a file."""
        flat: dict[str, NDArray[Any]] = {"norms": self.norms, "final_norm": self.final_norm}
        for name in _PACKED_FIELDS:
            packed: Int8Weight = getattr(self, name)
            flat |= {f"{name}.values": packed.values, f"{name}.scales": packed.scales}
        return {name: torch.from_numpy(array) for name, array in flat.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> PackedLayers:
        packed = {name: Int8Weight(tensors[f"{name}.values"].numpy(), tensors[f"{name}.scales"].numpy()) for name in _PACKED_FIELDS}
        return cls(norms=tensors["norms"].numpy(), final_norm=tensors["final_norm"].numpy(), **packed)

    def by_name(self, config: LlamaConfig) -> dict[str, Any]:
        """Views under the names of transformers' LlamaForCausalLM."""
        q, kv = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
        named: dict[str, Any] = {"model.embed_tokens.weight": self.embedding, "model.norm.weight": torch.from_numpy(self.final_norm)}
        for i in range(config.num_hidden_layers):
            layer = f"model.layers.{i}"
            for name, norm in zip(("input", "post_attention"), self.norms[i]):
                named[f"{layer}.{name}_layernorm.weight"] = torch.from_numpy(norm)
            qkv, gate_up = self.qkv.layer(i).split(q, kv, kv), self.gate_up.layer(i).split(*2 * (config.intermediate_size,))
            parts = ("self_attn.q", "self_attn.k", "self_attn.v", "mlp.gate", "mlp.up", "self_attn.o", "mlp.down")
            for part, weight in zip(parts, (*qkv, *gate_up, self.output.layer(i), self.down.layer(i))):
                named[f"{layer}.{part}_proj.weight"] = weight
        return named


_PACKED_FIELDS = ("qkv", "output", "gate_up", "down", "embedding")


class CompiledLlama(Llama):
    """A Llama on packed weights.

    One token after a cache takes the compiled step. Everything else (a prompt, a batch, a mask, an observer, exchanged kernels) goes layer
    by layer as in `Llama`, on the same weights.
    """

    def __init__(self, config: LlamaConfig, layers: PackedLayers, kernels: Kernels = PACKED) -> None:
        super().__init__(config, layers.by_name(config), kernels)
        self.layers = layers
        self._frequencies = rope_frequencies(config.head_dim, config.rope_theta).numpy()

    def with_kernels(self, kernels: Kernels) -> CompiledLlama:
        return CompiledLlama(self.config, self.layers, kernels)

    def __call__(
        self, ids: Tensor, cache: Any = None, positions: Tensor | None = None, mask: Tensor | None = None, **options: Any
    ) -> Tensor:
        observed = any(options.get(name) is not None for name in ("on_attention", "head_mask"))
        single = ids.shape == (1, 1) and isinstance(cache, KVCache) and positions is None and mask is None and not observed
        if not single or self.kernels != PACKED:
            return super().__call__(ids, cache, positions, mask, **options)
        self._check_ids(ids)
        past = self._checked_length(cache, 1)
        if past + 1 > min(cache.capacity, self.config.max_position_embeddings):
            return super().__call__(ids, cache)  # which says what is wrong
        x = self.embedding.rows(ids).view(-1).numpy()
        p = self.layers
        logits = np.empty(self.config.vocab_size, np.float32)
        _step(
            x, past, self._frequencies, np.float32(self.config.rms_norm_eps), p.norms, p.qkv.values, p.qkv.scales, p.output.values,
            p.output.scales, p.gate_up.values, p.gate_up.scales, p.down.values, p.down.scales, cache.keys[:, 0].numpy(),
            cache.values[:, 0].numpy(), p.final_norm, p.embedding.values, p.embedding.scales, logits)
        cache.length = past + 1
        return torch.from_numpy(logits).view(1, 1, -1)


@njit(nogil=True, fastmath={"contract", "reassoc"}, cache=True)
def _step(
    x, past, frequencies, eps, norms, qkv_values, qkv_scales, output_values, output_scales, gate_up_values, gate_up_scales, down_values,
    down_scales, keys, values, final_norm, embedding_values, embedding_scales, logits,
):
    """One token through all layers; x (hidden_size,) is its embedding and is overwritten.

    keys, values (layers, key-value heads, capacity, head_dim): the new token's are written at `past`. logits (vocab_size,) is filled.
    """
    layers, shared, _, head_dim = keys.shape
    heads = output_values.shape[2] // head_dim
    intermediate = down_values.shape[2]
    normed, mixed = np.empty_like(x), np.empty(heads * head_dim, np.float32)
    qkv, gate_up = np.empty(qkv_values.shape[1], np.float32), np.empty(2 * intermediate, np.float32)
    update, scores = np.empty_like(x), np.empty(past + 1, np.float32)
    rounded = np.empty(max(len(x), len(mixed), intermediate), np.int16)
    for layer in range(layers):
        _rms_norm(x, norms[layer, 0], eps, normed)
        _product(qkv_values[layer], qkv_scales[layer], normed, rounded, qkv)
        for head in range(heads + shared):
            _turn(qkv[head * head_dim : (head + 1) * head_dim], past, frequencies)
        fresh = qkv[heads * head_dim :].reshape(2, shared, head_dim)
        keys[layer, :, past] = fresh[0]
        values[layer, :, past] = fresh[1]
        for head in range(heads):
            span = slice(head * head_dim, (head + 1) * head_dim)
            source = head // (heads // shared)
            _attend(qkv[span], keys[layer, source], values[layer, source], scores, mixed[span])
        _product(output_values[layer], output_scales[layer], mixed, rounded, update)
        x += update
        _rms_norm(x, norms[layer, 1], eps, normed)
        _product(gate_up_values[layer], gate_up_scales[layer], normed, rounded, gate_up)
        for i in range(intermediate):
            gate_up[i] *= gate_up[intermediate + i] / (np.float32(1) + np.exp(-gate_up[i]))
        _product(down_values[layer], down_scales[layer], gate_up[:intermediate], rounded, update)
        x += update
    _rms_norm(x, final_norm, eps, normed)
    _product(embedding_values, embedding_scales, normed, rounded, logits)


@njit(nogil=True, cache=True)
def _product(weight, scales, x, rounded, out):
    rounded = rounded[: len(x)]
    matvec(weight, scales, rounded, round_row(x, rounded), out)


@njit(nogil=True, fastmath={"contract", "reassoc"}, cache=True)
def _rms_norm(x, weight, eps, out):
    squares = np.float32(0)
    for i in range(len(x)):
        squares += x[i] * x[i]
    factor = np.float32(1) / np.sqrt(squares / np.float32(len(x)) + eps)
    for i in range(len(x)):
        out[i] = x[i] * factor * weight[i]


@njit(nogil=True, cache=True)
def _turn(x, position, frequencies):
    """RoPE in place on one head x (head_dim,), half-split layout."""
    half = len(frequencies)
    for i in range(half):
        angle = np.float32(position) * frequencies[i]
        cos, sin = np.cos(angle), np.sin(angle)
        first, second = x[i], x[i + half]
        x[i] = first * cos - second * sin
        x[i + half] = first * sin + second * cos


@njit(nogil=True, fastmath={"contract", "reassoc"}, cache=True)
def _attend(q, keys, values, scores, out):
    """One query q (head_dim,) over the first len(scores) keys and values (capacity, head_dim); scores is scratch."""
    scale = np.float32(1 / np.sqrt(len(q)))
    highest = np.float32(-np.inf)
    for t in range(len(scores)):
        product = np.float32(0)
        for i in range(len(q)):
            product += q[i] * keys[t, i]
        scores[t] = product * scale
        highest = max(highest, scores[t])
    total = np.float32(0)
    out[:] = 0
    for t in range(len(scores)):
        weight = np.exp(scores[t] - highest)
        total += weight
        for i in range(len(q)):
            out[i] += weight * values[t, i]
    for i in range(len(q)):
        out[i] /= total

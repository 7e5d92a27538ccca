"""The compiled step against the same weights taken layer by layer, and against the float model."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from aieng.generation.decoding import generate
from aieng.models.compiled_llama import PACKED, CompiledLlama, PackedLayers
from aieng.transformer.llama import Llama, LlamaConfig, init_weights
from aieng.transformer.positions import apply_rope

CONFIG = LlamaConfig(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, vocab_size=80,
                     head_dim=8, rope_theta=300.0, max_position_embeddings=40)


@pytest.fixture(scope="module")
def float_model():
    return Llama(CONFIG, init_weights(CONFIG, seed=1, std=0.2, requires_grad=False))


@pytest.fixture(scope="module")
def compiled(float_model):
    return CompiledLlama(CONFIG, PackedLayers.pack(float_model.weights, CONFIG))


def tokens(n, seed=0):
    return torch.randint(80, (1, n), generator=torch.Generator().manual_seed(seed))


def layer_by_layer(model):
    return model.with_kernels(dataclasses.replace(PACKED, rope=lambda x, positions, theta: apply_rope(x, positions, theta)))


def test_the_step_equals_layer_by_layer(compiled):
    ids, slow = tokens(30), layer_by_layer(compiled)
    ours, theirs = compiled.new_cache(1, 30), slow.new_cache(1, 30)
    compiled(ids[:, :4], ours), slow(ids[:, :4], theirs)
    for i in range(4, 30):
        a, b = compiled(ids[:, i : i + 1], ours), slow(ids[:, i : i + 1], theirs)
        assert a.shape == (1, 1, 80) and ours.length == i + 1
        torch.testing.assert_close(a, b, atol=2e-3, rtol=2e-3)  # a number at the edge may round to either side
    torch.testing.assert_close(ours.keys, theirs.keys, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(ours.values, theirs.values, atol=2e-3, rtol=2e-3)


def test_the_step_works_from_an_empty_cache(compiled):
    ids = tokens(3, seed=2)
    cache = compiled.new_cache(1, 3)
    steps = torch.cat([compiled(ids[:, i : i + 1], cache) for i in range(3)], dim=1)
    torch.testing.assert_close(steps, compiled(ids), atol=0.02, rtol=0)


def test_close_to_the_float_model(compiled, float_model):
    ids = tokens(20, seed=3)
    dequantized = {name: w if isinstance(w, torch.Tensor) else w.dequantize() for name, w in compiled.weights.items()}
    torch.testing.assert_close(compiled(ids), Llama(CONFIG, dequantized)(ids), atol=1e-3, rtol=1e-3)
    similar = torch.nn.functional.cosine_similarity(compiled(ids), float_model(ids), dim=-1)
    assert similar.min() > 0.995


def test_observers_masks_and_batches_go_layer_by_layer(compiled):
    cache, seen = compiled.new_cache(1, 8), []
    compiled(tokens(3), cache)
    compiled(tokens(1), cache, on_attention=lambda layer, weights: seen.append(weights.shape))
    assert seen == [(1, 6, 1, 4)] * 3
    assert compiled(tokens(5).expand(3, 5)).shape == (3, 5, 80)
    off = compiled(tokens(1), cache, head_mask=torch.zeros(3, 6))
    cache.truncate(4)
    assert (off - compiled(tokens(1), cache)).abs().max() > 1e-3


def test_stacked_tensors_survive_a_file(compiled):
    again = CompiledLlama(CONFIG, PackedLayers.from_tensors(compiled.layers.to_tensors()))
    ids = tokens(6)
    assert torch.equal(again(ids), compiled(ids))
    assert generate(again, ids[0].tolist(), 12) == generate(compiled, ids[0].tolist(), 12)


def test_bad_input_is_named_also_on_the_step(compiled):
    cache = compiled.new_cache(1, 2)
    compiled(tokens(2), cache)
    with pytest.raises(ValueError, match="larger capacity"):
        compiled(tokens(1), cache)
    with pytest.raises(ValueError, match="token id 80 is outside"):
        compiled(torch.tensor([[80]]), compiled.new_cache(1, 4))
    with pytest.raises(ValueError, match="make it with new_cache"):
        compiled(tokens(1), Llama(CONFIG, init_weights(CONFIG, requires_grad=False)).new_cache(2, 4))
    with pytest.raises(ValueError, match="the context holds 40"):
        generate(compiled, [1] * 41, 3)
    assert len(generate(compiled, [1] * 38, 10)) == 3
    with pytest.raises(ValueError, match="tie_word_embeddings"):
        PackedLayers.pack({}, dataclasses.replace(CONFIG, tie_word_embeddings=False))

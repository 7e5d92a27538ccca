"""Models with rounded weights, on a tiny Llama: which weights change, what the Hessians are, and GPTQ block by block."""

import pytest
import torch

from aieng.models.quantized import EMBEDDING, gptq_rounded, hessians, projection_names, rounded
from aieng.models.smollm2 import SmolLM2
from aieng.quantization.gptq import gptq
from aieng.quantization.integer import dequantize_groups, quantize_groups
from aieng.quantization.weight_only import int8_linear
from aieng.transformer.llama import Llama, LlamaConfig, init_weights

CONFIG = LlamaConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, vocab_size=40)


@pytest.fixture(scope="module")
def lm():
    return SmolLM2(Llama(CONFIG, init_weights(CONFIG, seed=1, std=0.3, requires_grad=False)), None, "", 2)


@pytest.fixture(scope="module")
def ids():
    return torch.randint(0, 40, (6, 20), generator=torch.Generator().manual_seed(0))


def test_only_the_asked_for_weights_change(lm):
    names = projection_names(CONFIG)
    assert len(names) == 21 and set(names) < set(lm.model.weights)
    changed = rounded(lm, lambda w: w * 0, layers=[1])
    for name, weight in lm.model.weights.items():
        assert torch.equal(changed.model.weights[name], weight) == (".1." not in name or weight.ndim == 1)
    assert not rounded(lm, lambda w: w * 0, embedding=True).model.weights[EMBEDDING].any()


def test_hessian_of_the_first_layer_is_that_of_its_normalised_inputs(lm, ids):
    found = hessians(lm, ids, 0)
    x = lm.model.blocks[0].attention_norm(lm.model.embedding[ids]).reshape(-1, 16)
    want = 2 * x.T @ x / len(x)
    q, k, v, o, gate, up, down = (found[name] for name in projection_names(CONFIG, [0]))
    assert torch.allclose(q, want, atol=1e-5) and torch.equal(q, k) and torch.equal(q, v)
    assert torch.equal(gate, up) and o.shape == (16, 16) and down.shape == (32, 32)


def test_block_by_block_without_rounding_is_the_same_model(lm, ids):
    same = gptq_rounded(lm, ids, lambda w, h: w.clone(), progress=False)
    assert torch.allclose(same.model(ids), lm.model(ids), atol=1e-5)


def test_gptq_moves_the_logits_less_than_rounding_to_nearest(lm, ids):
    test = torch.randint(0, 40, (6, 20), generator=torch.Generator().manual_seed(1))
    ours = gptq_rounded(lm, ids, lambda w, h: dequantize_groups(*gptq(w, h, 3, 16)), progress=False)
    theirs = rounded(lm, lambda w: dequantize_groups(*quantize_groups(w, 3, 16)))
    truth = lm.model(test)
    assert (ours.model(test) - truth).square().mean() < (theirs.model(test) - truth).square().mean()


def test_weight_only_int8_is_close():
    g = torch.Generator().manual_seed(2)
    a, b, x = torch.randn(64, 32, generator=g), torch.randn(32, 32, generator=g), torch.randn(2, 3, 32, generator=g)
    got = int8_linear(a, b)(x)
    want = x @ torch.cat([a, b]).T
    assert got.shape == (2, 3, 96) and got.dtype == torch.float32
    assert (got - want).norm() < 0.02 * want.norm()

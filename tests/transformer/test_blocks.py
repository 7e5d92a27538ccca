"""Norm, activation and encoder block against torch's modules."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from aieng.transformer.attention import Linear, MultiHeadAttention, causal_mask, padding_mask
from aieng.transformer.blocks import (
    CrossAttentionBlock,
    DecoderOnlyBlock,
    EncoderBlock,
    LayerNorm,
    RMSNorm,
    SwiGLU,
    gelu,
    layer_norm,
    rms_norm,
    silu,
)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
def test_layer_norm_equals_torch(dtype, tolerance):
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*s, generator=generator, dtype=dtype) for s in [(2, 3, 17), (17,), (17,)])
    for eps in (1e-12, 1e-5, 0.1):
        expected = functional.layer_norm(3 * x + 1, (17,), weight, bias, eps)
        torch.testing.assert_close(layer_norm(3 * x + 1, weight, bias, eps), expected, atol=tolerance, rtol=tolerance)


def test_layer_norm_by_hand_and_on_a_constant():
    x = torch.tensor([[1.0, 3.0], [5.0, 5.0]])  # mean 2, variance 1; then variance 0
    out = layer_norm(x, torch.tensor([10.0, 10.0]), torch.tensor([0.0, 1.0]), eps=1e-12)
    torch.testing.assert_close(out, torch.tensor([[-10.0, 11.0], [0.0, 1.0]]))


def test_gelu_is_the_exact_one():
    x = torch.linspace(-6, 6, 101, dtype=torch.float64)
    torch.testing.assert_close(gelu(x), functional.gelu(x), atol=1e-14, rtol=0)
    assert (gelu(x) - functional.gelu(x, approximate="tanh")).abs().max() > 1e-4


def test_encoder_block_equals_torch():
    torch.manual_seed(3)
    theirs = torch.nn.TransformerEncoderLayer(24, 4, 40, 0.0, "gelu", 1e-12, batch_first=True, norm_first=False)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    attention = theirs.self_attn
    projections = zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3))
    ours = EncoderBlock(
        MultiHeadAttention(
            *(Linear(weight, bias) for weight, bias in projections),
            output=Linear(attention.out_proj.weight, attention.out_proj.bias),
            num_heads=4,
        ),
        LayerNorm(theirs.norm1.weight, theirs.norm1.bias, 1e-12),
        Linear(theirs.linear1.weight, theirs.linear1.bias),
        Linear(theirs.linear2.weight, theirs.linear2.bias),
        LayerNorm(theirs.norm2.weight, theirs.norm2.bias, 1e-12),
    )
    x = torch.randn(2, 9, 24)
    kept = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])
    expected = theirs(x, src_key_padding_mask=kept == 0)
    out = ours(x, padding_mask(kept))
    torch.testing.assert_close(out[kept == 1], expected[kept == 1], atol=5e-6, rtol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
def test_rms_norm_equals_torch(dtype, tolerance):
    generator = torch.Generator().manual_seed(1)
    x, weight = (torch.randn(*s, generator=generator, dtype=dtype) for s in [(2, 3, 17), (17,)])
    for eps in (1e-12, 1e-5, 0.1):
        expected = functional.rms_norm(3 * x + 1, (17,), weight, eps)
        torch.testing.assert_close(rms_norm(3 * x + 1, weight, eps), expected, atol=tolerance, rtol=tolerance)
        torch.testing.assert_close(RMSNorm(weight, eps)(x), rms_norm(x, weight, eps))


def test_rms_norm_by_hand_and_in_bfloat16():
    x = torch.tensor([[3.0, 4.0, 0.0, 0.0]])  # mean square 25/4, root 2.5
    torch.testing.assert_close(rms_norm(x, torch.ones(4), 0.0), torch.tensor([[1.2, 1.6, 0.0, 0.0]]))
    large = torch.full((1, 4), 300.0, dtype=torch.float16)  # squares do not fit float16
    torch.testing.assert_close(rms_norm(large, torch.ones(4, dtype=torch.float16)), torch.ones(1, 4, dtype=torch.float16))


def test_swiglu_equals_transformers():
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    from transformers import LlamaConfig

    torch.manual_seed(4)
    theirs = llama.LlamaMLP(LlamaConfig(hidden_size=12, intermediate_size=20, num_attention_heads=2, hidden_act="silu"))
    ours = SwiGLU(*(Linear(p.weight) for p in (theirs.gate_proj, theirs.up_proj, theirs.down_proj)))
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(silu(x), functional.silu(x))


def test_cross_attention_block_equals_torch():
    torch.manual_seed(5)
    theirs = torch.nn.TransformerDecoderLayer(24, 4, 40, 0.0, "relu", 1e-5, batch_first=True, norm_first=False)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)

    def attention(module):
        projections = zip(module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3))
        output = Linear(module.out_proj.weight, module.out_proj.bias)
        return MultiHeadAttention(*(Linear(w, b) for w, b in projections), output=output, num_heads=4)

    def norm(module):
        return LayerNorm(module.weight, module.bias, 1e-5)

    ours = CrossAttentionBlock(attention(theirs.self_attn), norm(theirs.norm1), attention(theirs.multihead_attn), norm(theirs.norm2),
                               Linear(theirs.linear1.weight, theirs.linear1.bias), Linear(theirs.linear2.weight, theirs.linear2.bias),
                               norm(theirs.norm3))
    x, memory = torch.randn(2, 6, 24), torch.randn(2, 9, 24)
    kept = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])
    expected = theirs(x, memory, tgt_mask=causal_mask(6), tgt_is_causal=True, memory_key_padding_mask=kept == 0)
    torch.testing.assert_close(ours(x, memory, causal_mask(6), padding_mask(kept)), expected, atol=1e-5, rtol=0)


def test_decoder_only_block_adds_around_normalised_inputs():
    block = DecoderOnlyBlock(lambda x: x + 1, lambda x, factor: x * factor, lambda x: x * 2, lambda x: x - 3)
    x = torch.tensor([[[1.0]]])  # 1 + (1 + 1) * 5 = 11; 11 + (11 * 2 - 3) = 30
    assert block(x, factor=5).item() == 30

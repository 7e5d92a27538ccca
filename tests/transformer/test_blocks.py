"""Norm, activation and encoder block against torch's modules."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from aieng.transformer.attention import Linear, MultiHeadAttention, padding_mask
from aieng.transformer.blocks import EncoderBlock, LayerNorm, gelu, layer_norm


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

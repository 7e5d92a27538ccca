"""Attention against torch's own, at the edges where implementations differ."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from aieng.transformer.attention import (
    Linear,
    MultiHeadAttention,
    attention_weights,
    causal_mask,
    grouped_query_attention,
    merge_heads,
    padding_mask,
    scaled_dot_product_attention,
    softmax,
    split_heads,
)

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-13}


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e30])
def test_softmax_equals_torch(dtype, scale):
    x = randn(3, 5, 7, dtype=dtype) * scale
    for dim in (-1, 0, 1):
        torch.testing.assert_close(softmax(x, dim), torch.softmax(x, dim), atol=TOLERANCE[dtype], rtol=0)


def test_softmax_without_any_possible_score_is_zero():
    x = torch.tensor([[0.0, math.log(3.0)], [-math.inf, -math.inf], [-math.inf, 5.0]])
    torch.testing.assert_close(softmax(x), torch.tensor([[0.25, 0.75], [0.0, 0.0], [0.0, 1.0]]))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 3, 5, 7, 11), (1, 4, 33, 33, 16)])
def test_attention_equals_torch(dtype, shape):
    batch, heads, queries, keys, dim = shape
    q = randn(batch, heads, queries, dim, seed=1, dtype=dtype)
    k = randn(batch, heads, keys, dim, seed=2, dtype=dtype)
    v = randn(batch, heads, keys, dim + 1, seed=3, dtype=dtype)
    allowed = randn(queries, keys, seed=4) > -0.5
    allowed[:, 0] = True
    added = randn(batch, 1, queries, keys, seed=5, dtype=dtype)
    for mask in (None, allowed, added):
        expected = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        torch.testing.assert_close(scaled_dot_product_attention(q, k, v, mask), expected, atol=TOLERANCE[dtype] * 3, rtol=0)
    expected = functional.scaled_dot_product_attention(q, k, v, scale=0.3)
    torch.testing.assert_close(scaled_dot_product_attention(q, k, v, scale=0.3), expected, atol=TOLERANCE[dtype] * 3, rtol=0)


def test_inputs_are_not_changed_and_need_not_be_contiguous():
    q, k, v = (randn(2, 6, 3, 8, seed=seed).transpose(1, 2) for seed in range(3))
    before = [x.clone() for x in (q, k, v)]
    out = scaled_dot_product_attention(q, k, v, causal_mask(6))
    assert all(torch.equal(x, y) for x, y in zip((q, k, v), before))
    expected = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(out, expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("kind", ["bool", "float"])
def test_a_query_that_may_look_nowhere_gets_zeros(kind):
    q, k, v = (randn(2, 2, 3, 4, seed=seed).requires_grad_() for seed in range(3))
    mask = torch.ones(3, 3, dtype=torch.bool)
    mask[1] = False
    added = torch.zeros(3, 3).masked_fill(~mask, -math.inf)
    out = scaled_dot_product_attention(q, k, v, mask if kind == "bool" else added)
    assert torch.equal(out[:, :, 1], torch.zeros(2, 2, 4))
    assert out[:, :, 0].abs().min() > 0
    out.sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in (q, k, v))


def test_padding_takes_no_part():
    q, k, v = (randn(2, 3, 5, 4, seed=seed) for seed in range(3))
    mask = padding_mask(torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]))
    assert mask.shape == (2, 1, 1, 5)
    out = scaled_dot_product_attention(q, k, v, mask)
    alone = scaled_dot_product_attention(q[:1], k[:1, :, :3], v[:1, :, :3])
    torch.testing.assert_close(out[:1], alone, atol=2e-6, rtol=0)


def test_causal_mask_by_hand():
    inf = math.inf
    assert causal_mask(3).tolist() == [[0, -inf, -inf], [0, 0, -inf], [0, 0, 0]]
    assert causal_mask(2, 4).tolist() == [[0, 0, 0, -inf], [0, 0, 0, 0]], "the queries are the last positions"
    assert causal_mask(0, 3).shape == (0, 3)


def test_the_future_does_not_leak():
    q, k, v = (randn(1, 2, 6, 4, seed=seed) for seed in range(3))
    out = scaled_dot_product_attention(q, k, v, causal_mask(6))
    k[:, :, 4:], v[:, :, 4:] = 7.0, -7.0
    changed = scaled_dot_product_attention(q, k, v, causal_mask(6))
    assert torch.equal(out[:, :, :4], changed[:, :, :4])
    assert not torch.equal(out[:, :, 4:], changed[:, :, 4:])


def test_multi_head_attention_equals_torch():
    theirs = torch.nn.MultiheadAttention(24, 3, batch_first=True)
    torch.nn.init.normal_(theirs.in_proj_bias, generator=torch.Generator().manual_seed(1))
    weights, biases = theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3)
    ours = MultiHeadAttention(
        *(Linear(weight, bias) for weight, bias in zip(weights, biases)),
        output=Linear(theirs.out_proj.weight, theirs.out_proj.bias),
        num_heads=3,
    )
    x = randn(2, 7, 24)
    kept = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    expected, _ = theirs(x, x, x, key_padding_mask=kept == 0, need_weights=False)
    torch.testing.assert_close(ours(x, padding_mask(kept)), expected, atol=2e-6, rtol=0)


def test_heads_split_and_merge():
    x = torch.arange(2 * 3 * 8.0).view(2, 3, 8)
    heads = split_heads(x, 4)
    assert heads.shape == (2, 4, 3, 2)
    assert heads[1, 2, 0].tolist() == x[1, 0, 4:6].tolist()
    assert torch.equal(merge_heads(heads), x)
    assert torch.equal(merge_heads(split_heads(x.transpose(0, 1), 2)), x.transpose(0, 1))


def test_errors_say_what_came():
    with pytest.raises(ValueError, match="cannot be cut into 3 heads"):
        split_heads(torch.zeros(1, 2, 8), 3)
    with pytest.raises(ValueError, match=r"q \(1, 1, 2, 3\), k \(1, 1, 2, 4\)"):
        scaled_dot_product_attention(torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4))
    with pytest.raises(ValueError, match=r"expected \(batch, tokens\)"):
        padding_mask(torch.ones(3))
    with pytest.raises(ValueError, match="queries=3, keys=2"):
        causal_mask(3, 2)


@pytest.mark.parametrize(("heads", "shared"), [(6, 2), (6, 1), (4, 4), (9, 3)])
@pytest.mark.parametrize("queries", [1, 5])
def test_grouped_queries_equal_torch(heads, shared, queries):
    q, k, v = randn(2, heads, queries, 8, seed=1), randn(2, shared, 7, 8, seed=2), randn(2, shared, 7, 8, seed=3)
    per_head = randn(2, heads, queries, 7, seed=4)
    allowed = randn(2, 1, queries, 7, seed=5) > -1
    allowed[..., 0] = True
    for mask in (None, per_head, per_head[:, :1], per_head[0, 0], allowed, allowed.expand(2, heads, queries, 7)):
        expected = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        torch.testing.assert_close(grouped_query_attention(q, k, v, mask), expected, atol=2e-6, rtol=0)


def test_one_query_copies_no_keys():
    q, k, v = randn(1, 6, 1, 8), randn(1, 2, 7, 8), randn(1, 2, 7, 8)

    def kernel(q, keys, values, mask):
        assert keys.data_ptr() == k.data_ptr() and values.data_ptr() == v.data_ptr()
        return scaled_dot_product_attention(q, keys, values, mask)

    assert grouped_query_attention(q, k, v, None, kernel).shape == (1, 6, 1, 8)


def test_heads_that_do_not_divide():
    with pytest.raises(ValueError, match="6 query heads cannot share 4"):
        grouped_query_attention(randn(1, 6, 2, 8), randn(1, 4, 2, 8), randn(1, 4, 2, 8))


def test_cross_attention_equals_torch_with_other_sizes():
    torch.manual_seed(1)
    theirs = torch.nn.MultiheadAttention(24, 3, batch_first=True)
    weights, biases = theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3)
    ours = MultiHeadAttention(*(Linear(w, b) for w, b in zip(weights, biases)), output=Linear(theirs.out_proj.weight, theirs.out_proj.bias),
                              num_heads=3)
    x, memory = randn(2, 4, 24), randn(2, 9, 24, seed=1)
    expected, _ = theirs(x, memory, memory, need_weights=False)
    torch.testing.assert_close(ours(x, memory=memory), expected, atol=2e-6, rtol=0)


def test_attention_weights_sum_to_one_and_mix_the_values():
    q, k, v = randn(2, 3, 4, 8, seed=1), randn(2, 3, 6, 8, seed=2), randn(2, 3, 6, 5, seed=3)
    weights = attention_weights(q, k, causal_mask(4, 6))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 4))
    expected = functional.scaled_dot_product_attention(q, k, v, attn_mask=causal_mask(4, 6))
    torch.testing.assert_close(weights @ v, expected, atol=2e-6, rtol=0)

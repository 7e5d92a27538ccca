"""Sparse masks from their definition, and block-sparse attention against dense attention with the mask."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_mask
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from aieng.transformer.sparse_attention import block_sparse_attention, reach, sparse_mask


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(0, 6), st.integers(1, 4), st.booleans(), st.data())
def test_mask_is_its_definition(tokens, window, dilation, causal, data):
    chosen = data.draw(st.lists(st.integers(0, tokens - 1), max_size=3))
    mask = sparse_mask(tokens, window, dilation, chosen, causal)
    for i in range(tokens):
        for j in range(tokens):
            near = any(j == i + sign * step * dilation for step in range(window + 1) for sign in (1, -1))
            want = (near or i in chosen or j in chosen) and (j <= i or not causal)
            assert bool(mask[i, j]) == want


def test_mask_as_flex_attention_makes_it():
    mask = create_mask(lambda b, h, i, j: (i >= j) & (i - j <= 5), 1, 1, 33, 33, device="cpu")[0, 0]
    assert torch.equal(sparse_mask(33, 5, causal=True), mask)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(0, 80), st.integers(0, 10), st.integers(1, 40))
def test_equals_dense_attention_with_the_mask(tokens, window, global_tokens, block_size):
    q, k, v = (normal(2, tokens, 8, seed=s) for s in range(3))
    position = torch.arange(tokens)
    distance = position[:, None] - position
    mask = (distance >= 0) & ((distance <= window) | (position < global_tokens))
    mine = block_sparse_attention(q, k, v, window, global_tokens, block_size)
    assert torch.allclose(mine, scaled_dot_product_attention(q, k, v, mask), atol=1e-5)


def test_gradient_and_double():
    q, k, v = (normal(1, 2, 9, 4, seed=s, dtype=torch.float64).requires_grad_() for s in range(3))
    assert torch.autograd.gradcheck(lambda a, b, c: block_sparse_attention(a, b, c, 3, 1, 4), (q, k, v))


def test_work_grows_with_the_window_not_with_the_square():
    def flops(tokens):
        q = normal(1, tokens, 16)
        with FlopCounterMode(display=False) as counter:
            block_sparse_attention(q, q, q, 32, 0, 32)
        return counter.get_total_flops()

    assert flops(2048) < 2.1 * flops(1024)


def test_reach_grows_layer_by_layer():
    mask = sparse_mask(30, 3, causal=True)
    for layers in (1, 2, 5):
        assert torch.equal(reach(mask, layers), sparse_mask(30, 3 * layers, causal=True))
    assert reach(sparse_mask(30, 1, global_tokens=[0]), 2).all()


def test_refusals():
    q = torch.ones(1, 4, 2)
    for call, message in (
        (lambda: sparse_mask(4, -1), "window=-1"), (lambda: sparse_mask(4, 1, 0), "dilation=0"),
        (lambda: sparse_mask(4, 1, 1, [4]), "global_tokens"), (lambda: block_sparse_attention(q, q[:, :3], q, 1), "q and k"),
        (lambda: block_sparse_attention(q, q, q, 1, block_size=0), "block_size=0"), (lambda: reach(sparse_mask(2, 1), 0), "layers=0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()

"""Tiled attention against torch's own, forward and backward, and what it allocates."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from aieng.transformer.attention import causal_mask
from aieng.transformer.flash_attention import flash_attention, flash_attention_backward, flash_attention_forward, online_softmax


def tensors(*shapes, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys", "block_m", "block_n"), [
    (37, 37, 8, 16), (37, 37, 64, 64), (1, 1, 1, 1), (5, 23, 2, 7), (16, 48, 16, 5)])
def test_output_and_lse_are_those_of_the_whole_matrix(queries, keys, block_m, block_n, causal):
    q, k, v = tensors((2, 3, queries, 8), (2, 3, keys, 8), (2, 3, keys, 5))
    output, lse = flash_attention_forward(q, k, v, block_m, block_n, causal)
    mask = causal_mask(queries, keys, torch.float64) if causal else None
    scores = q @ k.mT / math.sqrt(8) + (0 if mask is None else mask)
    torch.testing.assert_close(output, scaled_dot_product_attention(q, k, v, mask), atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(lse, torch.logsumexp(scores, -1), atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_are_those_of_autograd_through_the_whole_matrix(causal):
    q, k, v = (t.requires_grad_() for t in tensors((2, 3, 21, 8), (2, 3, 29, 8), (2, 3, 29, 8)))
    weight = tensors((2, 3, 21, 8), seed=1)[0]
    mask = causal_mask(21, 29, torch.float64) if causal else None
    want = torch.autograd.grad((scaled_dot_product_attention(q, k, v, mask) * weight).sum(), (q, k, v))
    got = torch.autograd.grad((flash_attention(q, k, v, 8, 5, causal) * weight).sum(), (q, k, v))
    output, lse = flash_attention_forward(q.detach(), k.detach(), v.detach(), 8, 5, causal)
    other_tiles = flash_attention_backward(weight, q.detach(), k.detach(), v.detach(), output, lse, 3, 16, causal)
    for mine, tiled, theirs in zip(got, other_tiles, want):
        torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=1e-10)
        torch.testing.assert_close(tiled, theirs, atol=1e-12, rtol=1e-10)


def test_float32_gradients_stay_within_a_ten_thousandth():
    q, k, v = (t.requires_grad_() for t in tensors((1, 2, 300, 32), (1, 2, 300, 32), (1, 2, 300, 32), dtype=torch.float32))
    want = torch.autograd.grad(scaled_dot_product_attention(q, k, v, is_causal=True).square().sum(), (q, k, v))
    got = torch.autograd.grad(flash_attention(q, k, v, 64, 128, True).square().sum(), (q, k, v))
    assert max(float((a - b).abs().max()) for a, b in zip(got, want)) < 1e-4


def test_scores_of_a_thousand_neither_overflow_nor_vanish():
    q, k, v = tensors((1, 50, 4), (1, 50, 4), (1, 50, 4), dtype=torch.float32)
    output, lse = flash_attention_forward(1000 * q, k, v, 16, 16)
    assert output.isfinite().all() and lse.isfinite().all()
    torch.testing.assert_close(output, scaled_dot_product_attention(1000 * q, k, v), atol=1e-5, rtol=1e-4)


def test_online_softmax_ignores_the_order_and_the_cut_of_the_blocks():
    scores, values = tensors((3, 4, 30), (3, 30, 6))
    scores[:, 1, :12] = -math.inf
    for cuts in ([30], [1, 29], [12, 12, 6], [7] * 4 + [2]):
        state = torch.full((3, 4), -math.inf, dtype=torch.float64), torch.zeros(3, 4).double(), torch.zeros(3, 4, 6).double()
        for s, x in zip(scores.split(cuts, -1), values.split(cuts, -2)):
            state = online_softmax(*state, s, x)
        torch.testing.assert_close(state[2] / state[1][..., None], torch.softmax(scores, -1) @ values)
        torch.testing.assert_close(state[0], scores.amax(-1))


def test_online_softmax_of_a_row_that_saw_nothing_is_zero_and_not_nan():
    state = torch.full((2,), -math.inf), torch.zeros(2), torch.zeros(2, 3)
    scores = torch.tensor([[-math.inf, -math.inf], [0.0, 1.0]])
    highest, total, weighted = online_softmax(*state, scores, torch.ones(2, 3))
    assert highest[0] == -math.inf and total[0] == 0 and (weighted[0] == 0).all()
    assert highest[1] == 1 and total[1] > 1


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that an operation made."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor) and tensor._base is None:
                self.numel = max(self.numel, tensor.numel())
        return made


@pytest.mark.parametrize("causal", [False, True])
def test_nothing_as_large_as_the_matrix_is_made(causal):
    q, k, v = (t.requires_grad_() for t in tensors((1, 1, 1024, 8), (1, 1, 1024, 8), (1, 1, 1024, 8)))
    with Largest() as seen:
        flash_attention(q, k, v, 64, 64, causal).sum().backward()
    assert seen.numel <= 1024 * 8


def test_inputs_stay_as_they_were():
    q, k, v = tensors((1, 20, 4), (1, 20, 4), (1, 20, 4))
    before = [t.clone() for t in (q, k, v)]
    output, lse = flash_attention_forward(q, k, v, 6, 6, True)
    flash_attention_backward(torch.ones_like(output), q, k, v, output, lse, 6, 6, True)
    assert all(torch.equal(a, b) for a, b in zip((q, k, v), before))


def test_a_strided_view_is_read_right():
    whole = tensors((2, 40, 3, 8))[0]
    q = whole.transpose(1, 2)
    torch.testing.assert_close(flash_attention_forward(q, q, q, 7, 9)[0], scaled_dot_product_attention(q, q, q))


@pytest.mark.parametrize(("shapes", "options"), [
    (((2, 4, 8), (2, 4, 7), (2, 4, 8)), {}), (((2, 4, 8), (2, 5, 8), (2, 4, 8)), {}), (((2, 4, 8), (1, 4, 8), (1, 4, 8)), {}),
    (((2, 4, 8), (2, 4, 8), (2, 4, 8)), {"block_m": 0}), (((2, 5, 8), (2, 4, 8), (2, 4, 8)), {"causal": True}),
])
def test_refuses_what_does_not_fit(shapes, options):
    with pytest.raises(ValueError):
        flash_attention_forward(*tensors(*shapes), **options)

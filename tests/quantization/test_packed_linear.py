"""Packed products against numpy in float64, at the sizes where a sum of 32 bits could overflow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aieng.quantization.packed_linear import Int8Weight, PackedLinear, matvec, pack_int8, round_row


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 576), (7, 1536), (2, 16384)])
def test_packing_errs_by_half_a_step_at_most(shape):
    weight = randn(*shape) * torch.logspace(-3, 3, shape[0])[:, None]
    packed = pack_int8(weight)
    assert packed.values.dtype == np.int8 and packed.scales.dtype == np.float32 and packed.shape == shape
    assert int(np.abs(packed.values.astype(int)).max()) == 127
    assert ((packed.dequantize() - weight).abs() <= torch.from_numpy(packed.scales)[:, None] * 0.501).all()


@pytest.mark.parametrize("shape", [(3, 5), (64, 576), (7, 1536), (2, 16384)])
def test_a_row_meets_the_packed_values(shape):
    packed, x = pack_int8(randn(*shape)), randn(1, 1, shape[1], seed=1)
    exact = packed.dequantize().double().numpy() @ x[0, 0].double().numpy()
    out = PackedLinear(packed)(x)
    assert out.shape == (1, 1, shape[0]) and out.dtype == torch.float32
    np.testing.assert_allclose(out[0, 0].numpy(), exact, atol=2e-3 * np.abs(exact).max(), rtol=0)


@pytest.mark.parametrize("n", [1, 2, 576, 1536, 100_000])
def test_the_largest_possible_sum_fits(n):
    values, x = np.full((2, n), 127, np.int8), np.full(n, -3.0, np.float32)
    rounded, out = np.empty(n, np.int16), np.empty(2, np.float32)
    scale = round_row(x, rounded)
    matvec(values, np.ones(2, np.float32), rounded, scale, out)
    np.testing.assert_allclose(out, -3.0 * 127 * n, rtol=1e-5)


def test_zeros():
    packed = pack_int8(torch.zeros(3, 8))
    assert not packed.values.any() and torch.equal(packed.dequantize(), torch.zeros(3, 8))
    assert torch.equal(PackedLinear(pack_int8(randn(3, 8)))(torch.zeros(1, 8)), torch.zeros(1, 3))


def test_many_rows_and_one_row_agree():
    packed, x = pack_int8(randn(40, 576)), randn(4, 5, 576, seed=2)
    ours = PackedLinear(packed)
    one_by_one = torch.stack([torch.stack([ours(row) for row in batch]) for batch in x])
    torch.testing.assert_close(one_by_one, ours(x), atol=5e-3, rtol=0)
    torch.testing.assert_close(ours(x), x @ packed.dequantize().T, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours(x[:1, :3]), one_by_one[:1, :3])
    assert ours(x[:, :0]).shape == (4, 0, 40)


def test_joined_weights_are_a_view_where_they_lie_together():
    whole = pack_int8(randn(10, 16))
    joined = Int8Weight.join(whole.split(5, 2, 3))
    assert joined.values.ctypes.data == whole.values.ctypes.data
    x = randn(4, 16, seed=3)
    assert torch.equal(PackedLinear(*whole.split(5, 2, 3))(x), PackedLinear(whole)(x))
    a, b, c = whole.split(5, 2, 3)
    torch.testing.assert_close(PackedLinear(c, a)(x), torch.cat([PackedLinear(c)(x), PackedLinear(a)(x)], dim=-1))
    apart = pack_int8(randn(4, 16, seed=4))
    torch.testing.assert_close(PackedLinear(b, apart)(x), torch.cat([PackedLinear(b)(x), PackedLinear(apart)(x)], dim=-1))


def test_rows_of_an_embedding():
    packed = pack_int8(randn(10, 16))
    ids = torch.tensor([[3, 0], [9, 3]])
    assert torch.equal(packed.rows(ids), packed.dequantize()[ids])


@pytest.mark.parametrize("weight", [torch.zeros(3), torch.tensor([[1.0, float("nan")]]), torch.tensor([[float("inf")]])])
def test_errors(weight):
    with pytest.raises(ValueError, match="finite numbers"):
        pack_int8(weight)

"""8-bit codes against torch's own observers, and bounds that follow from the formula."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.ao.quantization.observer import MinMaxObserver, PerChannelMinMaxObserver

from aieng.quantization.integer import (
    dequantize,
    dequantize_groups,
    int8_matmul,
    quantize_absmax,
    quantize_affine,
    quantize_groups,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dim", [None, 0, 1, -1])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_absmax_is_within_half_a_step(dim, bits):
    x = normal(7, 13) * torch.logspace(-3, 2, 13)
    codes, scale = quantize_absmax(x, dim, bits)
    assert codes.dtype == torch.int8 and codes.abs().max() == 2 ** (bits - 1) - 1
    assert ((dequantize(codes, scale) - x).abs() <= scale / 2 * 1.0001).all()


def test_affine_agrees_with_torchs_observer():
    for seed, shift in enumerate((0.0, 1.0, -4.0)):
        x = normal(50, 20, seed=seed) + shift
        observer = MinMaxObserver(dtype=torch.quint8, qscheme=torch.per_tensor_affine)
        observer(x)
        scale, zero = observer.calculate_qparams()
        codes, mine, zero_point = quantize_affine(x)
        assert torch.isclose(mine, scale.squeeze()) and abs(int(zero_point) - int(zero)) <= 1
        reference = torch.quantize_per_tensor(x, float(mine), int(zero_point), torch.quint8).int_repr()
        assert (codes.int() - reference.int()).abs().max() <= 1
        assert (codes.int() != reference.int()).float().mean() < 0.01


def test_absmax_per_channel_has_torchs_range():
    x = normal(6, 40) * torch.arange(1, 7)[:, None]
    observer = PerChannelMinMaxObserver(ch_axis=0, dtype=torch.qint8, qscheme=torch.per_channel_symmetric, quant_min=-127, quant_max=127)
    observer(x)
    assert torch.allclose(quantize_absmax(x, dim=1)[1].flatten(), observer.calculate_qparams()[0], rtol=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=30))
def test_affine_keeps_zero_and_moves_nothing_by_more_than_a_step(values):
    x = torch.tensor([*values, 0.0])
    codes, scale, zero_point = quantize_affine(x)
    back = dequantize(codes, scale, zero_point)
    assert back[-1] == 0 and 0 <= zero_point <= 255
    # Half a step from rounding the value, half from rounding the zero point.
    assert ((back - x).abs() <= scale * 1.001).all()


def test_zeros():
    assert quantize_absmax(torch.zeros(3))[1] == 1
    assert dequantize(*quantize_affine(torch.zeros(3))).tolist() == [0, 0, 0]


def test_int8_matmul_is_the_integer_product():
    x, w = normal(3, 5, 640, seed=1), normal(30, 640, seed=2)
    codes, scale = quantize_absmax(w, dim=1)
    a, s = quantize_absmax(x, dim=-1)
    exact = (a.double() @ codes.double().T) * s.double() * scale.double().flatten()
    assert torch.allclose(int8_matmul(x, codes, scale).double(), exact, rtol=1e-5)
    full = int8_matmul(torch.full((1, 640), 1.0), torch.full((1, 640), 127, dtype=torch.int8), torch.tensor(1.0))
    assert full.item() == pytest.approx(640 * 127)


@pytest.mark.parametrize("bits", [1, 3, 4, 8])
def test_groups(bits):
    x = normal(4, 96) * torch.logspace(-2, 1, 96)
    codes, scale, minimum = quantize_groups(x, bits, 24)
    assert codes.shape == x.shape and scale.shape == minimum.shape == (4, 4)
    error = (dequantize_groups(codes, scale, minimum) - x).abs().unflatten(-1, (4, 24))
    assert (error <= scale[..., None] / 2 * 1.0001).all()


def test_refusals():
    for call, message in (
        (lambda: quantize_absmax(torch.ones(2), bits=1), "bits=1"), (lambda: quantize_absmax(torch.ones(0)), "shape"),
        (lambda: quantize_groups(torch.ones(10), 4, 3), "groups of 3"), (lambda: quantize_groups(torch.ones(10), 9, 5), "bits=9"),
        (lambda: int8_matmul(torch.ones(2, 3), torch.ones(4, 5, dtype=torch.int8), torch.ones(4, 1)), "3 inputs"),
    ):
        with pytest.raises(ValueError, match=message):
            call()

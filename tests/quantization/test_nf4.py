"""NF4 against bitsandbytes' published levels, and its CPU kernels where they are installed."""

import pytest
import torch

from aieng.quantization.integer import dequantize, quantize_absmax
from aieng.quantization.nf4 import (
    NF4Weight,
    dequantize_nf4,
    double_dequantize,
    double_quantize,
    nf4_levels,
    quantize_nf4,
)

# Appendix E of the QLoRA paper.
PUBLISHED = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
             -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
             0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_levels_are_the_published_ones():
    assert torch.allclose(nf4_levels(), torch.tensor(PUBLISHED), atol=1e-6)
    assert nf4_levels().dtype == torch.float32


def test_nearest_level():
    x = normal(6, 32)
    codes, absmax = quantize_nf4(x, 16)
    assert codes.shape == (12, 16) and codes.dtype == torch.uint8
    blocks = x.reshape(12, 16)
    brute = (blocks[..., None] / absmax[:, None, None] - nf4_levels()).abs().argmin(-1)
    assert torch.equal(codes.long(), brute)
    assert torch.equal(absmax, blocks.abs().amax(1))


def test_agrees_with_bitsandbytes():
    functional = pytest.importorskip("bitsandbytes.functional", reason="bitsandbytes (extra `bench`) is not installed")
    x = normal(64, 64, seed=1) * 0.03
    packed, state = functional.quantize_4bit(x, blocksize=64, quant_type="nf4")
    mine = NF4Weight.from_float(x)
    assert torch.allclose(state.absmax, quantize_nf4(x)[1])
    # bitsandbytes keeps its boundaries as rounded constants: a value on one of them may differ.
    assert (mine.packed == packed.flatten()).float().mean() > 0.995
    theirs = functional.dequantize_4bit(packed, state)
    assert torch.allclose(theirs, dequantize_nf4(*quantize_nf4(x)).view(64, 64), atol=2e-2) and (theirs - x).abs().mean() < 0.01


def test_less_error_than_integers_on_normal_weights():
    x = normal(200, 64, seed=2)
    codes, absmax = quantize_nf4(x)
    integer = dequantize(*quantize_absmax(x, dim=1, bits=4))
    assert ((dequantize_nf4(codes, absmax) - x) ** 2).mean() < 0.85 * ((integer - x) ** 2).mean()


def test_zeros():
    codes, absmax = quantize_nf4(torch.zeros(128))
    assert (codes == 7).all() and not absmax.any() and not dequantize_nf4(codes, absmax).any()


@pytest.mark.parametrize("n", [1, 255, 256, 700])
def test_double_quantization(n):
    absmax = normal(n, seed=3).abs() + 1
    codes, scale, mean = double_quantize(absmax)
    assert codes.dtype == torch.int8 and scale.shape == (-(-n // 256),)
    back = double_dequantize(codes, scale, mean)
    steps = scale.repeat_interleave(256)[:n]
    assert ((back - absmax).abs() <= steps / 2 * 1.001 + 1e-6).all()


def test_weight_kept_packed():
    w = normal(96, 128, seed=4) * 0.05
    kept = NF4Weight.from_float(w)
    assert kept.dequantize().shape == w.shape
    plain = dequantize_nf4(*quantize_nf4(w)).view_as(w)
    assert (kept.dequantize() - plain).abs().max() < 0.01 * w.abs().max()
    big = NF4Weight.from_float(normal(576, 1536, seed=5))
    assert 8 * big.nbytes / (576 * 1536) == pytest.approx(4.127, abs=0.001)


def test_refusals():
    with pytest.raises(ValueError, match="blocks of 64"):
        quantize_nf4(torch.ones(65))
    with pytest.raises(ValueError, match="absmax"):
        double_quantize(torch.ones(2, 2))

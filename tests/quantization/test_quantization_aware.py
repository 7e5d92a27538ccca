"""Fake quantization against torch's own, forward and backward."""

import pytest
import torch

from aieng.quantization.quantization_aware import absmax_scale, fake_quantize


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_agrees_with_torch(bits):
    x = (torch.randn(500, generator=torch.Generator().manual_seed(bits)) * 3).requires_grad_()
    twin = x.detach().clone().requires_grad_()
    highest, scale = 2 ** (bits - 1) - 1, 0.37
    mine = fake_quantize(x, scale, bits)
    reference = torch.fake_quantize_per_tensor_affine(twin, scale, 0, -highest, highest)
    assert torch.allclose(mine, reference, atol=1e-6)
    slope = torch.linspace(-1, 1, 500)
    (mine * slope).sum().backward()
    (reference * slope).sum().backward()
    # Torch lets the gradient through up to half a step beyond the outermost level.
    edge = ((x.detach().abs() / scale) > highest) & ((x.detach().abs() / scale) < highest + 0.5)
    assert torch.allclose(x.grad[~edge], twin.grad[~edge])


def test_scale_per_row_and_dtype():
    w = torch.randn(5, 9, dtype=torch.float64, requires_grad=True)
    scale = absmax_scale(w, 3, dim=1)
    out = fake_quantize(w, scale, 3)
    assert out.dtype == torch.float64 and scale.shape == (5, 1) and not scale.requires_grad
    assert ((out - w).abs() <= scale / 2 * 1.0001).all()
    out.sum().backward()
    assert torch.equal(w.grad, torch.ones_like(w))


def test_zeros_and_refusals():
    assert absmax_scale(torch.zeros(3), 4) == 1
    with pytest.raises(ValueError, match="bits=1"):
        fake_quantize(torch.ones(2), 1.0, 1)

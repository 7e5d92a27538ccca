"""GPTQ against round-to-nearest, an identity Hessian, and an independent form by linear algebra."""

import numpy as np
import pytest
import torch

from aieng.quantization.gptq import gptq, hessian
from aieng.quantization.integer import dequantize_groups, quantize_groups


def layer(rows=24, cols=96, samples=400, seed=0):
    """A weight and inputs whose features go together, as a language model's do."""
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(cols, cols, generator=g) * torch.logspace(0, -1.5, cols)
    return torch.randn(rows, cols, generator=g) / cols**0.5, torch.randn(samples, cols, generator=g) @ mix.T


def output_error(weight, rounded, x):
    return float(((x @ (weight - rounded).T) ** 2).mean())


def test_hessian():
    x = torch.randn(3, 50, 8)
    rows = x.reshape(-1, 8).double().numpy()
    np.testing.assert_allclose(hessian(x).numpy(), 2 * rows.T @ rows / 150, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("group_size", [16, 96])
def test_identity_hessian_is_round_to_nearest(group_size):
    w, _ = layer()
    for factor in (1.0, 7.0):
        for mine, nearest in zip(gptq(w, factor * torch.eye(96), 3, group_size), quantize_groups(w, 3, group_size)):
            assert torch.allclose(mine.float(), nearest.float(), atol=1e-6)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_output_error_is_below_round_to_nearest_on_other_inputs(bits):
    w, x = layer(seed=1)
    test = layer(samples=300, seed=1)[1].flip(0)[:100]
    mine = dequantize_groups(*gptq(w, hessian(x[:300]), bits, 32))
    nearest = dequantize_groups(*quantize_groups(w, bits, 32))
    assert output_error(w, mine, test) < 0.7 * output_error(w, nearest, test)


def optimal_brain_rounding(w, h, bits, group_size, damping):
    """The definition, with numpy and a fresh inverse at every column: slow and without Cholesky (Frantar and Alistarh 2022)."""
    w, h = w.double().numpy().copy(), h.double().numpy()
    n = w.shape[1]
    h = h + damping * h.diagonal().mean() * np.eye(n)
    out = np.zeros_like(w)
    for j in range(n):
        if j % group_size == 0:
            low, high = w[:, j : j + group_size].min(1), w[:, j : j + group_size].max(1)
            scale = (high - low) / (2**bits - 1)
        inverse = np.linalg.inv(h[j:, j:])
        out[:, j] = low + scale * np.clip(np.rint((w[:, j] - low) / scale), 0, 2**bits - 1)
        w[:, j:] -= np.outer((w[:, j] - out[:, j]) / inverse[0, 0], inverse[0])
    return out


def test_is_the_optimal_brain_update_in_order():
    w, x = layer(rows=6, cols=24, seed=2)
    mine = dequantize_groups(*gptq(w, hessian(x), 3, 8, damping=0.05)).numpy()
    slow = optimal_brain_rounding(w, hessian(x), 3, 8, 0.05)
    assert (np.abs(mine - slow) < 1e-4).mean() > 0.97  # a value between two levels may fall to either side


def test_inputs_that_never_occur():
    w, x = layer(rows=5, cols=32, seed=3)
    x[:, 7] = 0
    result = dequantize_groups(*gptq(w, hessian(x), 4, 16))
    assert torch.isfinite(result).all() and (result - w).abs().max() < 1
    assert torch.isfinite(dequantize_groups(*gptq(w, torch.zeros(32, 32), 4, 16))).all()


def test_arguments_stay_as_they_were():
    w, x = layer(rows=5, cols=32, seed=4)
    h = hessian(x)
    before = w.clone(), h.clone()
    gptq(w, h, 4, 16)
    assert torch.equal(w, before[0]) and torch.equal(h, before[1])


def test_refusals():
    w = torch.ones(4, 8)
    for call, message in ((lambda: gptq(w, torch.eye(7)), "hessian"), (lambda: gptq(w, torch.eye(8), group_size=3), "groups of 3"),
                          (lambda: gptq(w, torch.eye(8), group_size=4, damping=0.0), "damping")):
        with pytest.raises(ValueError, match=message):
            call()

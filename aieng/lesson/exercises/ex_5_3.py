"""5.3 GPTQ: visible properties and hints."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, expect_tuple, normal
from aieng.quantization.integer import dequantize_groups, quantize_groups

hints(
    "5.3",
    "Start from round-to-nearest, column by column, on a copy of the weight. Then add one line: after column j is rounded, change the "
    "columns "
    "to its right so that they make up for what went wrong.",
    "The matrix U is the upper Cholesky factor of the inverse of the damped Hessian: `torch.linalg.cholesky(inverse, upper=True)`. In row "
    "j it "
    "holds how the later columns answer: error = (w_j - rounded_j) / U[j, j]; W[:, j+1:] -= error ⊗ U[j, j+1:]. Where a group begins, "
    "take its "
    "scale and minimum from W as it stands then.",
    "h = H + damping · mean(diag H) · I (mean, or 1 where it is 0); U = cholesky(inv(h), upper).\n"
    "for j: if j starts a group: minimum, scale from W[:, j : j + group_size].\n"
    "code = clamp(round((W[:, j] - minimum) / scale)); error = (W[:, j] - minimum - scale · code) / U[j, j].\n"
    "W[:, j+1:] -= error[:, None] * U[j, j+1:]. Return codes, scales, minima.",
)


def _layer(seed: int, rows: int, cols: int, samples: int = 200) -> tuple[Tensor, Tensor]:
    """A weight, and inputs whose features go together."""
    mix = normal(seed, cols, cols) * torch.logspace(0, -1, cols)
    return normal(seed + 1, rows, cols) / cols**0.5, normal(seed + 2, samples, cols) @ mix.T


def _moments(x: Tensor) -> Tensor:
    return 2 * x.T @ x / len(x)


def _slowly(weight: Tensor, h: Tensor, bits: int, group_size: int, damping: float) -> Tensor:
    """The same by a fresh inverse for every column: no Cholesky, much slower."""
    w, m = weight.double().numpy().copy(), h.double().numpy()
    m = m + damping * m.diagonal().mean() * np.eye(len(m))
    out = np.zeros_like(w)
    for j in range(w.shape[1]):
        if j % group_size == 0:
            low = w[:, j : j + group_size].min(1)
            step = (w[:, j : j + group_size].max(1) - low) / (2**bits - 1)
        row = np.linalg.inv(m[j:, j:])[0]
        out[:, j] = low + step * np.clip(np.rint((w[:, j] - low) / step), 0, 2**bits - 1)
        w[:, j:] -= np.outer((w[:, j] - out[:, j]) / row[0], row)
    return torch.from_numpy(out).float()


def _error(weight: Tensor, other: Tensor, x: Tensor) -> float:
    return float((((weight - other) @ x.T) ** 2).mean())


@prop("5.3", "the Hessian")
def hessian_by_hand(hessian: Any, gptq: Any) -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    got = expect_tensor(hessian(x), "hessian", (2, 2), torch.float32, "One row and column per *input*: xᵀx, not x xᵀ.")
    expect(not torch.allclose(got, torch.tensor([[20.0, 28.0], [28.0, 40.0]])), "You left out the division by the number of rows.")
    expect(not torch.allclose(got, torch.tensor([[5.0, 7.0], [7.0, 10.0]])), "The factor is 2/n (from the square's derivative); yours "
                                                                             "is 1/n.")
    expect(not torch.allclose(got, torch.tensor([[5.0, 11.0], [11.0, 25.0]])), "You computed x xᵀ, which compares rows; inputs are "
                                                                               "columns: xᵀx.")
    expect_close(got, [[10, 14], [14, 20]], "x = (1, 2), (3, 4): 2/2 · xᵀx = (10, 14), (14, 20).")
    x = normal(1, 3, 10, 4)
    expect_close(hessian(x), _moments(x.reshape(-1, 4)), "All axes but the last are rows: n is 30 for a (3, 10, 4) "
                                                         "input.", rtol=1e-4, atol=1e-5)


@prop("5.3", "shapes and dtypes")
def shapes(hessian: Any, gptq: Any) -> None:
    w, x = _layer(2, 5, 24)
    h = _moments(x)
    with untouched(weight=w, hessian=h):
        codes, scale, minimum = expect_tuple(gptq(w, h, 4, 8), "codes, scale, minimum")
    expect_tensor(codes, "codes", (5, 24), torch.uint8, "One code per weight.")
    expect_tensor(scale, "scale", (5, 3), torch.float32, "One per row and group: 24 inputs in groups of 8 are three.")
    expect_tensor(minimum, "minimum", (5, 3), torch.float32)
    expect(int(codes.max()) <= 15, f"4 bits: codes go to 15; yours to {int(codes.max())}. Clamp: a corrected weight may leave its group's "
                                   f"range.")


@prop("5.3", "two inputs that always agree")
def by_hand(hessian: Any, gptq: Any) -> None:
    h = torch.eye(4)
    h[0, 1] = h[1, 0] = 1.0
    codes = gptq(torch.tensor([[0.4, 0.4, 0.0, 3.0]]), h, 2, 4)[0][0].tolist()
    expect(codes != [0, 0, 0, 3], "Inputs 0 and 1 are always equal, so only the sum of their weights, 0.8, counts; you rounded both down "
                                  "to 0. After a "
                                  "column is rounded, the columns to its right have to hear of the error.")
    expect(codes == [0, 1, 0, 3], f"Weights 0.4, 0.4, 0, 3 on the levels 0 … 3, inputs 0 and 1 always equal: the first becomes 0, its "
                                  f"missing 0.4 "
                                  f"goes to the second, 0.8, which becomes 1. Codes [0, 1, 0, 3]; yours: {codes}. Is the sign right?")


@prop("5.3", "inputs that have nothing to do with each other")
def identity(hessian: Any, gptq: Any) -> None:
    w, _ = _layer(3, 6, 32)
    nearest = quantize_groups(w, 3, 8)
    for factor in (1.0, 50.0):
        mine = gptq(w, factor * torch.eye(32), 3, 8)
        expect_close(dequantize_groups(*mine), dequantize_groups(*nearest),
                     "With a Hessian that is a multiple of the identity no error can be made up elsewhere: the result is round-to-nearest.",
                     rtol=1e-4, atol=1e-5)


@prop("5.3", "the output error on other inputs is smaller than round-to-nearest's")
def better(hessian: Any, gptq: Any) -> None:
    w, x = _layer(4, 16, 64, 500)
    h, test = _moments(x[:300]), x[300:]
    for bits in (4, 3):
        nearest = _error(w, dequantize_groups(*quantize_groups(w, bits, 16)), test)
        mine = _error(w, dequantize_groups(*gptq(w, h, bits, 16)), test)
        expect(mine < nearest, f"{bits} bits: your squared output error is {mine / nearest:.3g} times round-to-nearest's; it should be "
                               f"smaller. "
               "Is it U (upper, of the *inverse*) whose row j you use, and do you divide by U[j, j]?")
        slow = _error(w, _slowly(w, h, bits, 16, 0.01), test)
        expect(mine < 1.15 * slow, f"{bits} bits: better than round-to-nearest, but your squared output error is {mine / slow:.2f} times "
                                   f"what is "
               "possible. Does every later column hear of each error, also those of other groups, with the factor U[j, k] / U[j, j]?")


@prop("5.3", "column by column, as defined")
def exact(hessian: Any, gptq: Any) -> None:
    w, x = _layer(5, 8, 24)
    for bits, size, damping in ((3, 24, 0.01), (3, 8, 0.01), (4, 8, 0.5)):
        mine = dequantize_groups(*gptq(w, _moments(x), bits, size, damping))
        want = _slowly(w, _moments(x), bits, size, damping)
        same = float(((mine - want).abs() < 1e-3).float().mean())
        hint = ("" if size == 24 else " In groups of 8: are scale and minimum taken from the weights as they stand when the group begins, "
                                      "not from "
                "the original ones?")
        hint += " Is the damping a share of the mean diagonal?" if damping > 0.1 else ""
        expect(same > 0.9, f"{bits} bits, group_size={size}, damping={damping}: {1 - same:.0%} of your weights differ from the "
                           f"definition's.{hint}")


@prop("5.3", "the size of the inputs does not matter")
def scale_free(hessian: Any, gptq: Any) -> None:
    w, x = _layer(6, 6, 16)
    small, large = (gptq(w, factor * _moments(x), 3, 8, 0.05)[0] for factor in (1e-4, 1e4))
    expect(float((small == large).float().mean()) > 0.95, "Inputs a hundred times as large gave other codes: the damping is a share of "
                                                          "the Hessian's "
                                                          "mean diagonal, not a fixed number.")


@prop("5.3", "inputs that never occur")
def dead(hessian: Any, gptq: Any) -> None:
    w, x = _layer(7, 4, 16)
    x[:, 3] = 0
    result = dequantize_groups(*gptq(w, _moments(x), 4, 8))
    expect(bool(torch.isfinite(result).all()) and float((result - w).abs().max()) < 2,
           "One input that is always 0 made the result useless: the damping keeps the Hessian invertible.")
    result = dequantize_groups(*gptq(w, torch.zeros(16, 16), 4, 8))
    expect(bool(torch.isfinite(result).all()), "A Hessian of zeros (no calibration at all) should give round-to-nearest; its mean "
                                               "diagonal is 0: add "
                                               "damping · 1 then.")


@prop("5.3", "arguments stay as they were, errors say so")
def errors(hessian: Any, gptq: Any) -> None:
    w, x = _layer(8, 4, 16)
    h = _moments(x)
    with untouched(weight=w, hessian=h):
        gptq(w, h, 4, 8)
    expect_raises(ValueError, lambda: gptq(w, torch.eye(15), 4, 8), "A Hessian that is not (in, in) should raise ValueError.")
    expect_raises(ValueError, lambda: gptq(w, h, 4, 7), "A group_size that does not divide the inputs should raise ValueError.")
    expect_raises(ValueError, lambda: gptq(w, h, 4, 8, 0.0), "damping=0 should raise ValueError.")

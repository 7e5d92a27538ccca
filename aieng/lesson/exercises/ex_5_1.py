"""5.1 Eight-bit integers: visible properties and hints."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, expect_tuple, normal

hints(
    "5.1",
    "Both quantizers answer one question: how wide is a step? For absmax it is the largest magnitude divided by the largest code; for "
    "affine "
    "it is the whole range divided by the number of gaps between the codes. `amax(dim, keepdim=True)` keeps a shape that broadcasts.",
    "Round, then clamp, and only then convert: bytes wrap round at their ends. In `quantize_affine`, pull 0 into the range first "
    "(`low.clamp(max=0)`, `high.clamp(min=0)`); the zero point is where 0.0 falls on the scale. In `int8_matmul`, widen to int32 before "
    "you multiply.",
    "absmax: highest = 2^(bits-1) - 1; scale = max|x| / highest, or 1 where that is 0; codes = round(x / scale).\n"
    "affine: scale = (high - low) / 255, or 1; zero_point = round(-low / scale); codes = clamp(round(x / scale) + zero_point, 0, 255).\n"
    "int8_matmul: a, s = quantize_absmax(x, dim=-1); sums = a.int() @ weight_codes.int().T; sums.float() * s * weight_scale.reshape(-1).",
)


@prop("5.1", "shapes and dtypes")
def shapes(absmax: Any, affine: Any, matmul: Any) -> None:
    x = normal(1, 4, 6)
    for dim, shape in ((None, ()), (1, (4, 1)), (0, (1, 6)), (-1, (4, 1))):
        codes, scale = expect_tuple(absmax(x, dim), "codes, scale")
        expect_tensor(codes, "codes", (4, 6), torch.int8, "One byte per number.")
        expect_tensor(scale, f"scale (dim={dim})", shape, torch.float32, "`dim` keeps its place, with length 1, so that scale * codes "
                                                                         "broadcasts.")
        codes, scale, zero = expect_tuple(affine(x, dim), "codes, scale, zero_point")
        expect_tensor(codes, "codes of quantize_affine", (4, 6), torch.uint8, "From 0 to 255: no sign.")
        expect_tensor(scale, f"scale of quantize_affine (dim={dim})", shape, torch.float32)
        expect_tensor(zero, f"zero_point (dim={dim})", shape, torch.int32, "It is a code, a whole number.")
    expect_tensor(absmax(x.double())[1], "scale of float64 input", (), torch.float32)


@prop("5.1", "absmax by hand")
def by_hand(absmax: Any, affine: Any, matmul: Any) -> None:
    codes, scale = absmax(torch.tensor([-0.5, 0.253, 1.27]))
    expect(abs(float(scale) - 1.27 / 128) > 1e-6, "You divided by 128. The largest code is 127, so 1.27 gets a step of 0.01.")
    expect(abs(float(scale) - 1.27 / 255) > 1e-6, "You divided by 255: those are all codes. On one side of 0 there are 127.")
    expect_close(scale, 0.01, "(-0.5, 0.253, 1.27): the step is 1.27 / 127.")
    expect(codes.tolist() == [-50, 25, 127], f"(-0.5, 0.253, 1.27) with step 0.01 has codes [-50, 25, 127]; yours are {codes.tolist()}.")
    codes, scale = absmax(torch.tensor([-2.54, 0.3, 1.0]))
    expect_close(scale, 0.02, "(-2.54, 0.3, 1.0): the largest *magnitude* is 2.54. Did you take the maximum without abs()?")


@prop("5.1", "nothing moves by more than half a step")
def half_a_step(absmax: Any, affine: Any, matmul: Any) -> None:
    x = normal(2, 300) * 3
    codes, scale = absmax(x)
    moved = (scale * codes.float() - x) / scale
    worst = float(moved.abs().max())
    expect(not 0.9 < worst < 1.01, f"A number moved by {worst:.2f} steps: you cut the decimals off. Round to the nearest code.")
    expect(worst <= 0.501, f"A number moved by {worst:.3g} steps; the nearest code is at most 0.5 away.")
    codes, scale, zero = affine(x + 1)
    moved = (scale * (codes.float() - zero.float()) - (x + 1)) / scale
    expect(float(moved.abs().max()) <= 1.01, f"quantize_affine moved a number by {float(moved.abs().max()):.3g} steps; half a step from "
                                             f"rounding it "
           "and half from rounding the zero point is the most that can happen.")


@prop("5.1", "one scale per channel")
def per_channel(absmax: Any, affine: Any, matmul: Any) -> None:
    w = normal(3, 5, 8) * torch.tensor([0.01, 0.1, 1.0, 10.0, 100.0])[:, None]
    scale = absmax(w, dim=1)[1].flatten()
    expect(len(scale) == 5 and float(scale.max() / scale.min()) > 100,
           "The rows differ by a factor of 10,000, your scales do not: dim=1 means that the numbers *along* axis 1, a row, share one.")
    expect_close(scale, w.abs().amax(1) / 127, "dim=1: each row's largest magnitude divided by 127.", rtol=1e-4, atol=1e-9)
    low, high = w.amin(1).clamp(max=0), w.amax(1).clamp(min=0)
    expect_close(affine(w, dim=1)[1].flatten(), (high - low) / 255, "quantize_affine, dim=1: each row's own range "
                                                                    "/ 255.", rtol=1e-4, atol=1e-9)


@prop("5.1", "fewer bits")
def fewer_bits(absmax: Any, affine: Any, matmul: Any) -> None:
    x = normal(4, 200)
    for bits in (4, 3, 2):
        codes, scale = absmax(x, None, bits)
        top = 2 ** (bits - 1) - 1
        expect(int(codes.max()) <= top and int(codes.min()) >= -top,
               f"With {bits} bits the codes run from {-top} to {top}; yours from {int(codes.min())} to {int(codes.max())}.")
        expect_close(scale, float(x.abs().max()) / top, f"With {bits} bits the largest magnitude gets code {top}.", rtol=1e-4)


@prop("5.1", "affine by hand, and 0 stays 0")
def zero(absmax: Any, affine: Any, matmul: Any) -> None:
    codes, scale, point = affine(torch.tensor([-1.0, 0.0, 4.1]))
    expect(abs(float(scale) - 5.1 / 256) > 1e-6, "You divided the range by 256; 256 codes have 255 gaps between them.")
    expect_close(scale, 0.02, "(-1, 0, 4.1): the step is 5.1 / 255.")
    expect(int(point) == 50, f"(-1, 0, 4.1): 0.0 lies 50 steps above -1, so zero_point is 50; yours is {int(point)}.")
    expect(codes.tolist() == [0, 50, 255], f"(-1, 0, 4.1) has codes [0, 50, 255]; yours are {codes.tolist()}.")
    codes, scale, point = affine(torch.tensor([3.0, 4.0, 5.1]))
    expect(abs(float(scale) - 2.1 / 255) > 1e-5,
           "All numbers lie from 3 to 5.1 and you spread the codes over that range only: then 0.0 has no code. Widen the range to "
           "contain 0.")
    expect(int(point) == 0 and int(codes[2]) == 255, f"(3, 4, 5.1) is coded on 0 … 5.1: zero_point 0 and code 255 for 5.1; yours: "
                                                     f"{int(point)}, "
           f"{int(codes[2])}.")
    point = affine(torch.tensor([-5.0, -1.0]))[2]
    expect(int(point) == 255, f"Where all numbers are negative, 0.0 is the highest code, 255; yours is {int(point)}.")


@prop("5.1", "nothing but zeros")
def nothing(absmax: Any, affine: Any, matmul: Any) -> None:
    x = torch.zeros(2, 3)
    x[1] = torch.tensor([1.0, -2.0, 0.5])
    codes, scale = absmax(x, dim=1)
    expect(torch.isfinite(scale).all(), "A row of zeros has no step: you divided 0 by 0. Its scale is 1 by convention.")
    expect(float(scale[0]) == 1 and not codes[0].any(), f"A row of zeros has scale 1 and codes 0; yours: {float(scale[0]):.3g} and "
                                                        f"{codes[0].tolist()}.")
    codes, scale, point = affine(torch.zeros(4))
    expect(float(scale) == 1 and int(point) == 0 and not codes.any(),
           f"quantize_affine of zeros: scale 1, zero_point 0, codes 0; yours: {float(scale):.3g}, {int(point)}, {codes.tolist()}.")


@prop("5.1", "the matrix product runs on integers")
def product(absmax: Any, affine: Any, matmul: Any) -> None:
    x, w = normal(5, 3, 200) * torch.tensor([0.1, 1.0, 30.0])[:, None], normal(6, 7, 200)
    scale = w.abs().amax(1, keepdim=True) / 127
    codes = (w / scale).round().to(torch.int8)
    step = x.abs().amax(1, keepdim=True) / 127
    want = ((x / step).round().double() @ codes.double().T) * step.double() * scale.double().flatten()
    with untouched(x=x, weight_codes=codes):
        got = expect_tensor(matmul(x, codes, scale), "int8_matmul", (3, 7), torch.float32,
                            "One row per row of x, one column per row of the weight.")
    exact = (x.double() @ (scale.double() * codes.double()).T)
    if torch.allclose(got.double(), exact, rtol=1e-4, atol=1e-5):
        expect(False, "You multiplied x as it is, in floats. Quantize x too (absmax, one scale per row), so that the product runs on "
                      "integers.")
    small = float((got.double() / want).abs().median())
    expect(small > 0.2, f"Your sums are about {small:.2g} times what they should be: products of bytes wrapped round. Widen to int32 "
                        f"first.")
    shared = float(x.abs().max()) / 127
    one = ((x / shared).round().double() @ codes.double().T) * shared * scale.double().flatten()
    expect(not torch.allclose(got.double(), one, rtol=1e-3), "One scale for all of x: its small rows then lose their digits. One per row "
                                                             "(dim=-1).")
    expect_close(got, want, "(codes of x) · (codes of W) · both scales.", rtol=1e-4, atol=1e-4)
    batch = expect_tensor(matmul(x[None, :, None], codes, scale), "int8_matmul of (1, 3, 1, 200)", (1, 3, 1, 7))
    expect_close(batch.flatten(), want.flatten(), "More axes in front of x are rows like any others.", rtol=1e-4, atol=1e-4)
    expect_close(matmul(x[1:2], codes, torch.tensor(0.5)), want[1:2] / scale.flatten() * 0.5, "weight_scale may be a single number.",
                 rtol=1e-4, atol=1e-3)


@prop("5.1", "inputs stay as they were, errors say so")
def errors(absmax: Any, affine: Any, matmul: Any) -> None:
    x = normal(7, 4, 4)
    with untouched(x=x):
        absmax(x, 1)
        affine(x, 0)
    for bits in (1, 9):
        expect_raises(ValueError, partial(absmax, x, None, bits), f"bits={bits} should raise ValueError: a code is 2 to 8 bits.")
    expect_raises(ValueError, lambda: matmul(x, torch.zeros(3, 5, dtype=torch.int8), torch.ones(3, 1)),
                  "x with 4 inputs a row and a weight of 5 should raise ValueError.")

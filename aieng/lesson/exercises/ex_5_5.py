"""5.5 Training that knows about the rounding: visible properties and hints."""

from __future__ import annotations

from typing import Any

import torch

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, normal

hints(
    "5.5",
    "`round()` has the gradient 0 nearly everywhere, so a network behind it learns nothing. You want the *value* of the rounded number "
    "and the "
    "*gradient* of the number before rounding. Which part of `y = x + (rounded - x)` should autograd not see?",
    "inside = (x / scale).clamp(-highest, highest): its gradient is 1/scale inside the range and 0 outside, which is what you want. Then "
    "inside + (inside.round() - inside).detach() has the value of the rounded one and the gradient of `inside`.",
    "highest = 2^(bits-1) - 1; scale detached; inside = clamp(x / scale, ±highest);\n"
    "codes = inside + (inside.round() - inside).detach(); return codes * scale.",
)


def _slope(fake: Any, x: torch.Tensor, scale: Any, bits: int) -> torch.Tensor:
    x = x.clone().requires_grad_()
    out = fake(x, scale, bits)
    expect(out.requires_grad, "No gradient flows at all: you detached the whole result (or left torch for numpy).")
    gradient = torch.autograd.grad(out.sum(), x, allow_unused=True)[0]
    expect(gradient is not None, "The result does not depend on x for autograd: everything was detached.")
    return gradient


@prop("5.5", "values by hand")
def by_hand(fake: Any) -> None:
    x = torch.tensor([0.0, 0.24, 0.26, -0.9, 1.4, 2.0, -9.0])
    with untouched(x=x):
        got = expect_tensor(fake(x, 0.5, 3), "fake_quantize", (7,), torch.float32)
    expect(got.tolist() != [0.0, 0.0, 1.0, -2.0, 3.0, 3.0, -3.0], "You returned the codes. Multiply by the scale: the result stands for x.")
    expect(float(got[6]) != -2.0, "-9 came back as -2.0: with 3 bits the codes here run from -3 to 3, not from -4.")
    expect_close(got, [0.0, 0.0, 0.5, -1.0, 1.5, 1.5, -1.5],
                 "(0, 0.24, 0.26, -0.9, 1.4, 2, -9) on steps of 0.5 with codes -3 … 3 (3 bits).", atol=1e-6)


@prop("5.5", "as torch does it")
def values(fake: Any) -> None:
    x = normal(1, 400) * 2
    for bits in (2, 4, 8):
        top = 2 ** (bits - 1) - 1
        want = torch.fake_quantize_per_tensor_affine(x, 0.31, 0, -top, top)
        expect_close(fake(x, 0.31, bits), want, f"{bits} bits: not what torch.fake_quantize_per_tensor_affine gives with codes "
                                                f"±{top}.", atol=1e-5)


@prop("5.5", "the gradient goes straight through")
def straight(fake: Any) -> None:
    x = normal(2, 100).clamp(-0.9, 0.9)
    slope = _slope(fake, x, 0.3, 3)
    expect(bool(slope.any()), "All gradients are 0: that is the true gradient of rounding, and nothing can be learnt from it. Let it pass "
                              "as if you had "
                              "not rounded.")
    expect(not torch.allclose(slope, torch.full_like(slope, 1 / 0.3)), "The gradient is 1/scale: multiply by the scale at the end as well.")
    expect(not torch.allclose(slope, torch.full_like(slope, 0.3)), "The gradient is scale: x has to be divided by it inside autograd's "
                                                                   "sight as well.")
    expect_close(slope, torch.ones(100), "Inside the range of the codes the gradient is 1.", rtol=1e-4)


@prop("5.5", "and stops outside the range")
def outside(fake: Any) -> None:
    x = torch.tensor([-5.0, -1.1, -0.5, 0.0, 0.5, 1.1, 5.0])
    slope = _slope(fake, x, 0.3, 3)  # the outermost level is 0.9
    expect(float(slope[0]) == 0 and float(slope[6]) == 0 and float(slope[1]) == 0 and float(slope[5]) == 0,
           f"A number beyond the outermost level (0.9 here) is clamped: moving it changes nothing, so its gradient is 0. Yours: "
           f"{slope.tolist()}. "
           "Clamp inside autograd's sight, and detach only the rounding.")
    expect_close(slope[2:5], torch.ones(3), "Inside the range the gradient is 1.", rtol=1e-4)


@prop("5.5", "a scale per row, and none of its gradient")
def rows(fake: Any) -> None:
    w = normal(3, 4, 10) * torch.tensor([0.01, 0.1, 1.0, 10.0])[:, None]
    scale = (w.abs().amax(1, keepdim=True) / 7).requires_grad_()
    got = fake(w.clone().requires_grad_(), scale, 4)
    expect(bool(((got - w).abs() <= scale * 0.501).all()), "With a scale per row (4, 1), no number should move by more than half of its "
                                                           "row's step.")
    expect(torch.autograd.grad(got.sum(), scale, allow_unused=True)[0] is None, "A gradient flows into the scale; it is a constant here: "
                                                                                "detach it.")
    out = expect_tensor(fake(w.double(), scale.detach(), 4), "result for float64", (4, 10), torch.float64,
                        "Shape and dtype are those of x.")
    expect(bool(torch.isfinite(out).all()), "nan or infinity for float64 input.")


@prop("5.5", "errors that say so")
def errors(fake: Any) -> None:
    for bits in (1, 9):
        expect_raises(ValueError, lambda b=bits: fake(torch.ones(3), 0.1, b), f"bits={bits} should raise ValueError.")  # type: ignore[misc]

"""3.2 RoPE: visible properties and hints."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, normal

hints(
    "3.2",
    "Turning the point (a, b) by the angle φ gives (a cos φ − b sin φ, a sin φ + b cos φ). Every pair of features is such a point, and "
    "every pair has its own angle: position · frequency. Which two features make a pair is what `layout` says.",
    "angles = positions[..., None] * frequencies has the shape (..., tokens, head_dim/2). Cut x into the first and second members of the "
    "pairs: `x[..., :half]` and `x[..., half:]`, or `x[..., 0::2]` and `x[..., 1::2]`. Turn, then put the members back where they came "
    "from: `torch.cat` for halves, `torch.stack(…, -1).flatten(-2)` for neighbours.",
    "rope_frequencies: refuse an odd head_dim and theta <= 0; theta ** (−arange(0, head_dim, 2) / head_dim).\n"
    "apply_rope: refuse an unknown layout and another number of positions than tokens; angles in float32 at least; cos and sin; "
    "x1, x2 = the two members; x1·cos − x2·sin and x1·sin + x2·cos; back in place; back to x's dtype.",
)


def rotated(x: Tensor, positions: Tensor, theta: float, layout: str) -> Tensor:
    """RoPE by complex numbers, in float64: a pair is a number, turning is a product."""
    dim = x.shape[-1]
    wide = x.double()
    members = wide.chunk(2, dim=-1) if layout == "half" else (wide[..., 0::2], wide[..., 1::2])
    pairs = torch.complex(members[0], members[1])
    angles = positions[..., None].double() * theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.cat((turned.real, turned.imag), -1) if layout == "half" else torch.view_as_real(turned).flatten(-2)


@prop("3.2", "frequencies by hand")
def frequencies(rope_frequencies: Any, apply_rope: Any) -> None:
    got = expect_tensor(rope_frequencies(4, 100.0), "rope_frequencies(4, 100)", (2,), None, "One frequency per pair: head_dim/2.")
    expect(not torch.allclose(got.double(), torch.tensor([1.0, 10.0]).double()),
           "The frequencies fall: theta to a *negative* power. Yours rise.")
    expect(abs(float(got[0]) - 1) < 1e-5, f"The first pair turns by 1 radian per position, theta^0; yours by {float(got[0]):.4g}.")
    expect(abs(float(got[1]) - 100 ** -0.25) > 1e-4, "The second of two frequencies is 100^(−2/4) = 0.1; yours is 100^(−1/4): the "
                                                     "exponent is 2i/head_dim.")
    expect_close(got, [1, 0.1], "head_dim 4 and theta 100 have the frequencies 1 and 100^(−2/4) = 0.1.", 1e-4)
    expect_close(rope_frequencies(64), [10000 ** (-2 * i / 64) for i in range(32)], "theta is 10,000 when none is given.", 1e-4, 0)


@prop("3.2", "one pair by hand")
def by_hand(rope_frequencies: Any, apply_rope: Any) -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    got = expect_tensor(apply_rope(x, torch.tensor([0, 1, 1])), "apply_rope(x, positions)", (3, 2), torch.float32)
    expect(not torch.allclose(got[0], torch.tensor([math.cos(1), math.sin(1)]), atol=1e-4),
           "Position 0 should leave a vector as it is; yours was turned by one position: rotated by position + 1?")
    expect_close(got[0], [1, 0], "Position 0 leaves (1, 0) as it is.", 1e-4)
    expect(not torch.allclose(got[1], torch.tensor([math.cos(1), -math.sin(1)]), atol=1e-4),
           "You turned clockwise: (1, 0) at position 1 should become (cos 1, +sin 1). Check the signs of the sine terms.")
    expect_close(got[1], [math.cos(1), math.sin(1)], "(1, 0) turned by 1 radian is (cos 1, sin 1).", 1e-4)
    expect_close(got[2], [-2 * math.sin(1), 2 * math.cos(1)], "(0, 2) turned by 1 radian is (−2 sin 1, 2 cos 1): the new first member "
                                                              "uses the *old* second one, and the new second the *old* first.", 1e-4)


@prop("3.2", "which features make a pair")
def layouts(rope_frequencies: Any, apply_rope: Any) -> None:
    x, positions = normal(1, 2, 3, 7, 12), torch.tensor([0, 1, 2, 3, 10, 40, 200])
    want = {layout: rotated(x, positions, 500.0, layout) for layout in ("half", "interleaved")}
    for layout in want:
        got = expect_tensor(apply_rope(x, positions, 500.0, layout), f'apply_rope(…, "{layout}")', (2, 3, 7, 12), torch.float32)
        other = want["interleaved" if layout == "half" else "half"]
        expect(not torch.allclose(got.double(), other, atol=1e-3), f'For layout "{layout}" you turned the pairs of the other layout.')
        if layout == "interleaved":
            halves = torch.cat((want[layout][..., 0::2], want[layout][..., 1::2]), -1)
            expect(not torch.allclose(got.double(), halves, atol=1e-3),
                   "The right pairs are turned, but they are put back as two halves: first and second members belong side by side again.")
        plain = rotated(x, positions, 10000.0, layout)
        expect(not torch.allclose(got.double(), plain, atol=1e-3), "theta = 500 gave what 10,000 would: is it passed on?")
        expect_close(got, want[layout], f'Layout "{layout}": a feature is not where the rotation takes it.', 1e-3, 1e-4)
    expect_close(apply_rope(x, positions, 500.0), want["half"], 'The layout is "half" when none is given.', 1e-3, 1e-4)


@prop("3.2", "turning keeps the length")
def lengths(rope_frequencies: Any, apply_rope: Any) -> None:
    x = normal(2, 4, 9, 8)
    for layout in ("half", "interleaved"):
        got = expect_tensor(apply_rope(x, torch.arange(9), 100.0, layout), f'apply_rope(…, "{layout}")', (4, 9, 8))
        expect_close(got.norm(dim=-1), x.norm(dim=-1), "A rotation keeps every vector's length; yours changes it.", 1e-4)


@prop("3.2", "q · k depends on the distance only")
def relative(rope_frequencies: Any, apply_rope: Any) -> None:
    q, k = normal(3, 1, 16), normal(4, 1, 16)
    for layout in ("half", "interleaved"):
        def product(m: int, n: int, layout: str = layout) -> float:
            turned = [expect_tensor(apply_rope(x, torch.tensor([p]), 50.0, layout), f'apply_rope(…, "{layout}")', (1, 16))
                      for x, p in ((q, m), (k, n))]
            return float((turned[0] * turned[1]).sum())

        first, later = product(7, 4), product(107, 104)
        expect(abs(first - later) < 2e-3, f"A query at 7 and a key at 4 gave {first:.4f}; at 107 and 104, the same distance, {later:.4f}. "
                                          "Only the difference of the positions may count.")
        expect(abs(product(4, 7) - first) > 1e-2, "A query three places after its key scores as one three places before it: the sign of "
                                                  "the distance is lost.")


@prop("3.2", "each token its own position, also per sequence and in fractions")
def positions_given(rope_frequencies: Any, apply_rope: Any) -> None:
    x = normal(5, 2, 3, 5, 8)
    for positions, what in ((torch.tensor([4, 0, 9, 2, 2]), "positions (tokens,) in any order"),
                            (torch.tensor([[[0, 1, 2, 3, 4]], [[7, 8, 9, 10, 11]]]), "positions (batch, 1, tokens)"),
                            (torch.tensor([0.0, 0.5, 1.0, 1.5, 2.25]), "fractional positions")):
        with untouched(x=x, positions=positions):
            got = expect_tensor(apply_rope(x, positions), f"apply_rope with {what}", (2, 3, 5, 8))
        expect_close(got, rotated(x, positions, 10000.0, "half"), f"{what}: a token was not turned by its own position.", 1e-3, 1e-4)


@prop("3.2", "float32 at least inside, x's dtype outside")
def dtypes(rope_frequencies: Any, apply_rope: Any) -> None:
    x, positions = normal(6, 2, 64).bfloat16(), torch.tensor([4000, 4001])
    got = expect_tensor(apply_rope(x, positions), "apply_rope of a bfloat16 tensor", (2, 64), torch.bfloat16, "The result has x's dtype.")
    expect(float((got.double() - rotated(x, positions, 10000.0, "half")).abs().max()) < 0.05,
           "In bfloat16, position 4,001 came out far off: bfloat16 keeps 8 bits, so 4,000 and 4,001 are one number. Compute angles, cos "
           "and sin in float32.")
    expect_tensor(apply_rope(x.double(), positions), "apply_rope of a float64 tensor", (2, 64), torch.float64, "The result has x's dtype.")


@prop("3.2", "errors that say so")
def errors(rope_frequencies: Any, apply_rope: Any) -> None:
    expect_raises(ValueError, lambda: rope_frequencies(5), "head_dim = 5 should raise ValueError: an odd number makes no pairs.")
    expect_raises(ValueError, lambda: rope_frequencies(4, 0.0), "theta = 0 should raise ValueError.")
    x = torch.ones(3, 4)
    expect_raises(ValueError, lambda: apply_rope(torch.ones(3, 5), torch.arange(3)), "head_dim = 5 should raise ValueError.")
    expect_raises(ValueError, lambda: apply_rope(x, torch.arange(3), 10000.0, "neox"), 'layout = "neox" should raise ValueError.')
    expect_raises(ValueError, lambda: apply_rope(x, torch.arange(4)), "4 positions for 3 tokens should raise ValueError.")
    expect_raises(ValueError, lambda: apply_rope(x, torch.arange(1)), "1 position for 3 tokens should raise ValueError: torch would "
                                                                      "stretch it.")

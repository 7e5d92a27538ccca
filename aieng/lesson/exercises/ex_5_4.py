"""5.4 NF4, LoRA and QLoRA: visible properties and hints."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, expect_tuple, normal

hints(
    "5.4",
    "`torch.special.ndtri(p)` is the number below which a normal variable falls with probability p. Eight levels above 0 and seven below: "
    "take "
    "evenly spaced probabilities from 0.5 to p_end on either side, p_end = 1 - (1/30 + 1/32)/2, then divide by the largest.",
    "quantize_nf4: the distance of every scaled number to all 16 levels, argmin over the levels. double_quantize: absmax again, on the "
    "scales "
    "minus their mean, in pieces of 256 (`split`). LoRA: two thin products, x Aᵀ and then Bᵀ; B starts at zero.",
    "levels: above = ndtri(linspace(0.5, p_end, 9)); below = -ndtri(linspace(0.5, p_end, 8)) reversed; join them with one 0; divide.\n"
    "codes: (blocks / absmax)[..., None] - levels, abs, argmin(-1), uint8.\n"
    "LoRA: self.base = base.requires_grad_(False); scaling = alpha / rank; base(x) + scaling * (x @ A.T) @ B.T.",
)

# Dettmers et al. 2023, appendix E.
PUBLISHED = torch.tensor([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0])


@prop("5.4", "the sixteen levels")
def levels(nf4_levels: Any, quantize: Any, double: Any, lora: Any) -> None:
    got = expect_tensor(nf4_levels(), "nf4_levels()", (16,), torch.float32, "Sixteen numbers.")
    expect(bool((got.diff() > 0).all()), "The levels should ascend, all of them different (0 occurs once).")
    expect(float(got.abs().max()) == 1, f"Divide by the largest magnitude: the ends are -1 and 1; yours are {float(got[0]):.4g} and "
                                        f"{float(got[-1]):.4g}.")
    expect(float(got[7]) == 0, f"Level 7 is exactly 0 (seven below it, eight above); yours is {float(got[7]):.4g}.")
    expect_close(got, PUBLISHED, "Not the published level. Eight steps of probability from 0.5 to 1 - (1/30 + 1/32)/2 above 0, seven "
                                 "below?",
                 rtol=0, atol=2e-6)


@prop("5.4", "codes: shapes and dtypes")
def shapes(nf4_levels: Any, quantize: Any, double: Any, lora: Any) -> None:
    codes, absmax = expect_tuple(quantize(normal(1, 6, 32), 16), "codes, absmax")
    expect_tensor(codes, "codes", (12, 16), torch.uint8, "192 numbers in blocks of 16 are 12 rows.")
    expect_tensor(absmax, "absmax", (12,), torch.float32, "One per block.")


@prop("5.4", "a block by hand")
def by_hand(nf4_levels: Any, quantize: Any, double: Any, lora: Any) -> None:
    codes, absmax = quantize(torch.tensor([-4.0, 0.0, 1.0, 2.0]), 4)
    expect_close(absmax, [4.0], "The largest magnitude of (-4, 0, 1, 2) is 4.")
    expect(codes[0, 0] == 0, f"-4 divided by 4 is -1, level 0; you gave code {int(codes[0, 0])}. Divide by absmax before you look for a "
                             f"level.")
    expect(codes.tolist() == [[0, 7, 10, 12]],
           f"(-1, 0, 0.25, 0.5) lie nearest to the levels 0, 7, 10 (0.246) and 12 (0.441; 0.563 is further): yours {codes[0].tolist()}.")


@prop("5.4", "each number gets its nearest level")
def nearest(nf4_levels: Any, quantize: Any, double: Any, lora: Any) -> None:
    x = normal(2, 50, 64) * torch.logspace(-3, 2, 50)[:, None]
    with untouched(x=x):
        codes, absmax = quantize(x, 64)
    expect_close(absmax, x.abs().amax(1), "absmax is not each block's largest magnitude.", rtol=1e-5)
    distance = (x[..., None] / x.abs().amax(1)[:, None, None] - PUBLISHED).abs()
    extra = distance.gather(-1, codes.long()[..., None])[..., 0] - distance.amin(-1)
    expect(float(extra.max()) < 1e-5, f"{float((extra > 1e-5).float().mean()):.0%} of the numbers got a level that is not the nearest. "
           "Boundaries half-way between levels, or argmin of the distance?")
    expect_close(quantize(x.mT.contiguous().mT, 64)[0], codes.int(), "A tensor that lies otherwise in memory has the same rows: blocks "
                                                                     "follow the "
                                                                    "rows, not the storage.", rtol=0, atol=0)
    codes, absmax = quantize(torch.zeros(2, 64), 64)
    expect(bool((codes == 7).all()) and not absmax.any(), "A block of zeros has absmax 0 and only codes 7, the level 0. Do you divide "
                                                          "by 0?")


@prop("5.4", "the scales, quantized")
def doubly(nf4_levels: Any, quantize: Any, double: Any, lora: Any) -> None:
    absmax = normal(3, 600).abs() + 2
    with untouched(absmax=absmax):
        codes, scale, mean = expect_tuple(double(absmax, 256), "codes, scale, mean")
    expect_tensor(codes, "codes", (600,), torch.int8)
    expect_tensor(scale, "scale", (3,), torch.float32, "600 scales in pieces of 256 are 3 pieces, the last of them shorter.")
    expect_close(mean, float(absmax.mean()), "`mean` is the mean of all scales.", rtol=1e-4)
    back = mean + scale.repeat_interleave(256)[:600] * codes.float()
    moved = ((back - absmax).abs() / scale.repeat_interleave(256)[:600]).max()
    expect(float(moved) < 0.51, f"mean + scale · code misses a scale by {float(moved):.3g} steps; half a step is the most. Is each "
                                f"piece's step its own "
           "largest deviation from the mean / 127?")
    expect_close(scale, [float((part - absmax.mean()).abs().max()) / 127 for part in absmax.split(256)],
                 "Subtract the mean first, or half of the codes are never used.", rtol=1e-3)
    expect(bool(torch.isfinite(double(torch.full((5,), 3.0), 4)[1]).all()), "Scales that are all equal: nothing is left to quantize; no "
                                                                            "nan, please.")


@prop("5.4", "LoRA starts as the base")
def start(nf4_levels: Any, quantize: Any, double: Any, lora: Any) -> None:
    base, x = nn.Linear(12, 7), normal(4, 3, 5, 12)
    want = base(x).detach()
    layer = lora(base, rank=3, alpha=6.0, seed=1)
    expect(isinstance(layer, nn.Module), "LoRALinear should be an nn.Module: call super().__init__() first.")
    expect_tensor(getattr(layer, "lora_A", None), "lora_A", (3, 12), torch.float32, "(rank, in_features)")
    expect_tensor(getattr(layer, "lora_B", None), "lora_B", (7, 3), torch.float32, "(out_features, rank)")
    expect(not layer.lora_B.detach().any(), "lora_B starts at zero, so that before training the layer is the base, exactly.")
    expect(float(layer.lora_A.detach().std()) > 0, "lora_A starts random: with both at zero, no gradient would ever reach either.")
    expect_close(layer(x).detach(), want, "Before training, the layer should give exactly what the base gives (its bias "
                                          "too).", rtol=0, atol=1e-6)


@prop("5.4", "only A and B are trained")
def trained(nf4_levels: Any, quantize: Any, double: Any, lora: Any) -> None:
    base = nn.Linear(10, 6)
    layer = lora(base, rank=2, alpha=4.0)
    names = {name for name, p in layer.named_parameters() if p.requires_grad}
    expect("base.weight" not in names and "base.bias" not in names and base.weight.requires_grad is False,
           f"These parameters would be trained: {sorted(names)}. Freeze the base, bias included: `base.requires_grad_(False)`.")
    expect(names == {"lora_A", "lora_B"}, f"Trainable should be lora_A and lora_B (nn.Parameter); yours: {sorted(names)}.")
    layer(normal(5, 4, 10)).square().sum().backward()
    expect(layer.lora_B.grad is not None and bool(layer.lora_B.grad.any()), "No gradient reaches lora_B.")


@prop("5.4", "alpha / rank, and merging")
def merged(nf4_levels: Any, quantize: Any, double: Any, lora: Any) -> None:
    base, x = nn.Linear(8, 5), normal(6, 9, 8)
    layer = lora(base, rank=2, alpha=6.0)
    with torch.no_grad():
        layer.lora_A.copy_(normal(7, 2, 8))
        layer.lora_B.copy_(normal(8, 5, 2))
        correction = (x @ layer.lora_A.T) @ layer.lora_B.T
        got = layer(x) - base(x)
        factor = float((got * correction).sum() / correction.square().sum())
        expect_close(got, factor * correction, "layer(x) - base(x) is not a multiple of x Aᵀ Bᵀ.", rtol=1e-3, atol=1e-4)
        expect(abs(factor - 3) < 1e-3, f"alpha=6, rank=2: the correction is multiplied by 6/2 = 3; yours by {factor:.3g}.")
        weight = expect_tensor(layer.merged_weight(), "merged_weight()", (5, 8))
        expect_close(x @ weight.T + base.bias, layer(x), "x · merged_weight()ᵀ + bias should be what the layer gives.", rtol=1e-3,
                     atol=1e-4)
    expect(bool(torch.equal(lora(base, 2, seed=5).lora_A, lora(base, 2, seed=5).lora_A)), "The same seed should give the same lora_A.")


@prop("5.4", "errors that say so")
def errors(nf4_levels: Any, quantize: Any, double: Any, lora: Any) -> None:
    expect_raises(ValueError, lambda: quantize(torch.ones(65), 64), "65 numbers in blocks of 64 should raise ValueError.")
    for rank in (0, 6):
        expect_raises(ValueError, lambda r=rank: lora(nn.Linear(8, 5), rank=r),  # type: ignore[misc]
                      f"rank={rank} of an 8 → 5 layer should raise ValueError: 1 to 5 make sense.")

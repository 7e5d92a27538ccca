"""Integers for floats: symmetric and affine 8-bit codes, groups with a scale each, and a matrix product on the codes.

Everywhere ``x ≈ scale · (codes − zero_point)`` or, for groups, ``x ≈ minimum + scale · codes``.

Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(arXiv:1712.05877), section 2; Dettmers et al. 2022, "LLM.int8()" (arXiv:2208.07339), section 2 for absmax.
"""

from __future__ import annotations

import torch
from torch import Tensor


def quantize_absmax(x: Tensor, dim: int | None = None, bits: int = 8) -> tuple[Tensor, Tensor]:
    """Symmetric codes: the largest magnitude gets the largest code, and 0 stays 0.

    Parameters
    ----------
    x : Tensor, any shape, floating point
    dim : int, optional
        Axis along which numbers share a scale: ``dim=1`` of a weight (out, in) gives one scale per output channel. None: one
        scale for the whole tensor.
    bits : int, 2 to 8
        Codes run from -(2^(bits-1) - 1) to 2^(bits-1) - 1: -127 … 127 for 8 bits.

    Returns
    -------
    codes : Tensor int8, shape of x
    scale : Tensor float32
        Shape of x with 1 in place of ``dim``, or () for None. 1 where all numbers are 0. ``x ≈ scale * codes``, wrong by at most
        scale / 2.

    Raises
    ------
    ValueError
        bits outside 2 … 8, or x empty.
    """
    _check_bits(bits)
    _check_not_empty(x)
    highest = 2 ** (bits - 1) - 1
    x = x.float()
    largest = x.abs().amax() if dim is None else x.abs().amax(dim, keepdim=True)
    scale = torch.where(largest > 0, largest / highest, 1.0)
    return (x / scale).round().clamp(-highest, highest).to(torch.int8), scale


def quantize_affine(x: Tensor, dim: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Affine 8-bit codes: the range from smallest to largest on 0 … 255, moved so that 0.0 has a code of its own.

    The range is first widened to contain 0: zeros (padding, ReLU's output) then come back exactly.

    Parameters
    ----------
    x : Tensor, any shape, floating point
    dim : int, optional
        As in `quantize_absmax`.

    Returns
    -------
    codes : Tensor uint8, shape of x
    scale : Tensor float32, zero_point : Tensor int32
        Shape of x with 1 in place of ``dim``, or (). ``x ≈ scale * (codes - zero_point)``; where all numbers are 0, scale is 1
        and zero_point 0.

    Raises
    ------
    ValueError
        x is empty.
    """
    _check_not_empty(x)
    x = x.float()
    low, high = (x.amin(), x.amax()) if dim is None else (x.amin(dim, keepdim=True), x.amax(dim, keepdim=True))
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    scale = torch.where(high > low, (high - low) / 255, 1.0)
    zero_point = (-low / scale).round()
    codes = (x / scale).round().add(zero_point).clamp(0, 255)
    return codes.to(torch.uint8), scale, zero_point.to(torch.int32)


def dequantize(codes: Tensor, scale: Tensor, zero_point: Tensor | int = 0) -> Tensor:
    """Back to float32: scale · (codes − zero_point)."""
    return scale * (codes.to(torch.int32) - zero_point).float()


def int8_matmul(x: Tensor, weight_codes: Tensor, weight_scale: Tensor) -> Tensor:
    """x Wᵀ with both sides as 8-bit integers; the sums are whole numbers of 32 bits, the scales come in at the end.

    Parameters
    ----------
    x : Tensor (..., in), floating point
        Quantized here, on the fly: absmax, one scale per row.
    weight_codes : Tensor (out, in), int8
    weight_scale : Tensor (out, 1), or () for one scale, float32

    Returns
    -------
    Tensor (..., out), float32

    Raises
    ------
    ValueError
        Another number of inputs in x than in the weight.
    """
    if x.shape[-1] != weight_codes.shape[-1]:
        raise ValueError(f"x has {x.shape[-1]} inputs a row, the weight {weight_codes.shape[-1]}; they must be the same")
    codes, scale = quantize_absmax(x, dim=-1)
    # A byte holds -128 … 127, and one product of two codes can be 16,129: widen before multiplying.
    sums = codes.to(torch.int32) @ weight_codes.to(torch.int32).mT  # (..., out)
    return sums.float() * scale * weight_scale.reshape(-1)


def quantize_groups(x: Tensor, bits: int = 4, group_size: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    """Affine codes with a scale and a minimum of its own for every `group_size` numbers along the last axis.

    Parameters
    ----------
    x : Tensor (..., n), floating point
    bits : int, 1 to 8
        2^bits levels, evenly from each group's smallest to its largest number.
    group_size : int, divides n

    Returns
    -------
    codes : Tensor (..., n), uint8, 0 … 2^bits - 1
    scale, minimum : Tensor (..., n // group_size), float32
        ``x ≈ minimum + scale * codes``. A group of equal numbers has scale 0.

    Raises
    ------
    ValueError
        bits outside 1 … 8, or group_size does not divide n.
    """
    if not 1 <= bits <= 8:
        raise ValueError(f"bits={bits}; allowed are 1 to 8")
    if group_size < 1 or x.shape[-1] % group_size:
        raise ValueError(f"the last axis has {x.shape[-1]} numbers, which do not divide into groups of {group_size}")
    groups = x.float().unflatten(-1, (-1, group_size))  # (..., groups, group_size)
    minimum, largest = groups.amin(-1), groups.amax(-1)
    scale = (largest - minimum) / (2**bits - 1)
    return nearest_codes(groups, scale, minimum, bits).flatten(-2), scale, minimum


def nearest_codes(groups: Tensor, scale: Tensor, minimum: Tensor, bits: int) -> Tensor:
    """uint8 codes of (..., groups, group_size) on the levels of given scale and minimum (..., groups)."""
    step = torch.where(scale > 0, scale, 1.0)
    return ((groups - minimum[..., None]) / step[..., None]).round().clamp(0, 2**bits - 1).to(torch.uint8)


def dequantize_groups(codes: Tensor, scale: Tensor, minimum: Tensor) -> Tensor:
    """Back to float32 (..., n): minimum + scale · codes, group by group."""
    groups = codes.unflatten(-1, (scale.shape[-1], -1)).float()
    return (minimum[..., None] + scale[..., None] * groups).flatten(-2)


def _check_bits(bits: int) -> None:
    if not 2 <= bits <= 8:
        raise ValueError(f"bits={bits}; allowed are 2 to 8 (with a sign, one bit leaves nothing but it)")


def _check_not_empty(x: Tensor) -> None:
    if x.numel() == 0:
        raise ValueError(f"x has shape {tuple(x.shape)}: there is nothing to take a largest number of")

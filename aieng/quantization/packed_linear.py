"""Weights of one byte each: a quarter of the bytes to read for every token, which is what decoding waits for.

Every row of a weight has one scale (symmetric, largest absolute value to 127). The activations of a token are rounded to 16 bits, or as
many as a sum of 32 bits has room for, so that a row's product is a plain integer loop that compiles to multiply-and-add of 16-bit pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Int8Weight:
    """A packed weight: values (out_features, in_features) int8, scales (out_features,) float32; the weight is values · scales[:, None].

    With one more axis in front, those of several layers.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes

    def layer(self, i: int) -> Int8Weight:
        """One of several layers' weights; a view."""
        return Int8Weight(self.values[i], self.scales[i])

    def split(self, *rows: int) -> list[Int8Weight]:
        """Consecutive rows as weights of their own; views."""
        ends = np.cumsum(rows)
        return [Int8Weight(self.values[end - n : end], self.scales[end - n : end]) for n, end in zip(rows, ends)]

    @staticmethod
    def join(weights: Sequence[Int8Weight]) -> Int8Weight:
        """Put weights with the same in_features below each other; a view where they lie so in memory."""
        first, height = weights[0], sum(len(w.values) for w in weights)
        addresses = np.cumsum([first.values.ctypes.data, *(w.values.nbytes for w in weights)])
        if all(w.values.ctypes.data == address for w, address in zip(weights, addresses)):
            return Int8Weight(as_strided(first.values, (height, first.shape[1])), as_strided(first.scales, (height,)))
        return Int8Weight(np.concatenate([w.values for w in weights]), np.concatenate([w.scales for w in weights]))

    def dequantize(self) -> Tensor:
        """The weight in float32 (out_features, in_features)."""
        return torch.from_numpy(self.values).float() * torch.from_numpy(self.scales)[:, None]

    def rows(self, ids: Tensor) -> Tensor:
        """Rows of the weight in float32: ids (...) to (..., in_features); for embeddings."""
        return torch.from_numpy(self.values)[ids].float() * torch.from_numpy(self.scales)[ids][..., None]


def pack_int8(weight: Tensor) -> Int8Weight:
    """Round a weight (out_features, in_features) to 8 bits, row by row. ValueError where it is not finite or has not two axes."""
    if weight.ndim != 2 or not weight.isfinite().all():
        raise ValueError(f"weight has shape {tuple(weight.shape)}; expected (out_features, in_features) of finite numbers")
    scales = weight.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / 127
    return Int8Weight((weight / scales[:, None]).round().to(torch.int8).numpy(), scales.float().numpy())


class PackedLinear:
    """x ↦ x Wᵀ with packed weights; several weights' outputs stand side by side.

    Few rows x meet the packed values one by one; many (a prompt) share one unpacking and a float product.
    """

    MANY = 16  # rows from which unpacking pays

    def __init__(self, *weights: Int8Weight) -> None:
        self.weight = Int8Weight.join(weights)

    def __call__(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features), float32."""
        values, scales = self.weight.values, self.weight.scales
        rows = np.ascontiguousarray(x.detach().reshape(-1, x.shape[-1]).numpy())
        if len(rows) >= self.MANY:
            return x @ torch.from_numpy(values).float().mT * torch.from_numpy(scales)
        out = np.empty((len(rows), len(values)), np.float32)
        rounded = np.empty(rows.shape[1], np.int16)
        for row, result in zip(rows, out):
            matvec(values, scales, rounded, round_row(row, rounded), result)
        return torch.from_numpy(out).view(*x.shape[:-1], len(values))


@njit(nogil=True, fastmath=True, cache=True)
def round_row(x, rounded):
    """Round x (in_features,) float32 to rounded (in_features,) int16; gives the scale. A product with int8 values fits 32 bits."""
    largest = np.float32(0)
    for i in range(len(x)):
        largest = max(largest, abs(x[i]))
    if largest == 0:
        rounded[:] = 0
        return np.float32(0)
    steps = np.float32(min(32767, (2**31 - 1) // (127 * len(x)) - 1))
    for i in range(len(x)):
        rounded[i] = np.int16(np.rint(x[i] * (steps / largest)))
    return largest / steps


@njit(nogil=True, fastmath=True, cache=True)
def matvec(values, scales, x, x_scale, out):
    """out (out_features,) = values (out_features, in_features) int8 · scales[:, None] times x (in_features,) int16 · x_scale."""
    for row in range(len(values)):
        total = np.int32(0)
        for i in range(len(x)):
            total = np.int32(total + np.int32(values[row, i]) * np.int32(x[i]))  # the cast keeps the sum in 32 bits
        out[row] = np.float32(total) * (scales[row] * x_scale)

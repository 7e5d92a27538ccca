"""Scalar quantization: one byte per dimension instead of four."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aieng.vectors._validation import as_matrix
from aieng.vectors.storage import load_arrays, save_arrays

_LEVELS = 255


class ScalarQuantizer:
    """Affine 8-bit codes per dimension: x ≈ minimum + code · step, with codes 0 … 255 over the range seen in training.

    Inside that range the error is at most step / 2 per dimension; values outside are clipped to its ends.

    Attributes
    ----------
    minimum : (dim,) float32
    step : (dim,) float32, range / 255; 0 for a dimension that never changes, which decodes exactly (and for ranges below 2e-43, whose
        255th part float32 cannot hold)
    """

    def __init__(self) -> None:
        self.minimum: NDArray[np.float32] | None = None
        self.step: NDArray[np.float32] | None = None

    def train(self, x: Any) -> Self:
        """Learn each dimension's range from (n, dim) floats, n >= 1."""
        x = as_matrix(x, "x")
        if len(x) == 0:
            raise ValueError("x has no rows; train on at least one vector")
        low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
        self.minimum = low.astype(np.float32)
        self.step = ((high - low) / _LEVELS).astype(np.float32)
        return self

    def encode(self, x: Any) -> NDArray[np.uint8]:
        """(n, dim) floats to (n, dim) uint8 codes, rounded to the nearest level."""
        minimum, step = self._trained()
        x = as_matrix(x, "x", len(minimum)).astype(np.float64)
        codes = np.rint((x - minimum) / np.where(step > 0, step, 1.0).astype(np.float64))
        return np.clip(codes, 0, _LEVELS).astype(np.uint8)

    def decode(self, codes: Any) -> NDArray[np.float32]:
        """(n, dim) uint8 codes to (n, dim) float32 approximations."""
        minimum, step = self._trained()
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != len(minimum) or codes.dtype != np.uint8:
            raise ValueError(f"codes have shape {codes.shape} and dtype {codes.dtype}; expected (n, {len(minimum)}) uint8")
        return minimum + codes.astype(np.float32) * step

    def save(self, path: str | Path) -> None:
        """Write the trained ranges to a file, atomically."""
        minimum, step = self._trained()
        save_arrays(path, "ScalarQuantizer", {"minimum": minimum, "step": step}, {})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote."""
        arrays, _ = load_arrays(path, "ScalarQuantizer")
        quantizer = cls()
        quantizer.minimum, quantizer.step = arrays["minimum"], arrays["step"]
        return quantizer

    def _trained(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self.minimum is None or self.step is None:
            raise ValueError("this ScalarQuantizer is not trained; call train(x) with example vectors first")
        return self.minimum, self.step

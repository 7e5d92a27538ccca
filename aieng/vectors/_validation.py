"""Turns what a caller gave into what the kernels take, or says what is wrong with it."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_matrix(x: Any, name: str, dim: int | None = None) -> NDArray[np.float32]:
    """`x` as a C-contiguous (n, dim) float32 matrix of finite numbers.

    Parameters
    ----------
    x : numpy array, torch CPU tensor or nested lists; any real or integer dtype, any memory layout
    name : what to call it in an error
    dim : required number of columns; any when None

    Raises
    ------
    ValueError
        Not two-dimensional, another number of columns than `dim`, or NaN/infinity inside (also after rounding to float32).
    TypeError
        Not numbers, or complex ones.
    """
    if hasattr(x, "detach"):  # a torch tensor, also one that tracks gradients
        x = x.detach().cpu().numpy()
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} has rows of different lengths; every vector needs the same number of dimensions") from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} holds {array.dtype} values; give real numbers")
    if array.ndim != 2:
        hint = "; one vector alone is a matrix of one row: x[None]" if array.ndim == 1 else ""
        raise ValueError(f"{name} has shape {array.shape}; expected (n, dim){hint}")
    if dim is not None and array.shape[1] != dim:
        raise ValueError(f"{name} has {array.shape[1]} dimensions per vector; expected {dim}")
    if array.shape[1] == 0:
        raise ValueError(f"{name} has shape {array.shape}; a vector needs at least one dimension")
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(array, dtype=np.float32)
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(f"{name} has NaN or infinity in row {row} (or a number beyond float32); remove or replace it first")
    return matrix


def as_positive_int(value: Any, name: str, maximum: int | None = None) -> int:
    """`value` as an int >= 1 (and <= `maximum`).

    Raises
    ------
    TypeError
        Not a whole number type: bools and floats are refused, numpy integers are fine.
    ValueError
        Out of range.
    """
    allowed = "at least 1" if maximum is None else f"from 1 to {maximum}"
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is {value!r}; give a whole number, {allowed}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; give a whole number, {allowed}") from None
    if number < 1 or (maximum is not None and number > maximum):
        raise ValueError(f"{name} is {number}; allowed is {allowed}")
    return number

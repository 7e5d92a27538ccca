"""The numbers by which an index's vectors are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def new_ids(ids: Any, count: int, known: NDArray[np.int64]) -> NDArray[np.int64]:
    """`ids` for `count` new vectors as (count,) int64; None numbers them on from the largest known one.

    Raises
    ------
    TypeError
        Not whole numbers.
    ValueError
        Another number of ids than vectors, a negative id (−1 marks "nothing found"), or an id twice or already in the index.
    """
    if ids is None:
        first = int(known.max()) + 1 if len(known) else 0
        return np.arange(first, first + count, dtype=np.int64)
    array = np.asarray(ids)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"ids hold {array.dtype} values; give whole numbers")
    if array.shape != (count,):
        raise ValueError(f"ids have shape {array.shape} for {count} vectors; give one id for each")
    array = array.astype(np.int64)
    if (array < 0).any():
        raise ValueError(f"ids hold {array.min()}; they must be 0 or more, since -1 marks a place where nothing was found")
    values, counts = np.unique(array, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"id {values[counts > 1][0]} is given twice; every vector needs an id of its own")
    taken = np.isin(array, known)
    if taken.any():
        raise ValueError(f"id {array[taken][0]} is in the index already; every vector needs an id of its own")
    return array

"""k-means (Lloyd 1957/1982): the clustering under product quantization and inverted files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aieng.vectors._nearest import cluster_sums, nearest_rows, padded
from aieng.vectors._threads import Threads
from aieng.vectors._validation import as_matrix, as_positive_int


def assign(x: Any, centroids: Any) -> NDArray[np.int64]:
    """Row of the nearest centroid (squared L2) for each vector.

    Parameters
    ----------
    x : (n, dim) floats
    centroids : (k, dim) floats

    Returns
    -------
    ids : (n,) int64; the lower row where two centroids are equally near
    """
    centroids = as_matrix(centroids, "centroids")
    x = as_matrix(x, "x", centroids.shape[1])
    if len(centroids) == 0:
        raise ValueError("centroids has no rows; there is nothing to assign to")
    # ‖x‖² is the same for all centroids of a row, so it never decides; half of ‖c‖² − 2 x·c orders alike.
    table, half_norms = padded(centroids)
    ids = np.empty(len(x), np.int64)
    with Threads() as threads:
        threads.share(len(x), lambda start, stop: nearest_rows(x, table, half_norms, ids, start, stop))
    return ids


def kmeans(x: Any, k: int, n_iter: int = 25, seed: int = 0) -> NDArray[np.float32]:
    """k centroids that lower the sum of squared distances to the nearest of them.

    Starts from k different random rows; each round assigns every vector to its nearest centroid and moves each centroid to the mean of its
    vectors. A centroid that got none starts again at the vector that is farthest from its own, as in scikit-learn.

    Parameters
    ----------
    x : (n, dim) floats
    k : 1 <= k <= n
    n_iter : rounds, at least 1
    seed : of the starting rows

    Returns
    -------
    centroids : (k, dim) float32

    Raises
    ------
    ValueError
        k larger than the number of vectors; NaN or infinity in x.
    """
    x = as_matrix(x, "x")
    n_iter = as_positive_int(n_iter, "n_iter")
    if as_positive_int(k, "k") > len(x):
        raise ValueError(f"k is {k} but there are {len(x)} vectors; train on at least k of them")
    rng = np.random.default_rng(seed)
    mean = x.mean(axis=0)
    centred = x - mean  # large common offsets would cost float32 digits in the products
    centroids = centred[rng.permutation(len(x))[:k]]
    for _ in range(n_iter):
        centroids = _move(centred, assign(centred, centroids), centroids)
    return centroids + mean


def _move(x: NDArray[np.float32], ids: NDArray[np.int64], centroids: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of each cluster; an empty one moves to a vector that is far from its centroid."""
    sums, counts = cluster_sums(x, ids, len(centroids))
    moved = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        misfit = np.square(x - centroids[ids]).sum(axis=1)
        moved[empty] = x[np.argsort(-misfit, kind="stable")[: len(empty)]]
    return moved

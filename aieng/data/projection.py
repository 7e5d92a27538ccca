"""A two-dimensional map of high-dimensional vectors by principal components, with new vectors placed on the same map."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Projection(NamedTuple):
    """Where the vectors lie on the plane, and what it takes to put another one there."""

    xy: NDArray[np.float32]
    mean: NDArray[np.float32]
    components: NDArray[np.float32]

    def project(self, vectors: ArrayLike) -> NDArray[np.float32]:
        """Coordinates of one vector (dim,) -> (2,), or of several (n, dim) -> (n, 2)."""
        array = np.asarray(vectors, dtype=np.float32)
        if array.ndim not in (1, 2) or array.shape[-1] != len(self.mean):
            raise ValueError(f"vectors has shape {array.shape}; this map takes ({len(self.mean)},) or (n, {len(self.mean)})")
        return np.asarray((array - self.mean) @ self.components.T, dtype=np.float32)


def pca_2d(x: ArrayLike) -> Projection:
    """Project onto the two directions of largest variance.

    The rows of `components` are orthonormal, so distances on the map never exceed the true ones: what is far apart on
    it is far apart, what is close on it need not be close. Each component's sign is chosen such that its largest entry
    is positive; the map does not flip from one machine to the next.

    Parameters
    ----------
    x : (n, dim) float array, n >= 2, dim >= 2

    Returns
    -------
    Projection: xy (n, 2) float32, mean (dim,) float32, components (2, dim) float32

    Raises
    ------
    ValueError: fewer than two rows or columns, NaN or infinity.
    """
    data = np.asarray(x, dtype=np.float64)
    if data.ndim != 2 or min(data.shape) < 2:
        raise ValueError(f"x has shape {data.shape}; a map needs (n, dim) with at least two rows and two columns")
    if not np.isfinite(data).all():
        raise ValueError("x contains NaN or infinity; a map needs finite numbers")
    mean = data.mean(axis=0)
    centred = data - mean
    # eigh of the (dim, dim) covariance: for many rows far cheaper than an SVD of the rows.
    _, vectors = np.linalg.eigh(centred.T @ centred)
    components = vectors[:, :-3:-1].T
    components *= np.sign(components[np.arange(2), np.abs(components).argmax(axis=1)])[:, None]
    return Projection(
        np.asarray(centred @ components.T, np.float32), np.asarray(mean, np.float32), np.asarray(components, np.float32))


def explained_share(x: Any, projection: Projection) -> float:
    """Share of the vectors' variance that the map keeps, between 0 and 1."""
    total = float(np.var(np.asarray(x, dtype=np.float64), axis=0).sum())
    return float(np.var(projection.xy.astype(np.float64), axis=0).sum()) / total if total else 1.0

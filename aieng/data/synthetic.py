"""Made-up data with a seed, for speed and for pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def clusters(
    n: int = 100_000, dim: int = 128, n_clusters: int = 1000, n_queries: int = 1000, seed: int = 0, spread: float = 0.7
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gaussian clusters around random centres, and queries drawn from the same clusters.

    Parameters
    ----------
    n, n_queries : rows of the database and of the queries
    dim : dimensions
    n_clusters : number of centres, each drawn from N(0, 1) per dimension
    spread : standard deviation around a centre, per dimension; embeddings of real text overlap about as much as 0.7

    Returns
    -------
    database : (n, dim) float32
    queries : (n_queries, dim) float32
    """
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_clusters, dim), dtype=np.float32)

    def draw(count: int) -> NDArray[np.float32]:
        noise = rng.standard_normal((count, dim), dtype=np.float32)
        return centres[rng.integers(n_clusters, size=count)] + np.float32(spread) * noise

    return draw(n), draw(n_queries)

"""Vectors against vectors without a matrix in between: nearest centroids, and the lists of an inverted file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

LANES = 64  # vectors worked on side by side: four AVX-512 or eight AVX2 registers
TILE = 4  # centroids, and dimensions, taken together, so that each number loaded is used four times


def padded(centroids: Any) -> tuple[Any, Any]:
    """Centroids (k, dim) filled up to multiples of the tile, and their ‖c‖²/2: infinite for those that do not exist."""
    k, dim = centroids.shape
    table = np.zeros((-(-k // TILE) * TILE, -(-dim // TILE) * TILE), np.float32)
    table[:k, :dim] = centroids
    half_norms = np.full(len(table), np.inf, np.float32)
    half_norms[:k] = 0.5 * np.einsum("kd,kd->k", centroids, centroids)
    return table, half_norms


@njit(nogil=True, cache=True, fastmath={"contract"})
def nearest_rows(x, centroids, half_norms, ids, start, stop):
    """Write to ids[start:stop] the centroid with the smallest ‖c‖²/2 − x·c for each of those rows of x.

    x (n, dim) float32, ids (n,) int64; `centroids, half_norms` as from `padded`. `LANES` rows are transposed, so that one instruction works
    on the same dimension of many rows, and each tile of centroids is compared with all of them before the next one is read.
    """
    block = np.zeros((centroids.shape[1], LANES), np.float32)
    scores = np.empty((TILE, LANES), np.float32)
    s0, s1, s2, s3 = scores[0], scores[1], scores[2], scores[3]
    best, winner = np.empty(LANES, np.float32), np.empty(LANES, np.int32)
    for first in range(start, stop, LANES):
        rows = min(LANES, stop - first)
        transpose(x, first, rows, block)
        best[:] = np.inf
        winner[:] = 0
        for j in range(0, len(centroids), TILE):
            _start(s0, s1, s2, s3, half_norms[j : j + TILE])
            for d in range(0, len(block), TILE):
                subtract_products(s0, s1, s2, s3, block[d], block[d + 1], block[d + 2], block[d + 3], centroids[j : j + TILE, d : d + TILE])
            _keep_better(s0, s1, s2, s3, best, winner, np.int32(j))
        for lane in range(rows):
            ids[first + lane] = winner[lane]


@njit(nogil=True, cache=True, inline="always")
def _start(s0, s1, s2, s3, half_norms):
    h0, h1, h2, h3 = half_norms[0], half_norms[1], half_norms[2], half_norms[3]
    for lane in range(LANES):
        s0[lane], s1[lane], s2[lane], s3[lane] = h0, h1, h2, h3


@njit(nogil=True, cache=True, inline="always")
def subtract_products(s0, s1, s2, s3, x0, x1, x2, x3, c):
    """scores[t] −= Σᵢ xᵢ · c[t, i], the tile's sixteen products for each lane."""
    c00, c01, c02, c03 = c[0, 0], c[0, 1], c[0, 2], c[0, 3]
    c10, c11, c12, c13 = c[1, 0], c[1, 1], c[1, 2], c[1, 3]
    c20, c21, c22, c23 = c[2, 0], c[2, 1], c[2, 2], c[2, 3]
    c30, c31, c32, c33 = c[3, 0], c[3, 1], c[3, 2], c[3, 3]
    for lane in range(LANES):
        a, b, e, f = x0[lane], x1[lane], x2[lane], x3[lane]
        s0[lane] -= a * c00 + b * c01 + e * c02 + f * c03
        s1[lane] -= a * c10 + b * c11 + e * c12 + f * c13
        s2[lane] -= a * c20 + b * c21 + e * c22 + f * c23
        s3[lane] -= a * c30 + b * c31 + e * c32 + f * c33


@njit(nogil=True, cache=True, inline="always")
def _keep_better(s0, s1, s2, s3, best, winner, j):
    """A running minimum without branches: the earlier of two equal centroids stays."""
    for lane in range(LANES):
        low, who = best[lane], winner[lane]
        better = s0[lane] < low
        low, who = s0[lane] if better else low, j if better else who
        better = s1[lane] < low
        low, who = s1[lane] if better else low, j + np.int32(1) if better else who
        better = s2[lane] < low
        low, who = s2[lane] if better else low, j + np.int32(2) if better else who
        better = s3[lane] < low
        low, who = s3[lane] if better else low, j + np.int32(3) if better else who
        best[lane], winner[lane] = low, who


@njit(nogil=True, cache=True, inline="always")
def transpose(x, first, rows, block):
    """Rows first … first + rows of x (n, dim) as the first columns of block (dim or more, LANES)."""
    for lane in range(rows):
        for d in range(x.shape[1]):
            block[d, lane] = x[first + lane, d]


@njit(nogil=True, cache=True)
def cluster_sums(x, ids, k):
    """Sum and number of the rows of x (n, dim) with each id: (k, dim) float64, (k,) int64."""
    sums, counts = np.zeros((k, x.shape[1])), np.zeros(k, np.int64)
    for i in range(len(x)):
        counts[ids[i]] += 1
        for d in range(x.shape[1]):
            sums[ids[i], d] += x[i, d]
    return sums, counts

"""Scans the lists of an inverted file for many queries at a time."""

from __future__ import annotations

import numpy as np
from numba import njit

from aieng.vectors._nearest import LANES, TILE, subtract_products, transpose
from aieng.vectors._topk import replace_worst

_FEW = 4  # queries: fewer than this do not pay for transposing a list's rows


@njit(nogil=True, cache=True)
def scan_lists(queries, asked_by, ends, vectors, offsets, bounds, scores, rows):
    """Offer to each query's heap the rows of the lists that it probes.

    queries (n_queries, dim) float32; list i is probed by the queries asked_by[ends[i]:ends[i + 1]] and holds rows bounds[i] … bounds[i + 1]
    of vectors (n, dim); a row's score is offsets[row] − q·x. scores, rows (n_queries, k): max-heaps, see `_topk`.
    """
    block = np.zeros((-(-queries.shape[1] // TILE) * TILE, LANES), np.float32)
    for number in range(len(bounds) - 1):
        asking = asked_by[ends[number] : ends[number + 1]]
        if len(asking) < _FEW:
            for query in asking:
                _scan_rows(queries[query], vectors, offsets, bounds[number], bounds[number + 1], scores[query], rows[query])
        else:
            _scan_blocks(_gathered(queries, asking), asking, vectors, offsets, bounds[number], bounds[number + 1], block, scores, rows)


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _scan_rows(query, vectors, offsets, start, stop, scores, rows):
    for row in range(start, stop):
        vector = vectors[row]
        product = np.float32(0.0)
        for d in range(len(query)):
            product += query[d] * vector[d]
        if offsets[row] - product < scores[0]:
            replace_worst(scores, rows, offsets[row] - product, row)


@njit(nogil=True, cache=True)
def _gathered(queries, asking):
    """The rows `asking` of queries, filled up with zeros to multiples of the tile."""
    table = np.zeros((-(-len(asking) // TILE) * TILE, -(-queries.shape[1] // TILE) * TILE), np.float32)
    for i in range(len(asking)):
        table[i, : queries.shape[1]] = queries[asking[i]]
    return table


@njit(nogil=True, cache=True, fastmath={"contract"})
def _scan_blocks(table, asking, vectors, offsets, start, stop, block, scores, rows):
    """LANES rows at a time against four queries at a time."""
    tile = np.empty((TILE, LANES), np.float32)
    s0, s1, s2, s3 = tile[0], tile[1], tile[2], tile[3]
    for first in range(start, stop, LANES):
        size = min(LANES, stop - first)
        transpose(vectors, first, size, block)
        for i in range(0, len(table), TILE):
            tile[:] = np.inf
            tile[:, :size] = offsets[first : first + size]
            for d in range(0, len(block), TILE):
                subtract_products(s0, s1, s2, s3, block[d], block[d + 1], block[d + 2], block[d + 3], table[i : i + TILE, d : d + TILE])
            for t in range(min(TILE, len(asking) - i)):
                _keep(tile[t], first, scores[asking[i + t]], rows[asking[i + t]])


@njit(nogil=True, cache=True)
def _keep(block_scores, first, scores, rows):
    worst = scores[0]
    found = False
    for lane in range(LANES):
        found |= block_scores[lane] < worst
    if found:
        for lane in range(LANES):
            if block_scores[lane] < scores[0]:
                replace_worst(scores, rows, block_scores[lane], first + lane)

"""Asymmetric distances by table look-up, for many queries side by side: the search of product quantization."""

from __future__ import annotations

import numpy as np
from numba import njit

from aieng.vectors._topk import replace_worst

LANES = 64  # queries that share one pass over the codes: 64 of their table entries lie side by side
_PIECES = 4  # pieces added up in one go, so that the running sums are loaded and stored once for four look-ups


@njit(nogil=True, cache=True)
def fill_tables(queries, codebooks, tables):
    """tables[m, j, lane] = ‖piece m of query `lane` − codebooks[m, j]‖².

    queries (n <= LANES, dim), codebooks (M, ksub, dsub), tables (M', ksub, LANES) float32, M' >= M; tables beyond M are left as they are.
    """
    M, ksub, dsub = codebooks.shape
    pieces = np.zeros((M * dsub, LANES), np.float32)
    pieces[:, : len(queries)] = queries.T
    for m in range(M):
        for j in range(ksub):
            entry = tables[m, j]
            entry[:] = 0.0
            for d in range(dsub):
                _add_squares(entry, pieces[m * dsub + d], codebooks[m, j, d])


@njit(nogil=True, cache=True, inline="always")
def _add_squares(sums, piece, c):
    for lane in range(LANES):
        sums[lane] += (piece[lane] - c) * (piece[lane] - c)


@njit(nogil=True, cache=True)
def scan_codes(codes, tables, scores, ids):
    """Offer every code's distance to the heaps of up to `LANES` queries.

    codes (n, M) uint8; tables (M', ksub, LANES) float32, M' being M filled up to a multiple of four with zero tables; scores (queries, k),
    ids (queries, k): max-heaps, see `_topk`. A code names one row of LANES numbers in each table, so that each look-up is a plain vector
    load for all queries at once and nothing has to be gathered. The tables (1 MB for M = 16) stay in the second-level cache.
    """
    n, M = codes.shape
    sums = np.empty(LANES, np.float32)
    worst = np.full(LANES, -np.inf, np.float32)  # lanes without a query accept nothing
    worst[: len(scores)] = scores[:, 0]
    code = np.zeros(len(tables), np.uint8)
    for row in range(n):
        code[:M] = codes[row]
        sums[:] = 0.0
        for m in range(0, len(tables), _PIECES):
            _add_entries(sums, tables[m, code[m]], tables[m + 1, code[m + 1]], tables[m + 2, code[m + 2]], tables[m + 3, code[m + 3]])
        if _any_below(sums, worst):
            for lane in range(len(scores)):
                if sums[lane] < worst[lane]:
                    replace_worst(scores[lane], ids[lane], sums[lane], row)
                    worst[lane] = scores[lane, 0]


@njit(nogil=True, cache=True, inline="always")
def _add_entries(sums, a, b, c, d):
    for lane in range(LANES):
        sums[lane] += (a[lane] + b[lane]) + (c[lane] + d[lane])


@njit(nogil=True, cache=True, inline="always")
def _any_below(sums, worst):
    found = False
    for lane in range(LANES):
        found |= sums[lane] < worst[lane]
    return found


@njit(nogil=True, cache=True)
def scan_codes_once(codes, tables, scores, ids):
    """The same for a single query: tables (M, ksub), scores and ids (k,)."""
    n, M = codes.shape
    for row in range(n):
        total = np.float32(0.0)
        for m in range(M):
            total += tables[m, codes[row, m]]
        if total < scores[0]:
            replace_worst(scores, ids, total, row)

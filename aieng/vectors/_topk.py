"""The k best of a stream of scores, in a heap per query: what every index ends with."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aieng.vectors._threads import Threads

STRIP = 64  # scores compared at once with the worst one kept: eight or four vector instructions


@njit(nogil=True, cache=True)
def replace_worst(scores, ids, score, row):
    """Put (score, row) in place of the largest score of a max-heap: `scores` (k,) with its `ids` (k,)."""
    k = len(scores)
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= k:
            break
        if child + 1 < k and scores[child + 1] > scores[child]:
            child += 1
        if scores[child] <= score:
            break
        scores[hole] = scores[child]
        ids[hole] = ids[child]
        hole = child
    scores[hole] = score
    ids[hole] = row


@njit(nogil=True, cache=True)
def keep_smallest(products, offsets, first, scores, ids):
    """Offer `offsets[j] - products[j]`, as row `first + j`, to one query's heap.

    Nearly all scores lose, so a strip of them at a time is compared with the worst kept: a loop of fixed length without branches, which the
    compiler turns into vector instructions. Only a strip with a winner is looked at again, one by one.
    """
    n = len(products)
    for start in range(0, n, STRIP):
        stop = min(start + STRIP, n)
        if stop - start == STRIP and not any_below(products[start:stop], offsets[start:stop], scores[0]):
            continue
        for j in range(start, stop):
            score = offsets[j] - products[j]
            if score < scores[0]:
                replace_worst(scores, ids, score, first + j)


@njit(nogil=True, cache=True, inline="always")
def any_below(products, offsets, limit):
    found = False
    for j in range(STRIP):
        found |= offsets[j] - products[j] < limit
    return found


@njit(nogil=True, cache=True)
def offer_rows(products, offsets, first, scores, ids, queries):
    """`keep_smallest` for several queries: row i of products (n, rows) belongs to heap queries[i] of scores and ids."""
    for i in range(len(queries)):
        keep_smallest(products[i], offsets, first, scores[queries[i]], ids[queries[i]])


def update_topk(
    products: NDArray[np.float32], offsets: NDArray[np.float32], first: int, scores: NDArray[np.float32], ids: NDArray[np.int64],
    threads: Threads,
) -> None:
    """Merge a block of scores into the heaps of several queries, in place.

    Parameters
    ----------
    products : (n_queries, rows) float32; the score of row j for query q is offsets[j] - products[q, j]
    offsets : (rows,) float32
    first : id of the block's first row
    scores : (n_queries, k) float32, a max-heap per query; start with inf
    ids : (n_queries, k) int64; start with -1
    threads : that share the queries
    """
    queries = np.arange(len(products))
    threads.share(len(products), lambda start, stop: offer_rows(products[start:stop], offsets, first, scores, ids, queries[start:stop]))


def best_first(scores: NDArray[np.float32], ids: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The heaps' rows (n_queries, k) in ascending order of score."""
    order = np.argsort(scores, axis=1, kind="stable")
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)

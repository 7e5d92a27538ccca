"""Exact distances and exact search: the yardstick for every index."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aieng.vectors._threads import Threads
from aieng.vectors._topk import best_first, update_topk
from aieng.vectors._validation import as_matrix, as_positive_int

METRICS = ("l2", "ip", "cosine")
_ROWS, _QUERIES = 4096, 256  # of one product: its block of scores (4 MB) stays in the processor's cache


def cosine_similarity(a: Any, b: Any) -> Any:
    """Cosine of the angle between vectors, row by row.

    Parameters
    ----------
    a, b : (..., dim) floats whose leading dimensions broadcast against each other

    Returns
    -------
    similarity : (...) float32 in [-1, 1]; a float for two single vectors. A zero vector has similarity 0 to everything.

    Raises
    ------
    ValueError: another number of dimensions, NaN or infinity.
    """
    a, b = (np.asarray(v, dtype=np.float64) for v in (a, b))
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-1]:
        raise ValueError(f"a has shape {a.shape} and b {b.shape}; their last dimensions must be equal")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a or b has NaN or infinity; remove or replace it first")
    products = (a * b).sum(axis=-1)
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    similarity = np.clip(products / np.where(lengths > 0, lengths, 1.0), -1.0, 1.0).astype(np.float32)
    return float(similarity) if similarity.ndim == 0 else similarity


def semantic_search(query: Any, corpus: Any, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The k rows of `corpus` whose meaning is closest to `query`, by cosine similarity.

    Parameters
    ----------
    query : (dim,) floats
    corpus : (n, dim) floats
    k : 1 <= k <= n

    Returns
    -------
    scores : (k,) float32, largest first
    ids : (k,) int64, rows of `corpus`

    Raises
    ------
    ValueError: k out of range, dimensions differ, query not one vector.
    """
    query = np.asarray(query)
    if query.ndim != 1:
        raise ValueError(f"query has shape {query.shape}; give one vector of shape (dim,)")
    scores, ids = knn(query[None], corpus, k, metric="cosine")
    return scores[0], ids[0]


def knn(queries: Any, database: Any, k: int, metric: str = "l2") -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Exact k nearest neighbours of each query.

    For L2, ‖q − x‖² = ‖q‖² − 2 q·x + ‖x‖²: one matrix product does the work, block by block of the database, and each block's scores are
    merged into the best k so far. Vectors are centred first, since the square of a large common offset would swallow small distances; what
    remains is float32 rounding of about 1e-6 of the largest squared norm of a centred vector.

    Parameters
    ----------
    queries : (n_queries, dim) floats
    database : (n, dim) floats
    k : int, 1 <= k <= n
    metric : "l2" (squared distance), "ip" (inner product) or "cosine" (0 for a zero vector)

    Returns
    -------
    scores : (n_queries, k) float32, best first (smallest distance, or largest similarity)
    ids : (n_queries, k) int64, rows of `database`; equal scores in any order

    Raises
    ------
    ValueError: k out of range, dimensions differ, unknown metric, NaN or infinity.
    """
    database = as_matrix(database, "database")
    queries = as_matrix(queries, "queries", database.shape[1])
    k = as_positive_int(k, "k", maximum=len(database))
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; choose one of {', '.join(METRICS)}")
    if metric == "cosine":
        queries, database = unit_rows(queries), unit_rows(database)
    centre = database.mean(axis=0) if metric == "l2" else np.zeros(database.shape[1], np.float32)
    queries = queries - centre
    # ‖x‖²/2 − q·x orders rows as their distances do, −q·x as their similarities: the smallest score is the best.
    scores = np.full((len(queries), k), np.inf, np.float32)
    ids = np.full((len(queries), k), -1, np.int64)
    with Threads() as threads:
        for row in range(0, len(database), _ROWS):
            block = database[row : row + _ROWS] - centre
            offsets = 0.5 * np.einsum("nd,nd->n", block, block) if metric == "l2" else np.zeros(len(block), np.float32)
            for q in range(0, len(queries), _QUERIES):
                products = queries[q : q + _QUERIES] @ block.T  # (queries, rows)
                update_topk(products, offsets, row, scores[q : q + _QUERIES], ids[q : q + _QUERIES], threads)
    scores, ids = best_first(scores, ids)
    if metric != "l2":
        return -scores, ids
    distances = 2 * scores + np.einsum("qd,qd->q", queries, queries)[:, None]
    return np.maximum(distances, 0.0), ids


def unit_rows(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of x (n, dim) divided by their lengths; a zero row stays zero."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(lengths > 0, lengths, 1.0), np.float32)

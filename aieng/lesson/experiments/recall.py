"""What the experiments on indexes share: held-out queries, exact answers, recall and the time of a search."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aieng.vectors.distances import knn


@dataclass(frozen=True)
class Task:
    """A database, queries that are not in it, and the rows that exact search gives."""

    database: NDArray[np.float32]  # (n, dim)
    queries: NDArray[np.float32]  # (nq, dim)
    truth: NDArray[np.int64]  # (nq, k)

    @property
    def k(self) -> int:
        return self.truth.shape[1]


def make_task(database: ArrayLike, queries: ArrayLike, k: int = 10) -> Task:
    """A task with its exact answers (squared L2)."""
    rows, asked = np.asarray(database, dtype=np.float32), np.asarray(queries, dtype=np.float32)
    return Task(rows, asked, knn(asked, rows, k)[1])


def hold_out(x: ArrayLike, n_queries: int, k: int = 10, seed: int = 0) -> Task:
    """Take `n_queries` random rows of x as queries and the rest as the database."""
    rows = np.asarray(x, dtype=np.float32)
    order = np.random.default_rng(seed).permutation(len(rows))
    return make_task(rows[order[n_queries:]], rows[order[:n_queries]], k)


def recall(ids: ArrayLike, truth: ArrayLike) -> float:
    """Share of the true nearest neighbours that were found: recall@k, averaged over the queries."""
    pairs = zip(np.asarray(ids).tolist(), np.asarray(truth).tolist(), strict=True)
    return float(np.mean([len(set(found) & set(wanted)) / len(wanted) for found, wanted in pairs]))


def timed(search: Callable[[], tuple[Any, Any]], queries: int, repeats: int = 3) -> tuple[NDArray[np.int64], float]:
    """Run a search some times: its ids, and the seconds per query of the fastest run."""
    seconds, ids = [], np.empty((0, 0), dtype=np.int64)
    for _ in range(repeats):
        begin = time.perf_counter()
        _, ids = search()
        seconds.append(time.perf_counter() - begin)
    return np.asarray(ids), min(seconds) / queries

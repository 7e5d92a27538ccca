"""The inverted file index: search only the cells around the query (Jégou, Douze and Schmid 2011, section IV)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aieng.vectors._ids import new_ids
from aieng.vectors._inverted_lists import scan_lists
from aieng.vectors._threads import Threads
from aieng.vectors._topk import best_first
from aieng.vectors._validation import as_matrix, as_positive_int
from aieng.vectors.distances import METRICS, knn, unit_rows
from aieng.vectors.kmeans import assign, kmeans
from aieng.vectors.storage import load_arrays, save_arrays

_ROWS_PER_CENTROID = 256  # of the training sample, as in faiss


class IVFIndex:
    """Vectors in `nlist` lists, each around a centroid of k-means; a search looks through the `nprobe` lists nearest to the query.

    The vectors of a list lie side by side, and a search goes list by list: all queries that probe one are compared with it together.

    Parameters
    ----------
    dim : dimensions of a vector
    nlist : number of lists; 4·√n to 16·√n is customary
    metric : "l2" (squared distance), "ip" (inner product) or "cosine"
    seed : of k-means and its training sample

    Attributes
    ----------
    centroids : (nlist, dim) float32 once trained
    list_sizes : (nlist,) int64
    ntotal : number of vectors
    """

    def __init__(self, dim: int, nlist: int, metric: str = "l2", seed: int = 0) -> None:
        self.dim, self.nlist = as_positive_int(dim, "dim"), as_positive_int(nlist, "nlist")
        if metric not in METRICS:
            raise ValueError(f"metric is {metric!r}; choose one of {', '.join(METRICS)}")
        self.metric, self.seed = metric, seed
        self._centroids: NDArray[np.float32] | None = None
        # Rows sorted by list: those of list i are bounds[i] to bounds[i + 1]. What was added since is sorted in at the next search.
        self._vectors = np.empty((0, dim), np.float32)  # minus the centre of the training data: see `_offsets`
        self._ids = np.empty(0, np.int64)
        self._lists = np.empty(0, np.int64)
        self._bounds = np.zeros(nlist + 1, np.int64)
        self._sorted = True
        self._offsets = np.empty(0, np.float32)  # ‖x‖²/2 for L2, else 0: a row's score is offset − q·x, the smallest is the best

    @property
    def centroids(self) -> NDArray[np.float32]:
        if self._centroids is None:
            raise ValueError("this IVFIndex is not trained; call train(x) with example vectors first")
        return self._centroids

    @property
    def ntotal(self) -> int:
        return len(self._ids)

    @property
    def list_sizes(self) -> NDArray[np.int64]:
        return np.bincount(self._lists, minlength=self.nlist).astype(np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors, their ids, list numbers and offsets, and of the centroids."""
        arrays = (self._vectors, self._ids, self._lists, self._offsets, self._bounds, self.centroids)
        return sum(array.nbytes for array in arrays)

    def train(self, x: Any) -> Self:
        """Place the centroids by k-means on x (n, dim) floats, n >= nlist; of more than 256 · nlist rows on a random sample."""
        x = self._prepared(x, "x")
        if self.ntotal:
            raise ValueError(f"the index holds {self.ntotal} vectors in lists of its centroids; train a new IVFIndex and add them to it")
        if len(x) < self.nlist:
            raise ValueError(f"x has {len(x)} rows for nlist={self.nlist} lists; train on at least as many rows as lists")
        if len(x) > _ROWS_PER_CENTROID * self.nlist:
            x = x[np.sort(np.random.default_rng(self.seed).choice(len(x), _ROWS_PER_CENTROID * self.nlist, replace=False))]
        self._centroids = kmeans(x, self.nlist, seed=self.seed)
        return self

    def add(self, x: Any, ids: Any = None) -> None:
        """Put x (n, dim) floats into the lists of their nearest centroids, under `ids` (n,) int64 (None: numbered on)."""
        x = self._prepared(x, "x")
        lists = assign(x, self.centroids)
        self._ids = np.concatenate([self._ids, new_ids(ids, len(x), self._ids)])
        centred = x - self._centre
        self._vectors = np.concatenate([self._vectors, centred])
        self._lists = np.concatenate([self._lists, lists])
        offsets = 0.5 * np.einsum("nd,nd->n", centred, centred) if self.metric == "l2" else np.zeros(len(x), np.float32)
        self._offsets = np.concatenate([self._offsets, offsets])
        self._sorted = False

    def search(self, queries: Any, k: int, nprobe: int = 1) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k nearest of the vectors in the `nprobe` lists nearest to each query.

        Parameters
        ----------
        queries : (n_queries, dim) floats
        k : at least 1
        nprobe : 1 to nlist; with nlist the answer is exact

        Returns
        -------
        scores : (n_queries, k) float32, best first: squared L2, or similarities. Where the lists held fewer than k vectors the rest is inf
            (-inf for similarities).
        ids : (n_queries, k) int64; -1 where nothing was found
        """
        queries = self._prepared(queries, "queries")
        k, nprobe = as_positive_int(k, "k"), as_positive_int(nprobe, "nprobe", maximum=self.nlist)
        if not self.ntotal:
            raise ValueError("the index is empty; add(x) vectors before searching")
        self._sort()
        _, probes = knn(queries, self.centroids, nprobe, "ip" if self.metric == "ip" else "l2")
        centred = queries - self._centre
        scores = np.full((len(queries), k), np.inf, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        with Threads() as threads:
            threads.share(len(queries), lambda start, stop: self._scan(
                centred[start:stop], probes[start:stop], scores[start:stop], rows[start:stop]))
        scores, rows = best_first(scores, rows)
        ids = np.where(rows >= 0, self._ids[rows], -1)
        if self.metric != "l2":
            return -scores, ids
        return np.maximum(2 * scores + np.einsum("qd,qd->q", centred, centred)[:, None], 0.0), ids

    def _scan(
        self, queries: NDArray[np.float32], probes: NDArray[np.int64], scores: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> None:
        """Turn "which lists does a query probe" round into "which queries probe a list", and go through the lists."""
        asked_by = np.argsort(probes, axis=None, kind="stable") // probes.shape[1]  # query numbers, in the order of the lists they probe
        ends = np.concatenate(([0], np.cumsum(np.bincount(probes.ravel(), minlength=self.nlist))))
        scan_lists(queries, asked_by, ends, self._vectors, self._offsets, self._bounds, scores, rows)

    def _sort(self) -> None:
        if self._sorted:
            return
        order = np.argsort(self._lists, kind="stable")
        for name in ("_vectors", "_ids", "_lists", "_offsets"):
            setattr(self, name, np.ascontiguousarray(getattr(self, name)[order]))
        self._bounds = np.concatenate(([0], np.cumsum(self.list_sizes)))
        self._sorted = True

    @property
    def _centre(self) -> NDArray[np.float32]:
        """What is taken off all vectors, since the square of a large common offset would swallow small distances."""
        return self.centroids.mean(axis=0) if self.metric == "l2" else np.zeros(self.dim, np.float32)

    def _prepared(self, x: Any, name: str) -> NDArray[np.float32]:
        x = as_matrix(x, name, self.dim)
        return unit_rows(x) if self.metric == "cosine" else x

    def save(self, path: str | Path) -> None:
        """Write the index to a file, atomically."""
        self._sort()
        arrays: dict[str, np.ndarray] = {
            "centroids": self.centroids, "vectors": self._vectors, "ids": self._ids, "lists": self._lists, "offsets": self._offsets,
        }
        save_arrays(path, "IVFIndex", arrays, {"dim": self.dim, "nlist": self.nlist, "metric": self.metric, "seed": self.seed})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote."""
        arrays, meta = load_arrays(path, "IVFIndex")
        index = cls(**meta)
        index._centroids, index._vectors, index._ids = arrays["centroids"], arrays["vectors"], arrays["ids"]
        index._lists, index._offsets = arrays["lists"], arrays["offsets"]
        index._sorted = False
        return index

"""Hierarchical navigable small world graphs (Malkov and Yashunin 2018, arXiv:1603.09320)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from aieng.vectors import _hnsw_graph as kernel
from aieng.vectors._ids import new_ids
from aieng.vectors._threads import Threads
from aieng.vectors._validation import as_matrix, as_positive_int
from aieng.vectors.distances import METRICS, unit_rows
from aieng.vectors.storage import load_arrays, save_arrays

_ROWS = ("vectors", "base", "base_degree", "upper_slot")  # of the graph's arrays: those with a row for each node


class Hop(NamedTuple):
    """One step of a search: a node whose neighbours were looked at."""

    level: int
    node: int
    looked_at: list[int]  # neighbours seen for the first time
    distance: float  # from the query to the node


class HNSW:
    """An index that finds near vectors by walking from neighbour to neighbour; vectors can be added at any time.

    Parameters
    ----------
    dim : dimensions of a vector
    M : links that a new node makes in each layer, at least 2; a node keeps up to M of them, 2M in layer 0
    ef_construction : length of the list of candidates when adding; more makes a better graph, and takes longer
    metric : "l2" (squared distance), "ip" (inner product) or "cosine"
    seed : of the nodes' levels

    Attributes
    ----------
    ntotal : number of vectors, which are also nodes 0 … ntotal - 1 in the order in which they were added
    levels : (ntotal,) int32, the highest layer of each node
    entry_point, max_level : the node at which a search starts, and its layer; -1 in an empty index
    distance_evaluations : distances computed by all searches so far
    """

    def __init__(self, dim: int, M: int = 16, ef_construction: int = 100, metric: str = "l2", seed: int = 0) -> None:
        self.dim, self.M = as_positive_int(dim, "dim"), as_positive_int(M, "M")
        if self.M < 2:
            raise ValueError("M is 1; a chain cannot be navigated, use at least 2")
        self.ef_construction = max(as_positive_int(ef_construction, "ef_construction"), self.M)
        if metric not in METRICS:
            raise ValueError(f"metric is {metric!r}; choose one of {', '.join(METRICS)}")
        self.metric, self.seed = metric, seed
        self._rng = np.random.default_rng(seed)
        self._ids = np.empty(0, np.int64)
        self._levels = np.empty(0, np.int32)
        self.entry_point, self.max_level = -1, -1
        self.distance_evaluations = 0
        self._graph = kernel.Graph(
            np.empty((0, dim), np.float32), np.empty((0, 2 * M), np.int32), np.empty(0, np.int32),
            np.empty((0, M), np.int32), np.empty(0, np.int32), np.empty(0, np.int64), metric == "l2")

    @property
    def ntotal(self) -> int:
        return len(self._ids)

    @property
    def levels(self) -> NDArray[np.int32]:
        return self._levels

    @property
    def nbytes(self) -> int:
        """Bytes of vectors, links, levels and ids, without the room kept for growth."""
        rows = sum(getattr(self._graph, name)[: self.ntotal].nbytes for name in _ROWS)
        slots = int(self._levels.sum())
        return rows + self._graph.upper[:slots].nbytes + self._graph.upper_degree[:slots].nbytes + self._levels.nbytes + self._ids.nbytes

    def add(self, x: Any, ids: Any = None) -> None:
        """Link x (n, dim) floats into the graph under `ids` (n,) int64 (None: numbered on).

        A node's highest layer is drawn from a geometric distribution, ⌊−ln U / ln M⌋ (section 4): each layer holds about 1/M of the nodes
        of the one below.
        """
        x = self._prepared(x, "x")
        ids = new_ids(ids, len(x), self._ids)
        first, last = self.ntotal, self.ntotal + len(x)
        uniform = 1.0 - self._rng.random(len(x))  # in (0, 1]: its logarithm is finite
        levels = np.floor(-np.log(uniform) / np.log(self.M)).astype(np.int32)
        slots = int(self._levels.sum())
        self._reserve(last, slots + int(levels.sum()))
        graph = self._graph
        graph.vectors[first:last] = x
        graph.upper_slot[first:last] = slots + np.cumsum(levels) - levels
        graph.base_degree[first:last] = 0
        graph.upper_degree[slots:] = 0
        self._levels = np.concatenate([self._levels, levels])
        work = kernel.scratch(len(graph.vectors), self.ef_construction, self.M)
        entry, top = kernel.insert_all(graph, self._levels, first, last, self.entry_point, self.max_level, self.ef_construction, work)
        self.entry_point, self.max_level = int(entry), int(top)
        self._ids = np.concatenate([self._ids, ids])

    def search(self, queries: Any, k: int, ef_search: int = 50) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k nearest that the walk finds.

        Parameters
        ----------
        queries : (n_queries, dim) floats
        k : at least 1
        ef_search : length of the list of candidates; more finds more of the true neighbours, and takes longer. Raised to k if it is less.

        Returns
        -------
        scores : (n_queries, k) float32, best first: squared L2, or similarities; inf (-inf for similarities) where fewer were found
        ids : (n_queries, k) int64; -1 where fewer were found
        """
        queries = self._prepared(queries, "queries")
        k, ef_search = as_positive_int(k, "k"), as_positive_int(ef_search, "ef_search")
        self._not_empty()
        distances = np.full((len(queries), k), np.inf, np.float32)
        nodes = np.full((len(queries), k), -1, np.int64)
        ef, evaluations = min(max(k, ef_search), self.ntotal), []

        def walk(start: int, stop: int) -> None:
            work = kernel.scratch(self.ntotal, ef, self.M)
            kernel.search(self._graph, queries[start:stop], self.entry_point, self.max_level, ef,
                          distances[start:stop], nodes[start:stop], work)
            evaluations.append(int(work.evaluations[0]))

        with Threads() as threads:
            threads.share(len(queries), walk)
        self.distance_evaluations += sum(evaluations)
        ids = np.where(nodes >= 0, self._ids[nodes], -1)
        return (distances if self.metric == "l2" else -distances), ids

    def neighbors(self, node: int, level: int) -> NDArray[np.int32]:
        """The nodes that `node` links to in a layer; none where it does not reach that high."""
        if not 0 <= node < self.ntotal:
            raise ValueError(f"node is {node}; the index has nodes 0 to {self.ntotal - 1}")
        if level < 0:
            raise ValueError(f"level is {level}; layers count from 0")
        return np.array(kernel.links(self._graph, node, level)) if level <= self._levels[node] else np.empty(0, np.int32)

    def trace(self, query: Any, k: int, ef_search: int = 50) -> list[Hop]:
        """The hops of a search for one query (dim,): every node whose neighbours were looked at, layer by layer from the top."""
        vector = self._prepared(np.asarray(query)[None], "query")[0]
        self._not_empty()
        ef_search = min(max(as_positive_int(k, "k"), as_positive_int(ef_search, "ef_search")), self.ntotal)
        work, path = kernel.scratch(self.ntotal, ef_search, self.M), np.empty(self.ntotal, np.int32)
        hops, entry = [], self.entry_point
        for level in range(self.max_level, -1, -1):
            _, count = kernel.search_layer(self._graph, vector, entry, ef_search if level == 0 else 1, level, work, path)
            seen = {entry}
            for node in path[:count].tolist():
                looked_at = [n for n in self.neighbors(node, level).tolist() if n not in seen]
                seen.update(looked_at)
                hops.append(Hop(level, node, looked_at, float(kernel.distance(vector, self._graph.vectors[node], self._graph.l2))))
            entry = int(work.nodes[0])
        return hops

    def save(self, path: str | Path) -> None:
        """Write the index to a file, atomically."""
        slots = int(self._levels.sum())
        arrays: dict[str, np.ndarray] = {name: getattr(self._graph, name)[: self.ntotal] for name in _ROWS}
        arrays |= {"upper": self._graph.upper[:slots], "upper_degree": self._graph.upper_degree[:slots], "levels": self._levels,
                   "ids": self._ids}
        meta = {"dim": self.dim, "M": self.M, "ef_construction": self.ef_construction, "metric": self.metric, "seed": self.seed}
        state = {"entry_point": self.entry_point, "max_level": self.max_level, "rng": self._rng.bit_generator.state}
        save_arrays(path, "HNSW", arrays, {"parameters": meta, "state": state})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; vectors can be added to it as to the one that was saved."""
        arrays, meta = load_arrays(path, "HNSW")
        index = cls(**meta["parameters"])
        index._ids, index._levels = arrays.pop("ids"), arrays.pop("levels")
        index._graph = kernel.Graph(**arrays, l2=index.metric == "l2")
        index.entry_point, index.max_level = meta["state"]["entry_point"], meta["state"]["max_level"]
        index._rng.bit_generator.state = meta["state"]["rng"]
        return index

    def _reserve(self, nodes: int, slots: int) -> None:
        """Make room for that many nodes and upper layers; at least double, so that adding one by one does not copy each time."""

        def grown(array: NDArray[Any], size: int) -> NDArray[Any]:
            if size <= len(array):
                return array
            larger = np.zeros((max(size, 2 * len(array)), *array.shape[1:]), array.dtype)
            larger[: len(array)] = array
            return larger

        rows = {name: grown(getattr(self._graph, name), nodes) for name in _ROWS}
        upper = {name: grown(getattr(self._graph, name), slots) for name in ("upper", "upper_degree")}
        self._graph = kernel.Graph(**rows, **upper, l2=self._graph.l2)

    def _not_empty(self) -> None:
        if not self.ntotal:
            raise ValueError("the index is empty; add(x) vectors before searching")

    def _prepared(self, x: Any, name: str) -> NDArray[np.float32]:
        x = as_matrix(x, name, self.dim)
        return unit_rows(x) if self.metric == "cosine" else x

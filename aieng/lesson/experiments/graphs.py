"""1.7 measured: the learner's HNSW beside hnswlib and faiss, its growth by inserts, and the bytes a graph costs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import faiss
import hnswlib
import numpy as np
from numpy.typing import NDArray

from aieng.data.corpus import Corpus
from aieng.data.synthetic import clusters
from aieng.figures.graphs import memory_bars, work_growth
from aieng.figures.vectors import drift_bars, recall_latency
from aieng.lesson.environment import quick
from aieng.lesson.experiments.recall import hold_out, make_task, recall, timed
from aieng.lesson.finding import Finding, experiment, whose
from aieng.vectors.hnsw import Hop
from aieng.vectors.ivf import IVFIndex

K = 10  # neighbours asked for
REPEATS = 3  # of a timed search; the fastest counts


@experiment
def recall_against_speed(
    hnsw: Any, x: NDArray[np.float32], *, rows: int | None = None, M: int = 16, ef_construction: int = 100,
    widths: Sequence[int] = (10, 20, 40, 80, 160), n_queries: int = 100, seed: int = 0,
) -> Finding:
    """Recall@10 and queries per second of three HNSW and of exact search: the same rows, parameters and machine, one thread.

    The numbers: `curves` {name: [(ef_search, recall, seconds per query)]}, `build` {name: seconds}, `exact` (seconds per query) and
    `work` {ef_search: distances per query} where the index counts them.
    """
    rows = rows or (300 if quick() else 1200)
    picked = np.random.default_rng(seed).permutation(len(x))[: rows + n_queries]
    task = hold_out(x[picked], n_queries, seed=seed)
    rows, dim = task.database.shape
    mine = f"{whose(hnsw)} HNSW"
    work: dict[int, float] = {}
    with _one_thread():
        indexes: dict[str, Any] = {mine: hnsw(dim, M=M, ef_construction=ef_construction, seed=seed),
                                   "hnswlib": _Hnswlib(dim, rows, M, ef_construction, seed),
                                   "faiss HNSW": _Faiss(dim, M, ef_construction)}
        build = {}
        for name, index in indexes.items():
            begin = time.perf_counter()
            index.add(task.database)
            build[name] = time.perf_counter() - begin
        curves: dict[str, list[tuple[int, float, float]]] = {name: [] for name in indexes}
        for width in widths:
            for name, index in indexes.items():
                before = getattr(index, "distance_evaluations", None)
                ids, seconds = timed(partial(index.search, task.queries, task.k, width), n_queries, repeats=REPEATS)
                curves[name].append((width, recall(ids, task.truth), seconds))
                if before is not None:
                    work[width] = (index.distance_evaluations - before) / (REPEATS * n_queries)
        flat = faiss.IndexFlatL2(dim)
        flat.add(task.database)
        exact = timed(partial(flat.search, task.queries, task.k), n_queries)[1]
    middle = len(widths) // 2
    at = {name: curve[middle] for name, curve in curves.items()}
    counted = (f" For that it computes {work[widths[middle]]:,.0f} distances a query, {work[widths[middle]] / rows:.0%} of what exact "
               "search needs.") if work else ""
    slower = at[mine][2] / at["hnswlib"][2]
    speed = (f"hnswlib answers {slower:,.0f} times as many queries a second, for it is the same walk, compiled" if slower >= 1.5
             else f"that is {1 / slower:.1f} times the speed of hnswlib")
    sentence = (
        f"{rows:,} corpus vectors of {dim} numbers, M = {M}, ef_construction = {ef_construction}, one thread. With ef_search = "
        f"{widths[middle]} the recall@{task.k} is {at[mine][1]:.3f} for {mine}, {at['hnswlib'][1]:.3f} for hnswlib and "
        f"{at['faiss HNSW'][1]:.3f} for faiss.{counted} A query takes {mine} {at[mine][2] * 1e3:.2g} ms, and building took it "
        f"{build[mine]:.2g} s ({build['hnswlib']:.2g} s for hnswlib); {speed}. Exact search takes {exact * 1e3:.2g} ms a query "
        "on so few rows."
    )
    return Finding(sentence, recall_latency(curves, parameter="ef_search", axis="throughput", k=task.k),
                   {"curves": curves, "build": build, "exact": exact, "work": work, "rows": rows,
                    "recall": at[mine][1], "reference": at["hnswlib"][1]})


@experiment
def work_against_rows(
    hnsw: Any, *, sizes: Sequence[int] | None = None, dim: int = 16, M: int = 8, ef_construction: int = 40, ef_search: int = 20,
    n_queries: int = 60, seed: int = 0,
) -> Finding:
    """Distances a query computes in one growing graph of clustered points, at several sizes; exact search computes one for each row.

    The numbers: `sizes`, `work` (distances per query at each), `recall` (at each), `rows_factor` and `work_factor` (last to first).
    """
    sizes = sizes or ((100, 200, 400) if quick() else (200, 400, 800, 1600, 3200))
    x, asked = clusters(sizes[-1], dim, n_clusters=60, n_queries=n_queries, seed=seed)
    graph = hnsw(dim, M=M, ef_construction=ef_construction, seed=seed)
    work, found = [], []
    for start, stop in pairwise((0, *sizes)):
        graph.add(x[start:stop])
        task, before = make_task(x[:stop], asked, K), graph.distance_evaluations
        found.append(recall(graph.search(asked, task.k, ef_search)[1], task.truth))
        work.append((graph.distance_evaluations - before) / n_queries)
    mine = f"{whose(hnsw)} HNSW"
    rows_factor, work_factor = sizes[-1] / sizes[0], work[-1] / work[0]
    step = (work[-1] - work[0]) / np.log2(rows_factor)
    sentence = (
        f"From {sizes[0]:,} to {sizes[-1]:,} rows, {rows_factor:.0f} times as many, a query of {mine} goes from {work[0]:.0f} to "
        f"{work[-1]:.0f} distances, {work_factor:.1f} times as many: each doubling adds about {step:.0f}. "
        f"Recall@{K} with the same ef_search = {ef_search} goes from {found[0]:.3f} to {found[-1]:.3f}. Exact search "
        f"computes {sizes[-1]:,} distances by then, {sizes[-1] / work[-1]:.0f} times as many."
    )
    return Finding(sentence, work_growth(sizes, {mine: work}), {
        "sizes": sizes, "work": work, "recall": found, "rows_factor": rows_factor, "work_factor": work_factor})


@experiment
def grow_by_topic(
    hnsw: Any, corpus: Corpus, *, rows: int | None = None, stages: int = 4, M: int = 12, ef_construction: int = 60, ef_search: int = 40,
    nlist: int = 32, n_queries: int = 200, seed: int = 0,
) -> Finding:
    """Insert the corpus one topic after the other, and ask after each stage for the nearest of all that is there.

    Beside it an IVF index of the same rows, trained when only the first stage was there, and in the end one trained on all. The
    numbers: `hnsw` and `ivf` (recall per stage), `retrained` (recall of the IVF trained on all), `first_ms` and `last_ms` (an insert,
    in the first and in the last stage), `scanned` (share of the rows that IVF looked at, per stage).
    """
    rows = rows or (400 if quick() else 1600)
    picked = np.random.default_rng(seed).permutation(len(corpus))[: rows + n_queries]
    topics = np.array([passage.category for passage in corpus.passages])
    asked, stored = picked[:n_queries], picked[n_queries:]
    stored = stored[np.argsort(topics[stored], kind="stable")]
    parts = np.array_split(stored, stages)
    dim = corpus.embeddings.shape[1]
    graph = hnsw(dim, M=M, ef_construction=ef_construction, seed=seed)
    cells = IVFIndex(dim, nlist, seed=seed).train(corpus.embeddings[parts[0]])
    found: dict[str, list[float]] = {"graph": [], "cells": []}
    scanned, insert_ms, nprobe = [], [], max(1, nlist // 8)
    for stage, part in enumerate(parts):
        begin = time.perf_counter()
        graph.add(corpus.embeddings[part])
        insert_ms.append((time.perf_counter() - begin) / len(part) * 1e3)
        cells.add(corpus.embeddings[part])
        present = np.concatenate(parts[: stage + 1])
        known = np.isin(topics[asked], topics[present])
        task = make_task(corpus.embeddings[present], corpus.embeddings[asked[known]])
        found["graph"].append(recall(graph.search(task.queries, task.k, ef_search)[1], task.truth))
        found["cells"].append(recall(cells.search(task.queries, task.k, nprobe)[1], task.truth))
        gaps = ((task.queries[:, None] - cells.centroids) ** 2).sum(-1)
        scanned.append(float(np.asarray(cells.list_sizes)[np.argsort(gaps, axis=1)[:, :nprobe]].sum(1).mean() / len(present)))
    again = IVFIndex(dim, nlist, seed=seed).train(corpus.embeddings[stored])
    again.add(corpus.embeddings[stored])
    retrained = recall(again.search(task.queries, task.k, nprobe)[1], task.truth)
    mine = f"{whose(hnsw)} HNSW"
    labels = [f"{sum(map(len, parts[: i + 1])):,} rows" for i in range(stages)]
    figure = drift_bars(labels, {mine: found["graph"], f"IVF trained on the first {len(parts[0]):,}": found["cells"]})
    figure.update_layout(title_text="<b>Growing topic by topic</b>")
    told = {name: ", ".join(f"{r:.3f}" for r in recalls) for name, recalls in found.items()}
    sentence = (
        f"The topics came one after the other, {', '.join(labels)}, and nothing was trained or built again. Recall@10 of {mine} "
        f"(ef_search = {ef_search}): {told['graph']}; an insert took {insert_ms[0]:.2g} ms in the first stage and {insert_ms[-1]:.2g} ms "
        f"in the last. IVF, whose cells know the first topics only, with nprobe = {nprobe} of {nlist}: {told['cells']}, while the "
        f"share of the rows it looked at went from {scanned[0]:.0%} to {scanned[-1]:.0%}. Trained again on all {len(stored):,} rows, it "
        f"finds {retrained:.3f} with the same nprobe."
    )
    return Finding(sentence, figure, {"hnsw": found["graph"], "ivf": found["cells"], "first_ms": insert_ms[0], "last_ms": insert_ms[-1],
                                      "scanned": scanned, "worst": min(found["graph"]), "ivf_last": found["cells"][-1],
                                      "retrained": retrained})


@experiment
def bytes_per_vector(x: NDArray[np.float32], *, M: int = 16, nlist: int = 64, pieces: int = 48) -> Finding:
    """What faiss writes for an IVF index and an HNSW index of the same vectors, divided by their number.

    Links and ids take the same bytes whatever they point at, so the bars with PQ codes of `pieces` bytes follow by arithmetic. The
    numbers: `links` and `ids` (bytes a vector beyond the vector, of HNSW and of IVF without its centroids), `float_bytes`, `flat_ratio`
    and `code_ratio` (HNSW to IVF, with whole vectors and with codes; centroids and codebooks left out), `parts`.
    """
    n, dim = x.shape
    whole, centroids, books = 4 * dim, 4 * dim * nlist / n, 4 * dim * 256 / n
    with _one_thread():
        extra = {name: _serialized(index, x) / n - whole
                 for name, index in (("IVF", faiss.index_factory(dim, f"IVF{nlist},Flat")), ("HNSW", faiss.IndexHNSWFlat(dim, M)))}
    ids, links = extra["IVF"] - centroids, extra["HNSW"]
    parts = {name: {"vector or code": kept, "links or ids": graph, "centroids and codebooks": fixed} for name, kept, graph, fixed in (
        ("exact", whole, 0.0, 0.0), ("IVF", whole, ids, centroids), ("HNSW", whole, links, 0.0),
        ("IVF, PQ codes", pieces, ids, centroids + books), ("HNSW, PQ codes", pieces, links, books))}
    flat_ratio, code_ratio = (whole + links) / (whole + ids), (pieces + links) / (pieces + ids)
    sentence = (
        f"{n:,} vectors of {whole:,} bytes. A graph with M = {M} adds {links:.0f} bytes to each (2M links of 4 bytes in layer 0 are "
        f"{8 * M} of them), IVF adds {ids:.0f} for ids and lists. Beside whole vectors that makes HNSW {flat_ratio - 1:.0%} larger "
        f"than IVF; beside PQ codes of {pieces} bytes, {code_ratio:.1f} times as large. Centroids and codebooks are a fixed price: "
        f"{centroids + books:.0f} bytes a vector here, {(centroids + books) * n / 1e6:.1f} among a million."
    )
    return Finding(sentence, memory_bars(parts), {"links": links, "ids": ids, "float_bytes": whole, "flat_ratio": flat_ratio,
                                                  "code_ratio": code_ratio, "parts": parts})


def map_index(hnsw: Any, xy: NDArray[np.float32], *, M: int = 4, ef_construction: int = 40, seed: int = 0) -> Any:
    """An index of the points of a 2-D map, with few links so that they can be drawn."""
    index = hnsw(2, M=M, ef_construction=ef_construction, seed=seed)
    index.add(xy)
    return index


def trace(index: Any, query: NDArray[np.float32], k: int, ef_search: int) -> list[Hop]:
    """The hops of a search for one query (dim,): the index's own `trace`, or what the search of exercise 1.7 reads of `links`."""
    if hasattr(index, "trace"):
        return list(index.trace(query, k, ef_search))
    reads: list[tuple[int, int]] = []
    links = index.links
    index.links = [_Watched(known, node, reads) for node, known in enumerate(links)]
    try:
        index.search(query[None], k, ef_search)
    finally:
        index.links = links
    hops: list[Hop] = []
    seen: set[int] = set()
    for level, node in reads:
        if not hops or hops[-1].level != level:
            seen = {node}
        looked_at = [n for n in links[node][level] if n not in seen]
        seen.update(looked_at)
        hops.append(Hop(level, node, looked_at, float(((index.vectors[node] - query) ** 2).sum())))
    return hops


class _Watched(list[Any]):
    """A node's links, which note in which layer they are read."""

    def __init__(self, known: Any, node: int, reads: list[tuple[int, int]]) -> None:
        super().__init__(known)
        self.node, self.reads = node, reads

    def __getitem__(self, level: Any) -> Any:
        if (level, self.node) not in self.reads[-1:]:
            self.reads.append((level, self.node))
        return super().__getitem__(level)


class _Hnswlib:
    """hnswlib behind the methods of exercise 1.7."""

    def __init__(self, dim: int, rows: int, M: int, ef_construction: int, seed: int) -> None:
        self.index = hnswlib.Index("l2", dim)
        self.index.init_index(rows, M=M, ef_construction=ef_construction, random_seed=seed)
        self.index.set_num_threads(1)

    def add(self, x: NDArray[np.float32]) -> None:
        self.index.add_items(x, num_threads=1)

    def search(self, queries: NDArray[np.float32], k: int, ef_search: int) -> tuple[Any, Any]:
        self.index.set_ef(max(ef_search, k))
        ids, distances = self.index.knn_query(queries, k, num_threads=1)
        return distances, ids.astype(np.int64)


class _Faiss:
    """faiss' HNSW behind the methods of exercise 1.7."""

    def __init__(self, dim: int, M: int, ef_construction: int) -> None:
        self.index = faiss.IndexHNSWFlat(dim, M)
        self.index.hnsw.efConstruction = ef_construction

    def add(self, x: NDArray[np.float32]) -> None:
        self.index.add(x)

    def search(self, queries: NDArray[np.float32], k: int, ef_search: int) -> tuple[Any, Any]:
        self.index.hnsw.efSearch = ef_search
        distances, ids = self.index.search(queries, k)
        return distances, ids


@contextmanager
def _one_thread() -> Iterator[None]:
    """faiss on one thread, as the others are."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _serialized(index: Any, x: NDArray[np.float32]) -> int:
    """The bytes of the index once it holds x."""
    index.train(x)
    index.add(x)
    return int(faiss.serialize_index(index).nbytes)

"""1.6 measured: recall and time against nprobe, and what a shift of the data does to an index trained before it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from aieng.data.corpus import Corpus
from aieng.data.synthetic import clusters
from aieng.figures.vectors import drift_bars, recall_latency
from aieng.lesson.environment import quick
from aieng.lesson.experiments.recall import Task, make_task, recall, timed
from aieng.lesson.finding import Finding, experiment, whose
from aieng.vectors.distances import knn
from aieng.vectors.kmeans import assign

EARLY = ("clothing", "food", "plant", "substance", "object", "vehicle")  # a shop's goods
LATE = ("person", "place", "event", "building")  # what the shop's new travel pages are about


@experiment
def recall_against_nprobe(
    ivf: Any, *, n: int | None = None, dim: int = 64, nlist: int = 256, nprobes: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
    n_queries: int = 60, k: int = 10, seed: int = 0,
) -> Finding:
    """Recall@k and seconds per query against nprobe, for the learner's index, faiss' with as many lists, and exact search.

    The numbers: `curves` {name: [(nprobe, recall, seconds per query)]}, `share` {nprobe: share of the vectors compared with a query},
    `exact` (seconds per query), and of the first and the last nprobe of the learner's curve `low`, `low_recall`, `low_ms`, `high`, ….
    """
    n = n or (10_000 if quick() else 50_000)
    task = make_task(*clusters(n, dim, n_clusters=n // 50, n_queries=n_queries, seed=seed), k=k)
    index = ivf(dim, nlist, seed=seed).train(task.database[: 64 * nlist])
    index.add(task.database)
    quantizer = faiss.IndexFlatL2(dim)
    peer = faiss.IndexIVFFlat(quantizer, dim, nlist)
    peer.train(task.database[: 64 * nlist])
    peer.add(task.database)
    mine = f"{whose(ivf)} IVF"
    curves: dict[str, list[tuple[int, float, float]]] = {mine: [], "faiss IVFFlat": []}
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # a batch this small gains nothing from more, and loses much on a busy machine
    for nprobe in nprobes:
        ids, seconds = timed(partial(index.search, task.queries, k, nprobe), n_queries)
        curves[mine].append((nprobe, recall(ids, task.truth), seconds))
        peer.nprobe = nprobe
        ids, seconds = timed(partial(peer.search, task.queries, k), n_queries)
        curves["faiss IVFFlat"].append((nprobe, recall(ids, task.truth), seconds))
    faiss.omp_set_num_threads(threads)
    exact = timed(partial(knn, task.queries, task.database, k), n_queries)[1]
    share = {nprobe: _share(index.centroids, task, nprobe) for nprobe in nprobes}
    (low, low_recall, low_time), (high, high_recall, high_time) = curves[mine][0], curves[mine][-1]
    enough = next(((p, r) for p, r, _ in curves[mine] if r >= 0.95), None)
    sentence = (
        f"{n:,} vectors in {nlist} lists. With nprobe = {low}, a query is compared with {share[low]:.1%} of them and finds "
        f"{low_recall:.0%} of its {k} true neighbours; with nprobe = {high}, with {share[high]:.0%}, and finds {high_recall:.1%}. The "
        f"time grows with it, from {1e3 * low_time:.2g} ms to {1e3 * high_time:.2g} ms a query ({high_time / low_time:.1f} times). "
        + (f"For a recall of 95 %, nprobe = {enough[0]} is enough: a query meets {share[enough[0]]:.1%} of the vectors. " if enough else "")
        + f"The course's compiled exact search takes {1e3 * exact:.2g} ms a query"
        + _overtaken(curves[mine], exact, curves["faiss IVFFlat"][-1][2])
    )
    shown: dict[str, list[tuple[Any, float, float]]] = {**curves, "exact search": [("all", 1.0, exact)]}
    return Finding(sentence, recall_latency(shown, k=k), {
        "curves": curves, "share": share, "exact": exact, "low": low, "low_recall": low_recall, "low_ms": 1e3 * low_time,
        "high": high, "high_recall": high_recall, "high_ms": 1e3 * high_time})


@experiment
def drift(ivf: Any, corpus: Corpus, *, nlist: int = 64, nprobe: int = 4, n_queries: int = 100, k: int = 10, seed: int = 0) -> Finding:
    """An index trained on a shop's goods, to which texts about people and places are added later.

    The numbers, recall@k at the same nprobe: `before`, `old` and `new` (queries of the old and of the new kind, after adding) and
    `retrained` (new kind, all vectors in a new index); `share_…`: vectors compared with a query in each of the four;
    `seconds_add`, `seconds_retrain`.
    """
    early, early_queries = _split(corpus, EARLY, n_queries, seed)
    late, late_queries = _split(corpus, LATE, n_queries, seed)
    index = ivf(early.shape[1], nlist, seed=seed).train(early)
    index.add(early)
    stages: dict[str, tuple[float, float]] = {}

    def measure(stage: str, searched: Any, task: Task) -> None:
        ids = searched.search(task.queries, k, nprobe)[1]
        stages[stage] = recall(ids, task.truth), _share(searched.centroids, task, nprobe)

    measure("before", index, make_task(early, early_queries, k))
    begin = time.perf_counter()
    index.add(late)
    seconds_add = time.perf_counter() - begin
    everything = np.vstack([early, late])
    old, new = make_task(everything, early_queries, k), make_task(everything, late_queries, k)
    measure("old", index, old)
    measure("new", index, new)
    begin = time.perf_counter()
    again = ivf(early.shape[1], nlist, seed=seed).train(everything)
    again.add(everything)
    seconds_retrain = time.perf_counter() - begin
    measure("retrained", again, new)
    labels = {"before": "goods only:<br>queries<br>for goods", "old": "pages added:<br>queries<br>for goods",
              "new": "pages added:<br>queries<br>for pages", "retrained": "retrained:<br>queries<br>for pages"}
    sentence = (
        "| | recall@10 | vectors compared with a query |\n|---|---|---|\n"
        + "\n".join(f"| {labels[s].replace('<br>', ' ')} | {r:.3f} | {share:.1%} |" for s, (r, share) in stages.items())
        + f"\n\nAdding {len(late):,} vectors to the {len(early):,} took {1e3 * seconds_add:.0f} ms and raised no error. Queries for goods "
        f"notice little ({stages['before'][0]:.2f}, then {stages['old'][0]:.2f}). Queries for the new kind find {stages['new'][0]:.0%} "
        f"of their neighbours, and meet {stages['new'][1] / stages['old'][1]:.1f} times as many vectors on the way: no centroid lies "
        f"among people and places, so they are spread over lists made for other things. Training again took {1e3 * seconds_retrain:.0f} "
        f"ms here (in production, every stored vector has to be sorted in anew) and brings {stages['retrained'][0]:.0%}."
    )
    data: dict[str, Any] = {s: r for s, (r, _) in stages.items()} | {f"share_{s}": share for s, (_, share) in stages.items()}
    series = {f"IVF, {nlist} lists, nprobe {nprobe}": [r for r, _ in stages.values()]}
    return Finding(sentence, drift_bars([labels[s] for s in stages], series, k=k),
                   data | {"seconds_add": seconds_add, "seconds_retrain": seconds_retrain})


def _overtaken(curve: Sequence[tuple[int, float, float]], exact: float, compiled: float) -> str:
    """The end of a sentence about exact search: from which nprobe on it is the faster one."""
    slower = [nprobe for nprobe, _, seconds in curve if seconds > exact]
    if not slower:
        return ", longer than any of these."
    return (f", which is less than this index needs from nprobe = {slower[0]} on: a loop in Python saves comparisons, but each step "
            f"costs more than in compiled code. faiss' compiled IVF takes {1e3 * compiled:.2g} ms at nprobe = {curve[-1][0]}.")


def _share(centroids: Any, task: Task, nprobe: int) -> float:
    """Share of the database that lies in the probed lists of a query, averaged over the queries."""
    sizes = np.bincount(assign(task.database, centroids), minlength=len(centroids))
    probes = knn(task.queries, centroids, nprobe)[1]
    return float(sizes[probes].sum(axis=1).mean() / len(task.database))


def _split(corpus: Corpus, categories: Sequence[str], n_queries: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The vectors of some categories: those to store, and `n_queries` to ask with."""
    rows = np.array([i for i, p in enumerate(corpus.passages) if p.category in categories])
    vectors = corpus.embeddings[np.random.default_rng(seed).permutation(rows)]
    return vectors[n_queries:], vectors[:n_queries]

"""Section 01: our indexes beside faiss and hnswlib, on 100,000 clustered vectors of 128 dimensions, 1,000 queries, k = 10."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import faiss
import hnswlib
import numpy as np
from numpy.typing import NDArray

from aieng.data.synthetic import clusters
from aieng.vectors.distances import knn
from aieng.vectors.hnsw import HNSW
from aieng.vectors.ivf import IVFIndex
from aieng.vectors.product_quantizer import ProductQuantizer
from benchmarks.harness import Row, compare, less_is_better, main, more_is_better

K = 10
M_PIECES = 16
NLIST, NPROBE = 256, 16
M_LINKS, EF_CONSTRUCTION, EF_SEARCH = 16, 100, 64


class Task:
    """The data and the exact answers."""

    def __init__(self) -> None:
        self.x, self.queries = clusters()
        self.truth = knn(self.queries, self.x, K)[1]

    def recall(self, ids: NDArray[Any]) -> float:
        """Share of the true 10 nearest neighbours found."""
        return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(ids.tolist(), self.truth.tolist())]))


def exact(task: Task, tag: str) -> Iterator[Row]:
    index: Any = faiss.IndexFlatL2(task.x.shape[1])
    index.add(task.x)
    yield compare(f"exact k-NN{tag}", "faiss IndexFlatL2", lambda: knn(task.queries, task.x, K), lambda: index.search(task.queries, K),
                  work=len(task.queries), unit="queries/s", target=0.8)


def product_quantization(task: Task, tag: str) -> Iterator[Row]:
    dim = task.x.shape[1]
    theirs: Any = faiss.IndexPQ(dim, M_PIECES, 8)

    def build_ours() -> tuple[ProductQuantizer, NDArray[np.uint8]]:
        quantizer = ProductQuantizer(M_PIECES).train(task.x)
        return quantizer, quantizer.encode(task.x)

    def build_theirs() -> None:
        theirs.reset()
        theirs.train(task.x)
        theirs.add(task.x)

    yield compare(f"PQ train + encode, M={M_PIECES}{tag}", "faiss IndexPQ", build_ours, build_theirs, work=len(task.x), unit="vectors/s",
                  target=0.7, repeats=3)
    ours, codes = build_ours()
    yield compare(f"PQ search, M={M_PIECES}{tag}", "faiss IndexPQ", lambda: ours.search(task.queries, codes, K),
                  lambda: theirs.search(task.queries, K), work=len(task.queries), unit="queries/s", target=1.0)
    yield more_is_better(f"PQ recall@10{tag}", "faiss IndexPQ", task.recall(ours.search(task.queries, codes, K)[1]),
                         task.recall(theirs.search(task.queries, K)[1]), "share")
    yield less_is_better(f"PQ bytes per vector{tag}", "faiss IndexPQ", (codes.nbytes + ours.codebooks.nbytes) / len(task.x),
                         serialized_bytes(theirs) / len(task.x), "bytes")


def inverted_file(task: Task, tag: str) -> Iterator[Row]:
    dim = task.x.shape[1]
    ours = IVFIndex(dim, NLIST).train(task.x)
    ours.add(task.x)
    theirs: Any = faiss.IndexIVFFlat(faiss.IndexFlatL2(dim), dim, NLIST)
    theirs.train(task.x)
    theirs.add(task.x)
    theirs.nprobe = NPROBE
    name = f"IVF-Flat, nlist={NLIST}, nprobe={NPROBE}"
    yield compare(f"{name}{tag}", "faiss IndexIVFFlat", lambda: ours.search(task.queries, K, NPROBE),
                  lambda: theirs.search(task.queries, K), work=len(task.queries), unit="queries/s", target=1.0)
    yield more_is_better(f"IVF recall@10{tag}", "faiss IndexIVFFlat", task.recall(ours.search(task.queries, K, NPROBE)[1]),
                         task.recall(theirs.search(task.queries, K)[1]), "share")
    yield less_is_better(f"IVF bytes per vector{tag}", "faiss IndexIVFFlat", ours.nbytes / len(task.x),
                         serialized_bytes(theirs) / len(task.x), "bytes")


def graph(task: Task, tag: str, threads: int) -> Iterator[Row]:
    n, dim = task.x.shape
    built: dict[str, Any] = {}

    def build_ours() -> None:
        built["ours"] = HNSW(dim, M_LINKS, EF_CONSTRUCTION)
        built["ours"].add(task.x)

    def build_theirs() -> None:
        built["theirs"] = hnswlib.Index("l2", dim)
        built["theirs"].init_index(n, M=M_LINKS, ef_construction=EF_CONSTRUCTION, random_seed=0)
        built["theirs"].set_num_threads(threads)
        built["theirs"].add_items(task.x)

    yield compare(f"HNSW build, M={M_LINKS}, ef_construction={EF_CONSTRUCTION}{tag}", "hnswlib", build_ours, build_theirs, work=n,
                  unit="vectors/s", target=0.4, repeats=2)
    ours, theirs = built["ours"], built["theirs"]
    theirs.set_ef(EF_SEARCH)
    yield compare(f"HNSW search, ef_search={EF_SEARCH}{tag}", "hnswlib", lambda: ours.search(task.queries, K, EF_SEARCH),
                  lambda: theirs.knn_query(task.queries, K, num_threads=threads), work=len(task.queries), unit="queries/s", target=0.6,
                  repeats=15)
    yield more_is_better(f"HNSW recall@10{tag}", "hnswlib", task.recall(ours.search(task.queries, K, EF_SEARCH)[1]),
                         task.recall(theirs.knn_query(task.queries, K, num_threads=threads)[0]), "share")
    yield less_is_better(f"HNSW bytes per vector{tag}", "hnswlib", ours.nbytes / n, theirs.index_file_size() / n, "bytes")


def serialized_bytes(index: Any) -> int:
    return int(faiss.serialize_index(index).nbytes)


def measure(threads: int) -> list[Row]:
    faiss.omp_set_num_threads(threads)
    task, tag = Task(), f" · {threads} thread{'s' if threads > 1 else ''}"
    return [*exact(task, tag), *product_quantization(task, tag), *inverted_file(task, tag), *graph(task, tag, threads)]


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """faiss' C++ code prints warnings to standard output, where JSON is expected."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def measure_quietly(threads: int) -> list[Row]:
    """faiss and hnswlib print to standard output, which belongs to the rows."""
    with stdout_to_stderr():
        return measure(threads)


if __name__ == "__main__":
    main(measure_quietly, __doc__)

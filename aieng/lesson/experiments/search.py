"""Experiments of 1.8: latency per stage, real queries, and payload inside the index against beside it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from aieng.data.corpus import Corpus
from aieng.figures.vectors import stage_bars
from aieng.lesson.finding import Finding, experiment
from aieng.models.minilm import MiniLM
from aieng.vectors.hnsw import HNSW
from aieng.vectors.search_engine import DocumentStore, FlatIndex, SearchResult

QUERIES = ("something to keep soup warm", "an animal that eats termites", "a light dress for a hot day", "where the French parliament sits",
           "a tool for cutting wood", "the physicist who explained relativity", "a sweet drink", "shoes for running")


def prefer_cheap_and_literal(query: str, results: list[SearchResult]) -> list[float]:
    """A reranker of business rules: words shared with the title count, and so does a low price."""
    words = set(query.lower().split())
    place = np.linspace(1.0, 0.0, len(results))
    return [float(p + 0.3 * len(words & set(r.title.lower().split())) - 0.002 * (r.price or 0.0)) for p, r in zip(place, results)]


def _store(corpus: Corpus) -> DocumentStore:
    store = DocumentStore()
    store.insert(corpus.passages)
    return store


@experiment
def measure_stages(SearchEngine: Any, corpus: Corpus, encoder: MiniLM) -> Finding:
    """Median seconds of each stage over some queries, exact index against HNSW."""
    store = _store(corpus)
    graph = HNSW(corpus.embeddings.shape[1])
    graph.add(corpus.embeddings)
    timings: dict[str, dict[str, float]] = {}
    for name, index in (("exact index", FlatIndex(corpus.embeddings)), ("HNSW", graph)):
        engine = SearchEngine(encoder.encode, index, store, prefer_cheap_and_literal)
        engine.search(QUERIES[0])  # warm up: compiled code, caches
        runs = []
        for query in QUERIES:
            engine.search(query)
            runs.append(dict(engine.timings))
        timings[name] = {stage: float(np.median([r[stage] for r in runs])) for stage in runs[0]}
    total = sum(timings["HNSW"].values())
    slowest = max(timings["HNSW"], key=lambda s: timings["HNSW"][s])
    return Finding(
        f"A query takes {1e3 * total:.1f} ms with HNSW, and {100 * timings['HNSW'][slowest] / total:.0f} % of that is *{slowest}*. The "
        f"search itself takes {1e6 * timings['HNSW']['ann']:.0f} µs, exact search {1e6 * timings['exact index']['ann']:.0f} µs: over "
        f"{len(corpus):,} passages the index is not what your user waits for.",
        stage_bars(timings), {"timings": timings, "total": total})


@experiment
def try_queries(SearchEngine: Any, corpus: Corpus, encoder: MiniLM, queries: list[tuple[str, Any]]) -> Finding:
    """What the engine answers to real queries, as a table."""
    engine = SearchEngine(encoder.encode, FlatIndex(corpus.embeddings), _store(corpus))
    rows = ["| query | filter | answers, best first |", "|---|---|---|"]
    best = {}
    for query, filters in queries:
        results = engine.search(query, 3, filters)
        best[query] = [r.title for r in results]
        rows.append(f"| {query} | {filters or 'none'} | {_titles(results)} |")
    return Finding("\n".join(rows), data=best)


@experiment
def compare_reranking(SearchEngine: Any, corpus: Corpus, encoder: MiniLM, queries: tuple[str, ...] = QUERIES[:4]) -> Finding:
    """The first three answers without and with `prefer_cheap_and_literal`. The numbers: `moved` (share of answers that are others)."""
    store, index = _store(corpus), FlatIndex(corpus.embeddings)
    engines = [SearchEngine(encoder.encode, index, store, rerank) for rerank in (None, prefer_cheap_and_literal)]
    lines, kept = ["| query | as the index ranks them | reranked |", "|---|---|---|"], []
    for query in queries:
        plain, ranked = (engine.search(query, 3) for engine in engines)
        kept.append(len({r.id for r in plain} & {r.id for r in ranked}) / max(1, len(plain)))
        lines.append(f"| {query} | {_titles(plain)} | {_titles(ranked)} |")
    moved = 1 - float(np.mean(kept))
    return Finding("\n".join([*lines, "", f"{moved:.0%} of the answers were not among the index's first three: they came up from the 50 "
                              "candidates, which is why the cut to k comes last."]), data={"moved": moved})


def _titles(results: list[SearchResult]) -> str:
    return " · ".join(f"**{r.title}**" + (f" ({r.price:g} €)" if r.price is not None else "") for r in results) or "nothing"


@experiment
def measure_payload(corpus: Corpus, payload_bytes: int = 8192, n: int = 8000, repeats: int = 7) -> Finding:
    """Scan the same vectors lying side by side, and with a payload between them."""
    dim = corpus.embeddings.shape[1]
    rows = np.resize(np.arange(len(corpus)), n)
    beside = np.ascontiguousarray(corpus.embeddings[rows])
    records = np.zeros(n, np.dtype([("vector", np.float32, (dim,)), ("payload", np.uint8, (payload_bytes,))]))
    records["vector"] = beside
    query = corpus.embeddings[0]
    seconds: dict[str, list[float]] = {"vectors only": [], "payload between them": []}
    for _ in range(repeats):
        for name, vectors in (("vectors only", beside), ("payload between them", records["vector"])):
            started = time.perf_counter()
            scores = np.einsum("nd,d->n", vectors, query)
            seconds[name].append(time.perf_counter() - started)
            assert np.isfinite(scores).all()
    best = {name: min(s) for name, s in seconds.items()}
    ratio = best["payload between them"] / best["vectors only"]
    return Finding(
        f"Scanning {n:,} vectors takes {1e3 * best['vectors only']:.2f} ms side by side and "
        f"{1e3 * best['payload between them']:.2f} ms with {payload_bytes // 1024} kB of payload between them: {ratio:.1f} times as "
        f"long, in {records.nbytes / 1e6:.0f} MB instead of {beside.nbytes / 1e6:.0f} MB of memory.",
        data={"n": n, "ratio": ratio, "bytes_inside": records.nbytes, "bytes_beside": beside.nbytes})

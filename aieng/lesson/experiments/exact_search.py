"""1.3 measured: what exact search costs in time and memory, and what rounding does to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from numpy.typing import ArrayLike, NDArray

from aieng.figures.vectors import fit_slope, scaling_plot
from aieng.lesson.environment import quick
from aieng.lesson.experiments.recall import recall
from aieng.lesson.finding import Finding, experiment, whose
from aieng.vectors.distances import knn as course_knn

_BUDGET = 0.1  # seconds a query may take before a person notices the wait
_SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 200_000)
_DIM = 384  # of the embeddings in this notebook, for the extrapolations


@experiment
def time_against_rows(
    knn: Any, *, sizes: tuple[int, ...] | None = None, dim: int = 128, n_queries: int = 16, k: int = 10, seed: int = 0,
) -> Finding:
    """Seconds of a batch of queries against the number of rows, for the learner's knn, the course's and faiss.

    `sizes` are by default 1,000 to 200,000 rows (30,000 at the quick pace).
    The numbers: `sizes`, `seconds` ({name: one number per size}, for the whole batch), `slope`, `growth` (of the time, between the last
    two sizes) and `rows_growth` (of the rows), `rate` (numbers a second), `rows_in_budget` (rows of 384 numbers that one query of a batch
    gets through in 100 ms) and `seconds_for_100m` (of one query among 100 million such rows).
    """
    sizes = sizes or (_SIZES[:4] if quick() else _SIZES)
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((max(sizes), dim), dtype=np.float32)
    asked = rng.standard_normal((n_queries, dim), dtype=np.float32)
    runs: dict[str, Callable[[NDArray[np.float32]], Any]] = {
        f"{whose(knn)} knn": lambda x: knn(asked, x, k),
        "the course's knn": lambda x: course_knn(asked, x, k),  # one curve where both are the same
    }
    seconds = {name: [_fastest(lambda run=run, n=n: run(rows[:n])) for n in sizes] for name, run in runs.items()}  # type: ignore[misc]
    seconds["faiss"] = [_time_faiss(rows[:n], asked, k) for n in sizes]

    mine = next(iter(seconds))
    slope, _ = fit_slope(sizes, seconds[mine])
    growth, rows_growth = seconds[mine][-1] / seconds[mine][-2], sizes[-1] / sizes[-2]
    per_query = seconds[mine][-1] / n_queries
    rate = sizes[-1] * dim / per_query
    rows_in_budget, seconds_for_100m = _BUDGET * rate / _DIM, 100_000_000 * _DIM / rate
    sentence = (
        f"{mine.capitalize()} takes {1e3 * per_query:.2g} ms a query for {sizes[-1]:,} rows of {dim} numbers (in "
        f"batches of {n_queries}), faiss {1e3 * seconds['faiss'][-1] / n_queries:.2g} ms. Its fitted slope is {slope:.2f}; 1 means "
        "ten times the rows, ten times the time"
        + (", and small databases flatten the line, since every call has a fixed cost" if slope < 0.95
           else ", and large arrays leave the processor's cache, which bends the line upwards" if slope > 1.05 else "")
        + f". From {sizes[-2]:,} to {sizes[-1]:,} rows, {rows_growth:.2g} times as many, the time grows {growth:.2g}-fold. "
        f"What counts is rows × dimensions: at this rate ({rate / 1e9:.2g} billion numbers a second), {1e3 * _BUDGET:.0f} ms "
        f"are enough for about {_rounded(rows_in_budget):,} rows of {_DIM} numbers. A hundred million rows would take about "
        f"{seconds_for_100m:.2g} s a query and {memory_gigabytes(100_000_000, _DIM):,.0f} GB: extrapolated, not run."
    )
    return Finding(sentence, scaling_plot(sizes, seconds),
                   {"sizes": sizes, "seconds": seconds, "slope": slope, "growth": growth, "rows_growth": rows_growth, "rate": rate,
                    "rows_in_budget": _rounded(rows_in_budget), "seconds_for_100m": seconds_for_100m})


@experiment
def common_offset(
    knn: Any, *, offsets: tuple[float, ...] = (0.0, 10.0, 100.0, 1_000.0), n: int = 4_000, dim: int = 32, n_queries: int = 50,
    k: int = 10, seed: int = 0,
) -> Finding:
    """Recall of a float32 knn when all points move by the same offset; the truth is computed in float64 from the same inputs.

    The numbers: `yours` and `formula` ({offset: recall@k}); `formula` is the expanded square without centring.
    """
    rng = np.random.default_rng(seed)
    rows, asked = rng.standard_normal((n, dim), dtype=np.float32), rng.standard_normal((n_queries, dim), dtype=np.float32)
    mine: dict[float, float] = {}
    plain: dict[float, float] = {}
    for offset in offsets:
        x, q = (rows + np.float32(offset)), (asked + np.float32(offset))
        truth = np.stack([np.argsort(((x.astype(np.float64) - row) ** 2).sum(axis=1))[:k] for row in q.astype(np.float64)])
        mine[offset] = recall(knn(q, x, k)[1], truth)
        expanded = (q**2).sum(axis=1)[:, None] - 2 * q @ x.T + (x**2).sum(axis=1)
        plain[offset] = recall(np.argsort(expanded, axis=1)[:, :k], truth)
    listed = "\n".join(f"| {offset:,.0f} | {mine[offset]:.3f} | {plain[offset]:.3f} |" for offset in offsets)
    far, who = offsets[-1], whose(knn)
    verdict = (
        f"{who.capitalize()} knn does not mind: the offset is gone before anything is squared." if mine[far] > 0.99 else
        f"{who.capitalize()} knn loses neighbours as the formula does: subtract the database's mean from both sides first."
    )
    sentence = (
        f"| offset | recall@{k} of {who} knn | of the plain formula |\n|---|---|---|\n{listed}\n\n"
        f"At an offset of {far:,.0f}, squared lengths are about {dim * far**2:.0e}, and the steps between float32 numbers "
        f"of that size are {float(np.spacing(np.float32(dim * far**2))):.2g}; the true distances are around {2 * dim}. {verdict}"
    )
    return Finding(sentence, None, {"yours": mine, "formula": plain})


def memory_gigabytes(rows: int, dim: int) -> float:
    """Gigabytes (10⁹ bytes) of `rows` float32 vectors."""
    return rows * dim * np.dtype(np.float32).itemsize / 1e9


def search_by(knn: Any, metric: str) -> Callable[[ArrayLike, ArrayLike, int], tuple[Any, Any]]:
    """A search for one query (dim,) out of a knn for batches, as the corpus explorer wants it."""

    def search(query: ArrayLike, rows: ArrayLike, k: int) -> tuple[Any, Any]:
        scores, ids = knn(np.asarray(query)[None], rows, k, metric)
        return scores[0], ids[0]

    return search


def _fastest(call: Callable[[], Any], repeats: int = 7, patience: float = 0.3) -> float:
    """Seconds of the fastest of three runs, or up to `repeats` while they take less than `patience` seconds together."""
    seconds: list[float] = []
    while len(seconds) < 3 or (len(seconds) < repeats and sum(seconds) < patience):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def _time_faiss(rows: NDArray[np.float32], asked: NDArray[np.float32], k: int) -> float:
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    return _fastest(lambda: index.search(asked, k))


def _rounded(value: float) -> int:
    """Two digits: more would claim a precision that an extrapolation has not."""
    return int(float(f"{value:.2g}"))

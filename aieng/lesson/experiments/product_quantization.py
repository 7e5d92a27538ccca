"""1.5 measured: recall against bytes per vector, product quantization beside scalar quantization."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aieng.figures.vectors import bytes_recall, reconstruction
from aieng.lesson.environment import quick
from aieng.lesson.experiments.recall import hold_out, recall
from aieng.lesson.finding import Finding, experiment
from aieng.vectors.distances import knn


@experiment
def bytes_against_recall(
    product_quantizer: Any, x: NDArray[np.float32], *, pieces: Iterable[int] = (24, 48, 96, 192), n_queries: int = 200, n_iter: int = 6,
    seed: int = 0,
) -> Finding:
    """Recall@10 of PQ with M bytes and of scalar quantization with as many bytes, on held-out queries.

    The numbers: `pq` and `sq` ({bytes per vector: recall}), the same singly as `pq_48`, `sq_48` …, `float_bytes`, `rows`, and
    `codebook_bytes` (all codebooks of one quantizer).
    """
    if quick():
        x, n_queries, n_iter = x[:1000], min(n_queries, 50), 2
    task = hold_out(x, n_queries, seed=seed)
    dim = task.database.shape[1]
    pq, sq = {}, {}
    for m in pieces:
        quantizer = product_quantizer(m, nbits=8, n_iter=n_iter, seed=seed).train(task.database)
        pq[m] = recall(quantizer.search(task.queries, quantizer.encode(task.database), task.k)[1], task.truth)
    for bits in (1, 2, 4, 8):
        sq[dim * bits // 8] = recall(knn(task.queries, _rounded(task.database, bits), task.k)[1], task.truth)
    points = [(f"PQ M={m}", float(m), r) for m, r in pq.items()] + [(f"SQ {8 * size // dim} bit", float(size), r) for size, r in sq.items()]
    codebook_bytes = 256 * dim * 4
    shared = [size for size in sq if size in pq]
    versus = "; ".join(f"at {size} bytes PQ {pq[size]:.2f}, SQ {sq[size]:.2f}" for size in shared)
    smallest = min(pq)
    sentence = (
        f"Recall@{task.k} on {len(task.database):,} real embeddings of {dim} numbers: {versus}. With {smallest} bytes, "
        f"{4 * dim / smallest:.0f} times smaller than float32, PQ still finds {pq[smallest]:.0%}; scalar quantization has no setting "
        f"below one bit a number ({dim // 8} bytes). Its 8 bits ({dim} bytes) reach {sq[dim]:.2f}. "
        f"The codebooks take {codebook_bytes / 1e3:,.0f} kB on top, whatever M is: {codebook_bytes / len(task.database):.0f} bytes a "
        f"vector here, {codebook_bytes / 1e6:.1f} at a million vectors."
    )
    return Finding(sentence, bytes_recall(points, k=task.k, float_bytes=4 * dim),
                   {"pq": pq, "sq": sq, **{f"pq_{size}": r for size, r in pq.items()}, **{f"sq_{size}": r for size, r in sq.items()},
                    "float_bytes": 4 * dim, "codebook_bytes": codebook_bytes, "rows": len(task.database)})


@experiment
def reconstruct(quantizers: Mapping[int, Any], vector: NDArray[np.float32], title: str) -> Finding:
    """One vector, and what quantizers with different M make of it; the numbers: `errors` {M: share of the squared length}."""
    restored = {m: np.asarray(q.decode(q.encode(vector[None])))[0] for m, q in quantizers.items()}
    errors = {m: float(((vector - r) ** 2).sum() / (vector**2).sum()) for m, r in restored.items()}
    told = ", ".join(f"{errors[m]:.0%} with {m} bytes" for m in sorted(errors))
    return Finding(f"*{title}*: the part of its squared length that is lost falls with every catalogue you add: {told}.",
                   reconstruction(vector, restored), {"errors": errors})


def train_quantizers(product_quantizer: Any, x: NDArray[np.float32], pieces: Iterable[int], n_iter: int = 6) -> dict[int, Any]:
    """One trained quantizer per M, for the pictures; 6 bits a piece, so that a catalogue fits on a screen."""
    return {m: product_quantizer(m, nbits=6, n_iter=2 if quick() else n_iter).train(x) for m in pieces}


def _rounded(x: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Scalar quantization to 2**bits equal cells per dimension, decoded to the middle of each cell.

    The 8-bit form of 1.4 puts its values on the ends of the range; with 1 or 2 bits the middles are much the better choice.
    """
    low, high = x.min(axis=0), x.max(axis=0)
    step = np.maximum((high - low) / 2**bits, np.finfo(np.float32).tiny)
    cell = np.minimum((x - low) // step, 2**bits - 1)
    return np.asarray(low + (cell + 0.5) * step, dtype=np.float32)

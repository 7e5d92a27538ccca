"""1.4 measured: bytes and recall of one byte a number, and what a badly chosen range does."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from aieng.figures.scalar_quantization import ruler
from aieng.figures.vectors import bytes_recall
from aieng.lesson.experiments.recall import Task, hold_out, recall
from aieng.lesson.finding import Finding, experiment, whose
from aieng.vectors.distances import knn

_FAISS = {"faiss SQ8": faiss.ScalarQuantizer.QT_8bit, "faiss SQ6": faiss.ScalarQuantizer.QT_6bit,
          "faiss SQ4": faiss.ScalarQuantizer.QT_4bit}


@experiment
def bytes_and_recall(scalar_quantizer: Any, x: NDArray[np.float32], *, n_queries: int = 200, seed: int = 0) -> Finding:
    """Recall@10 and bytes per vector of the learner's quantizer, float16 and faiss' scalar quantizers, on held-out queries.

    The numbers: `yours`, `float16`, `sq8`, `sq6`, `sq4` (recall), `bytes` (of one vector of yours), `rows`, `error_in_steps` (the
    largest error on the database).
    """
    task = hold_out(x, n_queries, seed=seed)
    dim = task.database.shape[1]
    quantizer = scalar_quantizer().train(task.database)
    codes = quantizer.encode(task.database)
    decoded = quantizer.decode(codes)
    size = codes.nbytes // len(codes)
    worst = float((np.abs(decoded - task.database) / np.where(quantizer.step > 0, quantizer.step, 1)).max())
    yours, half = _recall_of(task, decoded), _recall_of(task, task.database.astype(np.float16))
    theirs = {name: _faiss_recall(task, kind) for name, kind in _FAISS.items()}
    who = whose(scalar_quantizer)
    points = [(whose(scalar_quantizer, alone=True), float(size), yours), ("float16", 2.0 * dim, half)]
    points += [(name, bits * dim / 8, theirs[name]) for name, bits in zip(_FAISS, (8, 6, 4))]
    sentence = (
        f"On {len(task.database):,} real embeddings, {who} quantizer turns {4 * dim:,} bytes into {size:,} and keeps "
        f"{yours:.2%} of the true ten nearest; faiss' 8 bits keep {theirs['faiss SQ8']:.2%}, 6 bits {theirs['faiss SQ6']:.2%}, "
        f"4 bits {theirs['faiss SQ4']:.2%}, float16 {half:.2%}. The largest error is {worst:.3f} steps; half a step is the limit. "
        f"Minimum and step add {8 * dim / 1e3:.1f} kB, once, however many rows there are."
    )
    return Finding(sentence, bytes_recall(points, k=task.k, float_bytes=4 * dim),
                   {"yours": yours, "float16": half, "sq8": theirs["faiss SQ8"], "sq6": theirs["faiss SQ6"], "sq4": theirs["faiss SQ4"],
                    "bytes": size, "rows": len(task.database), "error_in_steps": worst})


@experiment
def staircase(scalar_quantizer: Any, x: NDArray[np.float32], *, dimension: int = 0) -> Finding:
    """What goes into one dimension of a trained quantizer and what comes back; the numbers: `step`, `low`, `high`."""
    quantizer = scalar_quantizer().train(x)
    low, high = float(x[:, dimension].min()), float(x[:, dimension].max())
    step, middle = float(quantizer.step[dimension]), float(np.median(x[:, dimension]))
    values = np.linspace(low - 0.15 * (high - low), high + 0.15 * (high - low), 1500, dtype=np.float32)
    closer = np.linspace(middle - 5 * step, middle + 5 * step, 500, dtype=np.float32)

    def back(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = np.repeat(x[:1], len(numbers), axis=0)
        rows[:, dimension] = numbers
        return _through(quantizer, rows)[:, dimension]

    sentence = (
        f"Coordinate {dimension} runs from {low:.3f} to {high:.3f} in the corpus, so a step is {step:.5f}. Beyond the ends the "
        "line is flat: "
        "values outside the trained range come back as the nearest end, however far away they were."
    )
    figure = ruler(values, back(values), closer, back(closer), x[:, dimension], low, high, step)
    return Finding(sentence, figure, {"step": step, "low": low, "high": high})


@experiment
def unlucky_ranges(scalar_quantizer: Any, x: NDArray[np.float32], *, factor: float = 30.0, n_queries: int = 200, seed: int = 0) -> Finding:
    """Recall@10 of three ways to choose the range, all with 8 bits a number.

    The numbers, recall each: `per_dimension`, `shared` (one range for all dimensions), `outlier` (trained with one more row, whose
    entries are ± `factor` times the largest of the corpus); `marks`: how many of 256 marks a dimension then still uses.
    """
    task = hold_out(x, n_queries, seed=seed)
    largest = float(np.abs(task.database).max())
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=x.shape[1])
    faulty = (factor * largest * signs)[None].astype(np.float32)
    column = task.database.reshape(-1, 1)
    stretched = scalar_quantizer().train(np.vstack([task.database, faulty]))
    marks = float(np.mean([len(np.unique(codes)) for codes in np.asarray(stretched.encode(task.database)).T]))
    ways = {
        "per_dimension": _through(scalar_quantizer().train(task.database), task.database),
        "shared": _through(scalar_quantizer().train(column), column).reshape(task.database.shape),
        "outlier": _through(stretched, task.database),
    }
    found = {name: _recall_of(task, decoded) for name, decoded in ways.items()}
    error = {name: float(np.sqrt(((decoded - task.database) ** 2).mean())) for name, decoded in ways.items()}
    sentence = (
        "| ranges | recall@10 | typical error of a number |\n|---|---|---|\n"
        f"| one per dimension | {found['per_dimension']:.3f} | {error['per_dimension']:.1e} |\n"
        f"| one for all dimensions | {found['shared']:.3f} | {error['shared']:.1e} |\n"
        f"| one per dimension, one faulty row in training | {found['outlier']:.3f} | {error['outlier']:.1e} |\n\n"
        f"The faulty row's entries are {factor:.0f} times as large as the largest of the {len(task.database):,} others, which then "
        f"share about {marks:.0f} of the 256 marks of a dimension. Libraries therefore let you cut the range at quantiles (the middle "
        "99 %, say) instead of the very ends: few values get clipped, all others get finer steps."
    )
    return Finding(sentence, None, {**found, "error": error, "marks": marks})


def _through(quantizer: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(quantizer.decode(quantizer.encode(x)), dtype=np.float32)


def _recall_of(task: Task, database: NDArray[Any]) -> float:
    """Recall of an exact search over a lossy copy of the database."""
    return recall(knn(task.queries, database, task.k)[1], task.truth)


def _faiss_recall(task: Task, kind: int) -> float:
    index = faiss.IndexScalarQuantizer(task.database.shape[1], kind)
    index.train(task.database)
    index.add(task.database)
    return recall(index.search(task.queries, task.k)[1], task.truth)

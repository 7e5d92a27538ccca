"""1.3 Exact k nearest neighbours: visible properties and hints."""

from __future__ import annotations

import tracemalloc
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from aieng.lesson.checking import expect, expect_close, expect_dtype, expect_raises, expect_shape, hints, prop, untouched

METRICS = ("l2", "ip", "cosine")

hints(
    "1.3",
    "All three metrics come from the same table of shape (n_queries, n): `queries @ database.T`. Which numbers, one per query "
    "and one per row, have to be added to it for L2? And what has to be done to both inputs beforehand for cosine?",
    "Turn every metric into a cost whose *smallest* value is best (for similarities: minus the product). Then "
    "`np.argpartition(cost, k - 1, axis=1)[:, :k]` finds the k best in no order; take their costs with `np.take_along_axis`, "
    "argsort those, and reorder the ids.",
    "Refuse an unknown metric, other dimensions, k outside 1..n.\n"
    "l2: subtract the database's mean from both; cost = query squares (as a column) - 2 * product + row squares; not below 0.\n"
    "cosine: divide both by their lengths, by 1 where the length is 0; then as ip: cost = -product.\n"
    "argpartition, keep k, argsort the k, take scores along; undo the minus; float32 scores, int64 ids.",
)


def _points(n: int, dim: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def _ask(knn: Any, queries: Any, database: Any, k: int, metric: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The learner's scores and ids, after their shape was compared and with ids that can be used as rows."""
    found = knn(queries, database, k, metric)
    expect(found is not None, "Your function returned None: does it end without a `return`?")
    expect(isinstance(found, tuple | list) and len(found) == 2, "Return two arrays: `return scores, ids`.")
    expect_shape(found[0], (len(queries), k), "scores", "One row per query, one column per neighbour.")
    expect_shape(found[1], (len(queries), k), "ids", "One row per query, one column per neighbour.")
    scores, ids = (np.asarray(a) for a in found)
    expect(not (scores.dtype.kind in "iu" and ids.dtype.kind == "f"),
           "You returned (ids, scores); the order is (scores, ids), as in faiss.")
    expect_dtype(ids, np.int64, "ids", "Row numbers are whole numbers of 64 bits, as in faiss.")
    expect(ids.min() >= 0 and ids.max() < len(database),
           f"ids should be rows 0 to {len(database) - 1} of the database; yours go from {ids.min()} to {ids.max()}.")
    expect(np.isfinite(scores).all(), f"Under {metric} your scores hold NaN or infinity.")
    return scores, ids


def _by_subtraction(queries: NDArray[Any], database: NDArray[Any]) -> NDArray[np.float64]:
    """Squared distances the slow and safe way, (n_queries, n)."""
    rows = database.astype(np.float64)
    return np.stack([((rows - q) ** 2).sum(axis=1) for q in queries.astype(np.float64)])


@prop("1.3", "shapes and dtypes")
def shapes(knn: Any) -> None:
    x, q = _points(30, 6, 1), _points(5, 6, 2)
    for metric in METRICS:
        scores, _ = _ask(knn, q, x, 3, metric)
        expect_dtype(scores, np.float32, "scores")
        scores, _ = _ask(knn, q.astype(np.float64), x.astype(np.float64), 3, metric)
        expect_dtype(scores, np.float32, "scores", "float64 inputs give float32 scores too.")


@prop("1.3", "the example by hand")
def by_hand(knn: Any) -> None:
    query = np.array([[1.0, 0.0]])
    scores, ids = _ask(knn, query, np.array([[3.0, 4.0], [0.0, 0.0]]), 2, "l2")
    expect(not np.allclose(scores, [[1, np.sqrt(20)]]), "You took the square root; distances here are squared, as in faiss.")
    opposite, _ = _ask(knn, query, np.array([[3.0, 4.0], [-3.0, -4.0]]), 2, "l2")  # 20 and 32; centring changes nothing here
    for values, mistake in (([19, 31], "‖q‖² is missing. It never changes the order, but the distance is 1 short without it."),
                            ([-5, 7], "‖x‖² is missing: ‖q‖² − 2 q·x alone is not a distance."),
                            ([0, 7], "‖x‖² is missing: ‖q‖² − 2 q·x alone is not a distance."),
                            ([23, 29], "The factor 2 of the middle term is missing: ‖q‖² − 2 q·x + ‖x‖².")):
        expect(not np.allclose(np.sort(opposite), values),
               f"For the query (1, 0) and the rows ±(3, 4) you gave {values} instead of [20, 32]. {mistake}")
    expect_close(scores, [[1, 20]], "The query (1, 0) lies at squared distance 1 from (0, 0) and 20 from (3, 4).")
    expect(ids.tolist() == [[1, 0]], f"(0, 0) is row 1 and nearest, (3, 4) is row 0: ids [1, 0]; yours are {ids[0].tolist()}.")


@prop("1.3", "a point's nearest is itself")
def itself(knn: Any) -> None:
    x = _points(500, 8, 3)
    scores, ids = _ask(knn, x[100:110], x, 1, "l2")
    truth = _by_subtraction(x[100:110], x)
    expect(ids[0, 0] != truth[0].argmax(),
           f"Query 0 is row 100 of the database, yet your nearest is {ids[0, 0]}, which is the farthest of all. Do you sort the "
           "largest distance first?")
    for query, (found, row) in enumerate(zip(ids[:, 0], range(100, 110))):
        expect(found == row, f"Query {query} is row {row} of the database, yet your nearest is row {found}.")
    expect_close(scores, np.zeros((10, 1)), "The distance of a point to itself is 0.", atol=1e-3)


@prop("1.3", "best first")
def best_first(knn: Any) -> None:
    x, q = _points(3000, 8, 4), _points(6, 8, 5)
    for metric, sign in (("l2", 1), ("ip", -1), ("cosine", -1)):
        scores, _ = _ask(knn, q, x, 300, metric)
        steps = sign * np.diff(scores.astype(np.float64), axis=1)
        expect(not ((steps <= 0).all() and (steps < 0).any()), f"Under {metric} your scores come worst first: "
               + ("the smallest distance is the best." if metric == "l2" else "the largest similarity is the best."))
        worse = np.argwhere(steps < 0)
        expect(len(worse) == 0, f"Under {metric}, scores within a row should never get better; yours do at position "
               f"{worse[0][1] + 1 if len(worse) else 0}. `argpartition` does not sort what it selects.")


@prop("1.3", "the k nearest, and each with its own id")
def exact(knn: Any) -> None:
    x, q = _points(1000, 10, 6), _points(7, 10, 7)
    truth = _by_subtraction(q, x)
    scores, ids = _ask(knn, q, x, 20, "l2")
    expect_close(scores, np.sort(truth, axis=1)[:, :20], "These are not the 20 smallest squared distances.", rtol=1e-4, atol=1e-3)
    expect_close(np.take_along_axis(truth, ids, axis=1), scores,
                 "Your ids do not belong to your distances: reorder both in the same way.", rtol=1e-4, atol=1e-3)
    doubles = [len(set(row)) < 20 for row in ids.tolist()]
    expect(not any(doubles), "The same row came twice in one query's answer.")
    repeated = np.repeat(x[:10], 3, axis=0)
    _, ids = _ask(knn, q, repeated, 30, "l2")
    expect(all(sorted(row) == list(range(30)) for row in ids.tolist()),
           "Thirty rows, among them equal ones, and k = 30: every row should come exactly once. Do you look ids up by score?")


@prop("1.3", "inner product: larger is nearer")
def inner_product(knn: Any) -> None:
    x, q = _points(400, 6, 8), _points(4, 6, 9)
    truth = q.astype(np.float64) @ x.T.astype(np.float64)
    scores, ids = _ask(knn, q, x, 5, "ip")
    expect(not np.allclose(np.sort(scores), np.sort(truth)[:, :5], atol=1e-4),
           "For `ip` you returned the smallest products; the largest are nearest.")
    best = -np.sort(-truth, axis=1)[:, :5]
    expect(not np.allclose(scores, -best, atol=1e-4),
           "For `ip` your scores are minus the products: undo the sign before you return them.")
    cosines = truth / np.linalg.norm(q, axis=1)[:, None] / np.linalg.norm(x, axis=1)
    expect(not np.allclose(scores, -np.sort(-cosines, axis=1)[:, :5], atol=1e-4),
           "For `ip` you divided by the lengths; that is cosine.")
    expect_close(scores, best, "For `ip` the scores are the largest products q·x.", rtol=1e-4, atol=1e-4)
    expect_close(np.take_along_axis(truth, ids, axis=1), best, "For `ip` your ids do not belong to your scores.", rtol=1e-4, atol=1e-4)


@prop("1.3", "cosine ignores length")
def cosine(knn: Any) -> None:
    x, q = _points(300, 6, 10), _points(4, 6, 11)
    truth = (q / np.linalg.norm(q, axis=1, keepdims=True)).astype(np.float64) @ (x / np.linalg.norm(x, axis=1, keepdims=True)).T
    best = -np.sort(-truth, axis=1)[:, :8]
    scores, ids = _ask(knn, q, x, 8, "cosine")
    expect(not np.allclose(scores, 1 - best, atol=1e-4),
           "For `cosine` you returned 1 − cosine (a distance); return the similarity itself.")
    longer, _ = _ask(knn, 100 * q, x, 8, "cosine")
    expect(np.allclose(scores, longer, atol=1e-4),
           f"A query 100 times as long should get the same cosines, but {scores[0, 0]:.6g} became {longer[0, 0]:.6g}: divide "
           "by the length of the queries too, in float32.")
    stretched = x.copy()
    stretched[::2] *= 100
    longer, _ = _ask(knn, q, stretched, 8, "cosine")
    expect(np.allclose(scores, longer, atol=1e-4),
           "Making every other row 100 times as long changed your cosines: divide the rows of the database by their lengths too.")
    expect_close(scores, best, "These are not the largest cosines.", rtol=1e-4, atol=1e-4)
    expect_close(np.take_along_axis(truth, ids, axis=1), best, "For `cosine` your ids do not belong to your scores.",
                 rtol=1e-4, atol=1e-4)
    shorter, _ = _ask(knn, 1e-5 * q, 1e-5 * x, 8, "cosine")
    expect_close(shorter, best, "Vectors of length 0.00001 got other cosines than long ones. Did you add a small ε to the "
                 "length? Replace lengths of exactly 0 instead.", rtol=1e-4, atol=1e-4)


@prop("1.3", "a zero vector has cosine 0")
def zero_vector(knn: Any) -> None:
    x, q = _points(6, 4, 12), _points(2, 4, 13)
    x[2], q[1] = 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = knn(q, x, 6, "cosine")
    scores, ids = (np.asarray(a) for a in found)
    expect(not np.isnan(scores).any(),
           "A zero vector gave nan (0 / 0); define its similarity as 0: divide by 1 where the length is 0.")
    expect_close(scores[1], np.zeros(6), "The zero query has similarity 0 to every row.")
    expect_close(scores[0][ids[0] == 2], [0], "The zero row has similarity 0 to every query, and still is one of the 6 rows.")


@prop("1.3", "no distance below zero")
def not_negative(knn: Any) -> None:
    x = _points(300, 16, 14) + np.float32(100)
    scores, _ = _ask(knn, x, x, 5, "l2")
    lowest = float(scores.min())
    expect(lowest >= 0, f"Around the point (100, 100, …) rounding gave a squared distance of {lowest:.3g}: a square cannot be "
                        "negative, cut at 0.")
    slack = 1e-5 * 2 * float((x.astype(np.float64) ** 2).sum(axis=1).max())
    expect_close(scores, np.sort(_by_subtraction(x, x), axis=1)[:, :5],
                 f"At an offset of 100, rounding to float32 may cost you {slack:.2g}, but not this much.", rtol=1e-4, atol=slack)


class _LargestTensor(TorchFunctionMode):
    """Notices the largest tensor that torch makes, since tracemalloc cannot see it."""

    largest = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.largest = max(self.largest, made.untyped_storage().nbytes())
        return made


@prop("1.3", "memory for (n_queries, n), not (n_queries, n, dim)")
def memory(knn: Any) -> None:
    x, q = _points(2000, 150, 15), _points(50, 150, 16)
    allowed = 12 * x.nbytes
    for metric in METRICS:
        knn(q[:2], x[:20], 2, metric)  # imports and compiles what it needs
        tracemalloc.start()
        try:
            with _LargestTensor() as seen:
                knn(q, x, 5, metric)
            peak = max(tracemalloc.get_traced_memory()[1], seen.largest)
        finally:
            tracemalloc.stop()
        expect(peak < allowed, f"For 50 queries and 2,000 rows of 150 numbers, `{metric}` allocated {peak / 1e6:.0f} MB; an "
               f"array of (50, 2000, 150) float32 is {50 * 2000 * 150 * 4 / 1e6:.0f} MB. Use the matrix product instead of "
               "subtracting every pair.")


@prop("1.3", "inputs stay as they were")
def inputs_untouched(knn: Any) -> None:
    x, q = _points(50, 5, 17) + 2, _points(4, 5, 18)
    for metric in METRICS:
        with untouched(queries=q, database=x):
            knn(q, x, 3, metric)


@prop("1.3", "errors that say so")
def errors(knn: Any) -> None:
    x, q = _points(10, 4, 19), _points(2, 4, 20)
    expect_raises(ValueError, lambda: knn(q, x, 11), "k = 11 of 10 rows should raise ValueError.")
    expect_raises(ValueError, lambda: knn(q, x, 0), "k = 0 should raise ValueError.")
    expect_raises(ValueError, lambda: knn(q[:, :3], x, 2), "Queries of 3 numbers and rows of 4 should raise ValueError.")
    expect_raises(ValueError, lambda: knn(q[:, :1], x, 2), "Queries of 1 number and rows of 4 should raise ValueError.")
    expect_raises(ValueError, lambda: knn(q, x, 2, "manhattan"), "An unknown metric should raise ValueError.")

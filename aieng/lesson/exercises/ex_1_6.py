"""1.6 The inverted file: visible properties and hints."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aieng.lesson.checking import expect, expect_close, expect_raises, expect_shape, hints, prop, untouched
from aieng.vectors.kmeans import assign, kmeans

hints(
    "1.6",
    "Two questions are asked with the same tool: which centroid is nearest to a *vector* (in add), and which nprobe centroids are "
    "nearest to a *query* (in search). What must a list hold besides its vectors, so that a search can say which row of the "
    "database it found?",
    "In __init__ make nlist empty lists. add numbers the new rows on from ntotal, then goes list by list: "
    "`members = np.flatnonzero(lists == i)` are the new rows that belong there; put their vectors and their ids at the end of list i. "
    "search goes query by query: put the probed lists end to end, then it is the exact search of 1.3 among these candidates only.",
    "train: refuse too few rows; self.centroids = kmeans(…); return self.\n"
    "add: refuse when untrained or another dim; lists = assign(…); per list append vectors and ids; ntotal grows.\n"
    "search: refuse; results full of inf and -1; per query: the nprobe nearest centroids, candidates = their lists joined, squared "
    "distances, argsort, the first k of however many there are into the first columns.",
)


_HAND = np.array([[11.0], [1.0], [5.0], [12.0], [3.0]])  # lists {11, 12} around 11.5 and {1, 3, 5} around 3


def _points(n: int, dim: int, seed: int) -> NDArray[np.float32]:
    """Rows around (3, 3, …), where the nearest centroid and the one with the largest product are different ones."""
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32) + np.float32(3)


def _squares(queries: NDArray[Any], rows: NDArray[Any]) -> NDArray[np.float64]:
    """Squared distances (n_queries, n), the slow and safe way."""
    return np.stack([((rows.astype(np.float64) - q) ** 2).sum(axis=1) for q in np.asarray(queries, dtype=np.float64)])


def _made(ivf: Any, x: NDArray[Any], nlist: int, **kwargs: Any) -> Any:
    index = ivf(x.shape[1], nlist, **kwargs)
    trained = index.train(x)
    expect(trained is index, "`train` should return self, so that `IVFIndex(dim, nlist).train(x)` can be chained.")
    expect_shape(getattr(index, "centroids", None), (nlist, x.shape[1]), "centroids", "One centroid per list.")
    index.add(x)
    return index


def _ask(index: Any, queries: NDArray[Any], k: int, nprobe: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The learner's distances and ids, once they have the right form."""
    found = index.search(queries, k, nprobe)
    expect(found is not None, "`search` returned None: does it end without a `return`?")
    expect(isinstance(found, tuple | list) and len(found) == 2, "`search` returns two arrays: `return distances, ids`.")
    hint = "One row per query and k columns, also where the lists hold fewer than k vectors: fill up with inf and -1."
    expect_shape(found[0], (len(queries), k), "distances", hint)
    expect_shape(found[1], (len(queries), k), "ids", hint)
    distances, ids = (np.asarray(part) for part in found)
    expect(not (distances.dtype.kind in "iu" and ids.dtype.kind == "f"), "You returned (ids, distances); the order is (distances, ids).")
    expect(ids.dtype.kind in "iu", f"`ids` are whole numbers; yours have dtype {ids.dtype}.")
    expect(not np.isnan(distances).any(), "Your distances hold NaN.")
    return distances, ids


@prop("1.6", "the example by hand")
def by_hand(ivf: Any) -> None:
    index = _made(ivf, _HAND, 2)
    expect_close(np.sort(np.ravel(index.centroids)), [3, 11.5], "k-means on 1, 3, 5, 11 and 12 ends at 3 and 11.5.", rtol=1e-3)
    query = np.array([[7.5]])
    distances, ids = _ask(index, query, 1, 1)
    expect(ids[0, 0] != 2, "With nprobe = 1 you found 5, which lies in the list around 3; the query 7.5 is nearer to the centroid 11.5, "
                           "and only that list may be searched. Do you search all vectors?")
    expect(ids[0, 0] != 3, "In the list around 11.5 you chose 12; 11 is nearer to 7.5.")
    expect(ids[0, 0] == 0, f"With nprobe = 1 the query 7.5 finds 11, which is row 0; you gave id {ids[0, 0]}.")
    expect(not np.isclose(distances[0, 0], 3.5), "You gave the distance 3.5; distances are squared here: 12.25.")
    expect_close(distances[0, 0], 12.25, "The squared distance from 7.5 to 11 is 12.25.")
    distances, ids = _ask(index, query, 2, 2)
    expect(ids.tolist() == [[2, 0]], f"With nprobe = 2 the two nearest are 5 (row 2) and 11 (row 0); you gave ids {ids[0].tolist()}. "
                                     "Are the candidates of all probed lists sorted together?")
    expect_close(distances, [[6.25, 12.25]], "With nprobe = 2 the squared distances are 6.25 and 12.25.")


@prop("1.6", "short lists are filled up with inf and −1")
def filled_up(ivf: Any) -> None:
    distances, ids = _ask(_made(ivf, _HAND, 2), np.array([[7.5]]), 4, 1)
    expect(ids[0, :2].tolist() == [0, 3], f"The list around 11.5 holds rows 0 and 3, in this order; you gave {ids[0].tolist()}.")
    expect((ids[0, 2:] == -1).all(),
           f"Two vectors lie in the probed list, so of k = 4 places two are empty, with id -1; yours are {ids[0].tolist()}.")
    expect(np.isposinf(distances[0, 2:]).all(), f"Empty places have the distance inf; yours are {distances[0].tolist()}.")


@prop("1.6", "all lists together give the exact answer")
def all_lists(ivf: Any) -> None:
    x, q = _points(600, 6, 1), _points(9, 6, 2)
    distances, ids = _ask(_made(ivf, x, 12), q, 100, 12)
    truth = _squares(q, x)
    expect(ids.min() >= 0 and ids.max() < len(x),
           f"Ids are the numbers of the rows in order of adding, 0 to 599; yours go from {ids.min()} to {ids.max()}.")
    expect(not np.allclose(distances, np.sqrt(np.sort(truth)[:, :100]), rtol=1e-4), "You took the square root; distances are squared.")
    expect((np.diff(distances.astype(np.float64), axis=1) >= -1e-4).all(),
           "Distances should grow from left to right; yours do not. `argpartition` does not sort what it selects.")
    expect_close(distances, np.sort(truth)[:, :100], "With nprobe = nlist every vector is looked at, so these should be the 100 smallest "
                                                    "squared distances.", rtol=1e-4, atol=1e-3)
    expect_close(np.take_along_axis(truth, ids.astype(np.int64), axis=1), distances, "An id does not belong to its distance. A list has to "
                 "remember which rows it holds: the place inside the list is not the row.", rtol=1e-4, atol=1e-3)


@prop("1.6", "only the nprobe nearest lists are searched")
def probed_lists(ivf: Any) -> None:
    x, q = _points(800, 5, 3), _points(12, 5, 4)
    index = _made(ivf, x, 16)
    centroids = np.asarray(index.centroids, dtype=np.float64)
    lists, truth, near = _squares(x, centroids).argmin(axis=1), _squares(q, x), np.argsort(_squares(q, centroids), axis=1)
    for nprobe in (1, 3, 7):
        distances, ids = _ask(index, q, 8, nprobe)
        for row in range(len(q)):
            probed = near[row, :nprobe]
            want = np.sort(np.where(np.isin(lists, probed), truth[row], np.inf))[:8]
            if np.allclose(distances[row], want, rtol=1e-4, atol=1e-3):
                continue
            found = set(lists[ids[row][ids[row] >= 0]].tolist())
            told = f"Query {row}, nprobe = {nprobe}: "
            expect(not np.allclose(distances[row], np.sort(truth[row])[:8], rtol=1e-4, atol=1e-3),
                   told + "you gave the nearest of *all* vectors. Search only the lists of the nprobe nearest centroids.")
            for mistake, others in (("that are the *farthest* from the query", near[row, -nprobe:]),
                                    ("that are nearest to query 0; each query has its own", near[0, :nprobe])):
                elsewhere = set(others.tolist()) - set(probed.tolist())
                expect(not (found & elsewhere and found <= set(others.tolist())), told + f"you searched the lists {mistake}.")
            stray = sorted(found - set(probed.tolist()))
            expect(not stray, told + f"you found vectors of the lists {stray}, which are not among the {nprobe} nearest "
                   f"({sorted(probed.tolist())}). Nearest means the smallest distance to the centroid, and a vector lies in the list of "
                   "its nearest centroid.")
            expect(False, told + f"nearer vectors of the probed lists {sorted(probed.tolist())} were missed. Are all of them searched, and "
                   "their candidates sorted together?")


@prop("1.6", "ids go on from one add to the next")
def several_adds(ivf: Any) -> None:
    x, q = _points(300, 4, 5), _points(6, 4, 6)
    whole = _made(ivf, x, 8)
    index = ivf(4, 8).train(x)
    expect(index.ntotal == 0,
           f"After `train` alone the index holds nothing: ntotal is 0; yours is {index.ntotal}. Training only places the centroids.")
    before = np.array(index.centroids)
    for start, stop in ((0, 100), (100, 101), (101, 300)):
        index.add(x[start:stop])
        expect(index.ntotal == stop, f"After adding {stop} rows in all, ntotal should be {stop}; yours is {index.ntotal}.")
        distances, _ = _ask(index, x[:1], 1, 8)
        expect(np.isclose(distances[0, 0], 0, atol=1e-3),
               "Row 0 was added first and is no longer found after later adds: put new vectors at the end of the lists.")
    expect(np.array_equal(before, index.centroids), "`add` moved the centroids: it only sorts new vectors into the lists that are there.")
    _, ids = _ask(index, q, 5, 8)
    expect(np.array_equal(ids, _ask(whole, q, 5, 8)[1]),
           "300 rows in three parts should give the same ids as at once: number new rows on from ntotal.")


@prop("1.6", "centroids come from k-means")
def centroids(ivf: Any) -> None:
    centres = np.random.default_rng(7).uniform(-20, 20, size=(10, 3))
    x = (centres[np.arange(1000) % 10] + np.random.default_rng(8).normal(size=(1000, 3))).astype(np.float32)

    def error(places: Any) -> float:
        return float(_squares(x, np.asarray(places)).min(axis=1).mean())

    yours = np.median([error(ivf(3, 20, seed=s).train(x).centroids) for s in range(3)])
    ours = np.median([error(kmeans(x, 20, seed=s)) for s in range(3)])
    expect(yours < 1.25 * ours, f"The mean squared distance from a vector to your nearest centroid is {yours:.3g}; with k-means it is "
                                f"{ours:.3g}. Do you take random rows, or stop k-means too early?")
    expect(np.array_equal(ivf(3, 20, seed=5).train(x).centroids, ivf(3, 20, seed=5).train(x).centroids),
           "Training twice with the same seed gave other centroids: pass `self.seed` on.")


@prop("1.6", "what a search reads does not grow with the database")
def reads_little(ivf: Any) -> None:
    n, nlist = 20_000, 200
    x = np.random.default_rng(9).random((n, 2), dtype=np.float32)
    index = ivf(2, nlist).train(x[:2000])
    for start in range(0, n, 5_000):
        index.add(x[start : start + 5_000])
    query = x[77:78] + np.float32(1e-4)
    _ask(index, query, 5, 1)  # imports, compiles and sorts what it needs
    tracemalloc.start()
    try:
        index.search(query, 5, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = int((assign(x, index.centroids) == assign(query, index.centroids)[0]).sum())
    expect(peak < 0.9 * n, f"A search in one list of {size} vectors made arrays of {peak / 1e3:,.0f} kB together, in an index of {n:,}: "
           "something as long as the database, such as all distances or a mask over all rows. Keep the vectors of a list together, and "
           "touch only those.")


@prop("1.6", "inputs stay as they were")
def inputs_untouched(ivf: Any) -> None:
    x, q = _points(60, 3, 10), _points(4, 3, 11)
    index = ivf(3, 4)
    with untouched(x=x, queries=q):
        index.train(x)
        index.add(x)
        first, again = _ask(index, q, 3, 2), _ask(index, q, 3, 2)
    expect(np.array_equal(first[1], again[1]), "The same search twice gave different ids: search should not change the index.")


@prop("1.6", "errors that say so")
def errors(ivf: Any) -> None:
    x = _points(40, 3, 12)
    _ask(_made(ivf, x, 4), x, 1, 1)
    expect_raises(ValueError, lambda: ivf(3, 4).add(x), "`add` before `train` should raise ValueError.")
    expect_raises(ValueError, lambda: ivf(3, 4).search(x, 1), "`search` before `train` should raise ValueError.")
    expect_raises(ValueError, lambda: ivf(3, 4).train(x).search(x, 1), "Searching an empty index should raise ValueError.")
    expect_raises(ValueError, lambda: ivf(3, 41).train(x), "40 rows for 41 lists should raise ValueError.")
    index = _made(ivf, x, 4)
    for columns in (2, 1):
        expect_raises(ValueError, lambda given=x[:, :columns]: index.add(given),  # type: ignore[misc]
                      f"Adding rows of {columns} numbers to an index of dim 3 should raise ValueError.")
        expect_raises(ValueError, lambda given=x[:, :columns]: index.search(given, 1),  # type: ignore[misc]
                      f"Queries of {columns} numbers for an index of dim 3 should raise ValueError.")
    for nprobe in (0, 5):
        expect_raises(ValueError, lambda given=nprobe: index.search(x, 1, given),  # type: ignore[misc]
                      f"nprobe = {nprobe} of 4 lists should raise ValueError.")
    expect_raises(ValueError, lambda: index.search(x, 0, 1), "k = 0 should raise ValueError.")

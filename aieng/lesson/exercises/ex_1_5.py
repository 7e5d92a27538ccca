"""1.5 Product quantization: visible properties and hints."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aieng.lesson.checking import expect, expect_close, expect_dtype, expect_raises, expect_shape, hints, prop, untouched

hints(
    "1.5",
    "Which array holds \"piece m of every vector\"? `x.reshape(n, M, dsub)` has it as `[:, m]`. Train, encode and the tables are then one "
    "small job per piece, and you already have `kmeans` and `assign` for that job.",
    "encode: for each m, `assign(piece, self.codebooks[m])` is column m of the codes. decode: index the codebooks with two index arrays at "
    "once, `np.arange(M)` for the piece and `codes` for the centroid, then reshape. search: start with zeros of shape (nq, n) and add, for "
    "each m, the column of the table that each code names.",
    "train: check dim % M; cut; k-means per piece with ksub centroids; stack; return self.\n"
    "encode: refuse when not trained or another dimension; cut; assign per piece; stack as columns; uint8.\n"
    "decode: codebooks[arange(M), codes] is (n, M, dsub); reshape to (n, dim).\n"
    "distance_tables: (nq, M, 1, dsub) minus (M, ksub, dsub); square; sum the last axis.\n"
    "search: refuse k out of 1..n; tables; sum over m of tables[:, m][:, codes[:, m]]; the k smallest, sorted.",
)


def _example(pq: Any) -> Any:
    """The two catalogues of the text above: M = 2 pieces of 2 numbers, 1 bit each."""
    quantizer = pq(2, nbits=1)
    quantizer.codebooks = np.array([[[0, 0], [4, 4]], [[1, 0], [0, 3]]], dtype=np.float32)
    return quantizer


def _filled(pq: Any, M: int, nbits: int, dsub: int, seed: int) -> Any:
    quantizer = pq(M, nbits=nbits)
    quantizer.codebooks = np.random.default_rng(seed).normal(size=(M, 2**nbits, dsub)).astype(np.float32)
    return quantizer


def _data(n: int, dim: int, seed: int) -> NDArray[np.float32]:
    """Rows whose dimensions depend on each other, as those of real embeddings do."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=(n, dim)) @ rng.normal(size=(dim, dim)) / np.sqrt(dim), dtype=np.float32)


@prop("1.5", "shapes and dtypes")
def shapes(pq: Any) -> None:
    x = _data(300, 12, 1)
    quantizer = pq(3, nbits=4, n_iter=3)
    expect(quantizer.train(x) is quantizer, "`train` should return self, so that `ProductQuantizer(8).train(x)` can be chained.")
    expect_shape(quantizer.codebooks, (3, 16, 4), "codebooks", "M codebooks of 2**nbits centroids with dim / M numbers each.")
    expect_dtype(quantizer.codebooks, np.float32, "codebooks")
    codes = quantizer.encode(x[:7])
    expect_shape(codes, (7, 3), "codes", "One row a vector, one code a piece.")
    expect_dtype(codes, np.uint8, "codes", "A code of at most 8 bits in more than a byte gives the memory away again.")
    expect_shape(quantizer.decode(codes), (7, 12), "decode(codes)", "Lay the M centroids side by side.")
    expect_dtype(quantizer.decode(codes), np.float32, "decode(codes)")
    expect_shape(quantizer.distance_tables(x[:5]), (5, 3, 16), "distance_tables(queries)", "(queries, M, ksub).")
    distances, ids = quantizer.search(x[:5], codes, 2)
    expect_shape(distances, (5, 2), "distances", "One row per query.")
    expect_shape(ids, (5, 2), "ids", "One row per query.")
    expect_dtype(distances, np.float32, "distances")
    expect_dtype(ids, np.int64, "ids")


@prop("1.5", "the example by hand")
def by_hand(pq: Any) -> None:
    quantizer = _example(pq)
    codes = np.asarray(quantizer.encode(np.array([[1, 0, 0, 2]], dtype=np.float32)))
    expect(codes.tolist() == [[0, 1]], f"(1,0 | 0,2) is nearest to entry 0 of the first catalogue and entry 1 of the second: code "
                                       f"[0, 1]; yours is {codes.tolist()[0]}. Set `codebooks` must be enough to encode.")
    decoded = quantizer.decode(np.array([[0, 1]], dtype=np.uint8))
    expect_close(decoded, [[0, 0, 0, 3]], "Code (0, 1) decodes to (0,0 | 0,3): the centroids side by side.")
    query = np.array([[0, 1, 1, 1]], dtype=np.float32)
    expect_close(quantizer.distance_tables(query), [[[1, 25], [1, 5]]],
                 "The tables of the query (0,1 | 1,1) are [1, 25] and [1, 5]: squared distances, no root, no minus sign.")
    distances, _ = quantizer.search(query, np.array([[0, 1]], dtype=np.uint8), 1)
    expect_close(distances, [[6]], "The query (0,1 | 1,1) lies at squared distance 1 + 5 = 6 from code (0, 1).")


@prop("1.5", "pieces are consecutive, each with its own codebook")
def nearest_centroid(pq: Any) -> None:
    quantizer = _filled(pq, 4, 5, 3, seed=2)
    x = _data(60, 12, 3)
    codes = np.asarray(quantizer.encode(x))
    books = quantizer.codebooks

    def nearest(pieces: NDArray[np.float32], used: NDArray[np.float32]) -> NDArray[np.int64]:
        return ((pieces[:, :, None] - used) ** 2).sum(-1).argmin(-1)

    right = nearest(x.reshape(60, 4, 3), books)
    interleaved = nearest(np.stack([x[:, m::4] for m in range(4)], axis=1), books)
    shared = nearest(x.reshape(60, 4, 3), np.repeat(books[:1], 4, axis=0))
    expect(not np.array_equal(codes, interleaved),
           "Your piece m takes every M-th number (`x[:, m::M]`); piece m is numbers m*dsub to (m+1)*dsub, in a row.")
    expect(not np.array_equal(codes, shared), "You used codebook 0 for every piece: piece m looks into `codebooks[m]`.")
    wrong = np.argwhere(codes != right)
    expect(len(wrong) == 0, "A code is the *nearest* centroid of its piece"
           + (f"; vector {wrong[0][0]}, piece {wrong[0][1]}: you gave {codes[tuple(wrong[0])]}, the nearest is "
              f"{right[tuple(wrong[0])]}." if len(wrong) else "."))


@prop("1.5", "k-means made the codebooks")
def trained(pq: Any) -> None:
    import faiss

    x = _data(1500, 16, 4)
    oracle: Any = faiss.ProductQuantizer(16, 4, 5)
    with contextlib.redirect_stderr(io.StringIO()):
        oracle.train(x)
    theirs = float(((oracle.decode(oracle.compute_codes(x)) - x) ** 2).sum(1).mean())
    quantizer = pq(4, nbits=5).train(x)
    yours = float(((quantizer.decode(quantizer.encode(x)) - x) ** 2).sum(1).mean())
    expect(yours <= 1.02 * theirs, f"After encode and decode your vectors are off by {yours:.4g} (mean squared error), faiss' by "
           f"{theirs:.4g}. Does every piece get its own k-means with all rows, all 2**nbits centroids and `n_iter` rounds?")


@prop("1.5", "table distances equal decoded distances")
def asymmetric(pq: Any) -> None:
    quantizer = _filled(pq, 3, 8, 4, seed=5)
    rng = np.random.default_rng(6)
    codes = rng.integers(0, 256, size=(80, 3), dtype=np.uint8)
    queries = _data(4, 12, 7)
    decoded = quantizer.codebooks[np.arange(3), codes].reshape(80, 12)
    truth = ((queries[:, None].astype(np.float64) - decoded) ** 2).sum(-1)
    distances, ids = (np.asarray(a) for a in quantizer.search(queries, codes, 80))
    back = np.empty((4, 80))
    np.put_along_axis(back, ids, distances, axis=1)
    snapped = quantizer.codebooks[np.arange(3), np.asarray(quantizer.encode(queries))].reshape(4, 12)
    symmetric = ((snapped[:, None].astype(np.float64) - decoded) ** 2).sum(-1)
    expect(not np.allclose(back, symmetric, rtol=1e-4), "You quantized the query too (that is the *symmetric* distance): keep it exact.")
    expect(not np.allclose(back, np.sqrt(truth), rtol=1e-4), "You took the square root; distances here are squared, as in faiss.")
    expect_close(back, truth, "Each distance should equal ‖q − decode(code)‖²: add one table entry for *every* piece. Are codes used as "
                              "uint8 in arithmetic (255 + 1 = 0)?", rtol=1e-4, atol=1e-4)


@prop("1.5", "nearest first")
def best_first(pq: Any) -> None:
    quantizer = _filled(pq, 4, 4, 2, seed=8)
    codes = np.random.default_rng(9).integers(0, 16, size=(4000, 4), dtype=np.uint8)
    queries = _data(6, 8, 10)
    distances, ids = (np.asarray(a) for a in quantizer.search(queries, codes, 500))
    decoded = quantizer.codebooks[np.arange(4), codes].reshape(4000, 8)
    truth = ((queries[:, None].astype(np.float64) - decoded) ** 2).sum(-1)
    ordered = np.sort(truth, axis=1)
    expect(not np.allclose(distances[:, 0], ordered[:, -1], rtol=1e-4), "You returned the farthest codes first: smallest distance wins.")
    drops = np.argwhere(np.diff(distances, axis=1) < -1e-5)
    expect(len(drops) == 0, f"Distances within a row should never fall; yours do at position {drops[0][1] if len(drops) else 0}. "
                            "`argpartition` does not sort what it selects.")
    expect_close(distances, ordered[:, :500], "These are not the 500 smallest distances.", rtol=1e-4, atol=1e-4)
    expect_close(np.take_along_axis(truth, ids, axis=1), distances, "Your ids do not belong to your distances.", rtol=1e-4, atol=1e-4)


@prop("1.5", "search looks distances up in its tables")
def through_tables(pq: Any) -> None:
    class Doubled(pq):  # the learner's class, known at run time only
        def distance_tables(self, queries: Any) -> Any:
            return 2 * super().distance_tables(queries)

    plain, doubled = _filled(pq, 3, 4, 2, seed=11), _filled(Doubled, 3, 4, 2, seed=11)
    codes = np.random.default_rng(12).integers(0, 16, size=(50, 3), dtype=np.uint8)
    queries = _data(2, 6, 13)
    expect_close(doubled.search(queries, codes, 5)[0], 2 * np.asarray(plain.search(queries, codes, 5)[0]),
                 "Doubling every entry of `distance_tables` did not double the distances of `search`: add up table entries "
                 "instead of decoding the codes.", rtol=1e-4)


@prop("1.5", "inputs stay as they were")
def inputs_untouched(pq: Any) -> None:
    x = _data(200, 8, 14)
    quantizer = pq(2, nbits=4, n_iter=3)
    with untouched(x=x):
        codes = quantizer.train(x).encode(x)
        books = np.array(quantizer.codebooks)
        with untouched(codes=codes):
            quantizer.search(x[:3], codes, 4)
    expect(np.array_equal(books, quantizer.codebooks), "Searching changed the codebooks.")


@prop("1.5", "errors that say so")
def errors(pq: Any) -> None:
    x = _data(100, 12, 15)
    expect_raises(ValueError, lambda: pq(5, nbits=3).train(x), "5 pieces of 12 dimensions do not come out even: raise ValueError.")
    expect_raises(ValueError, lambda: pq(3, nbits=3).encode(x), "Encoding before training should raise ValueError.")
    quantizer = pq(3, nbits=3, n_iter=2).train(x)
    codes = quantizer.encode(x)
    expect_raises(ValueError, lambda: quantizer.encode(x[:, :9]), "Rows of 9 numbers for a quantizer trained on 12: raise ValueError.")
    expect_raises(ValueError, lambda: quantizer.search(x[:2], codes, 101), "k = 101 of 100 codes should raise ValueError.")
    expect_raises(ValueError, lambda: quantizer.search(x[:2], codes, 0), "k = 0 should raise ValueError.")

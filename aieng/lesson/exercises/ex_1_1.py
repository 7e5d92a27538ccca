"""1.1 Cosine similarity and semantic search: visible properties and hints."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aieng.lesson.checking import expect, expect_close, expect_raises, expect_shape, hints, prop, untouched

hints(
    "1.1",
    "For one pair: multiply entry by entry and add up, then divide by both lengths. For many pairs it is the same line with every sum "
    "taken over the *last* axis. Which number should you divide by when a length is 0, so that the result is 0?",
    "`(a * b).sum(axis=-1)` are the dot products, `np.linalg.norm(a, axis=-1)` the lengths; multiplying two arrays of lengths broadcasts "
    "them. `np.where(lengths > 0, lengths, 1)` guards the division. The search scores all rows with that function, sorts the scores the "
    "other way round, and cuts after k.",
    "cosine_similarity: arrays of a and b; refuse other last dimensions; products / (lengths, or 1 where they are 0).\n"
    "semantic_search: refuse a query that is no single vector, and k outside 1..n; scores = similarity of the query to all rows; "
    "order = argsort of the negative scores, first k; return scores[order], order.",
)


def _points(*shape: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def _cosine(a: Any, b: Any) -> NDArray[np.float64]:
    """The truth, in float64, for vectors that are not zero."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return np.asarray(np.einsum("...d,...d->...", a, b) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1)))


def _ask(semantic_search: Any, query: Any, corpus: Any, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The learner's scores and ids, once they have the right form."""
    found = semantic_search(query, corpus, k)
    expect(found is not None, "`semantic_search` returned None: does it end without a `return`?")
    expect(isinstance(found, tuple | list) and len(found) == 2, "`semantic_search` returns two arrays: `return scores, ids`.")
    expect_shape(found[0], (k,), "scores", "One score for each row found.")
    expect_shape(found[1], (k,), "ids", "One row number for each row found.")
    scores, ids = (np.asarray(part) for part in found)
    expect(not (scores.dtype.kind in "iu" and ids.dtype.kind == "f"), "You returned (ids, scores); the order is (scores, ids).")
    expect(ids.dtype.kind in "iu", f"`ids` are row numbers, whole numbers; yours have dtype {ids.dtype}.")
    expect(ids.min() >= 0 and ids.max() < len(corpus),
           f"`ids` should be rows 0 to {len(corpus) - 1} of the corpus; yours go from {ids.min()} to {ids.max()}.")
    expect(np.isfinite(scores).all(), "Your scores hold NaN or infinity.")
    return scores, ids


@prop("1.1", "the example by hand")
def by_hand(cosine_similarity: Any, semantic_search: Any) -> None:
    a, b = np.array([3.0, 4.0]), np.array([4.0, 3.0])
    got = cosine_similarity(a, b)
    expect(got is not None, "`cosine_similarity` returned None: does it end without a `return`?")
    expect_shape(np.asarray(got), (), "cosine_similarity((3, 4), (4, 3))", "Two single vectors have one number.")
    for value, mistake in (
        (24, "That is the dot product: divide it by both lengths, 5 and 5."),
        (4.8, "You divided by one of the two lengths; divide by both."),
        (24 / 625, "You divided by the squared lengths; take the square root of the sum of squares."),
        (2.4, "You divided by the sum of the lengths; it is their product."),
        (24 / 49, "You divided by the sums of the entries; a length is the root of the sum of the squares."),
        (0.04, "That is 1 − cosine, a distance; return the similarity itself."),
        (np.arccos(0.96), "That is the angle; return its cosine."),
        (np.sqrt(2), "That is the distance between the two; return the cosine of the angle."),
    ):
        expect(not np.isclose(float(got), value, rtol=1e-4), f"For (3, 4) and (4, 3) you gave {float(got):.4g} instead of 0.96. {mistake}")
    expect_close(got, 0.96, "The vectors (3, 4) and (4, 3) have the cosine 24 / (5 · 5) = 0.96.")


@prop("1.1", "same way 1, across 0, opposite −1")
def directions(cosine_similarity: Any, semantic_search: Any) -> None:
    a = np.array([1.0, 2.0, -2.0])
    expect_close(cosine_similarity(a, a), 1, "A vector and itself have the cosine 1.")
    expect_close(cosine_similarity(a, np.array([2.0, 1.0, 2.0])), 0, "(1, 2, −2) and (2, 1, 2) stand at a right angle: cosine 0.")
    opposite = float(cosine_similarity(a, -a))
    expect(not np.isclose(opposite, 1), "A vector and its opposite have the cosine −1, yours is 1: did you take an absolute value?")
    expect(not np.isclose(opposite, 0), "A vector and its opposite have the cosine −1; yours is 0. Negative cosines are not cut off.")
    expect_close(opposite, -1, "A vector and its opposite have the cosine −1.")


@prop("1.1", "length does not matter")
def any_length(cosine_similarity: Any, semantic_search: Any) -> None:
    a, b = _points(7, seed=1), _points(7, seed=2)
    want = _cosine(a, b)
    for name, pair in (("a", (1000 * a, b)), ("b", (a, 1000 * b))):
        expect_close(cosine_similarity(*pair), want, f"Making `{name}` 1,000 times as long changed the cosine: divide by its length.",
                     rtol=1e-4)
    for scale in (1e-5, 1e-7):
        expect_close(cosine_similarity(scale * a.astype(np.float64), scale * b.astype(np.float64)), want,
                     f"Vectors of length about {2.6 * scale:.0e} got another cosine than long ones. Did you add a small ε to the lengths? "
                     "Replace only lengths of exactly 0.", rtol=1e-4)


@prop("1.1", "row by row, and one against many")
def rows(cosine_similarity: Any, semantic_search: Any) -> None:
    a, b = _points(5, 7, seed=3), _points(5, 7, seed=4)
    got = cosine_similarity(a, b)
    expect(np.shape(got) != (), "For two arrays of 5 vectors you gave one number: add up over the last axis only, and take the lengths "
                                "over the last axis too (`axis=-1`).")
    expect(np.shape(got) != (7,), "For two (5, 7) arrays you gave 7 numbers: you added up over the rows. It is the last axis.")
    expect(np.shape(got) != (5, 5), "For two (5, 7) arrays you gave all 25 pairs; row i of `a` goes with row i of `b` only.")
    expect_shape(got, (5,), "cosine_similarity of two (5, 7) arrays", "One number per pair of rows.")
    expect_close(got, _cosine(a, b), "Row i of `a` with row i of `b` got a wrong cosine.", rtol=1e-4, atol=1e-5)
    one = cosine_similarity(a[0], b)
    expect_shape(one, (5,), "cosine_similarity of (7,) and (5, 7)", "One vector against five rows.")
    expect_close(one, _cosine(a[0], b), "One vector against five rows got wrong cosines.", rtol=1e-4, atol=1e-5)
    table = cosine_similarity(a[:, None], b[None, :3])
    expect_shape(table, (5, 3), "cosine_similarity of (5, 1, 7) and (1, 3, 7)",
                 "Leading dimensions broadcast as numpy's do: multiply, and sum over `axis=-1`.")
    expect_close(table, _cosine(a[:, None], b[None, :3]), "Broadcast leading dimensions gave wrong cosines.", rtol=1e-4, atol=1e-5)


@prop("1.1", "a zero vector has similarity 0")
def zero(cosine_similarity: Any, semantic_search: Any) -> None:
    a, b = _points(4, 6, seed=5), _points(4, 6, seed=6)
    a[1], b[2] = 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        got = np.asarray(cosine_similarity(a, b), dtype=np.float64)
    expect(not np.isnan(got).any(), "A zero vector gave nan (0 / 0); define its similarity as 0: divide by 1 where a length is 0.")
    expect_shape(got, (4,), "cosine_similarity of two (4, 6) arrays")
    expect_close(got[[1, 2]], [0, 0], "A zero vector has similarity 0 to everything.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        scores = _ask(semantic_search, b[2], a, 4)[0]
    expect_close(scores, np.zeros(4), "A zero query has similarity 0 to every row.")


@prop("1.1", "search: the most similar rows, best first")
def best_rows(cosine_similarity: Any, semantic_search: Any) -> None:
    corpus, query = _points(300, 8, seed=7), _points(8, seed=8)
    corpus *= np.random.default_rng(9).uniform(0.1, 10, size=(300, 1)).astype(np.float32)
    truth = _cosine(query, corpus)
    order = np.argsort(-truth)
    scores, ids = _ask(semantic_search, query, corpus, 60)
    expect(ids[0] != order[-1], f"Your first row, {ids[0]}, is the least similar of all: sort the largest similarity first.")
    by_product = np.argsort(-(corpus @ query))[:60]
    expect(not np.array_equal(ids, by_product), "You ranked by the plain dot product, where long rows win; rank by the cosine.")
    steps = np.diff(scores.astype(np.float64))
    expect((steps < 1e-6).any(), "Your scores grow from first to last: these may be the best rows, but the best of them comes last.")
    expect((steps <= 1e-6).all(), f"Scores should fall from first to last; yours begin with {np.round(scores[:5], 3).tolist()}, and score "
                                  f"{int((steps > 1e-6).argmax()) + 1} is larger than the one before. `argpartition` does not sort.")
    expect_close(scores, truth[order[:60]], "These are not the 60 largest similarities.", rtol=1e-4, atol=1e-5)
    expect_close(truth[ids], scores, "Your ids do not belong to your scores: reorder both in the same way.", rtol=1e-4, atol=1e-5)
    scores, ids = _ask(semantic_search, corpus[42] * 3, corpus, 1)
    expect(ids[0] == 42, f"The query is row 42 of the corpus, made longer, yet your first row is {ids[0]}.")
    _, ids = _ask(semantic_search, query, np.repeat(corpus[:4], 3, axis=0), 12)
    expect(sorted(ids.tolist()) == list(range(12)),
           "Twelve rows, among them equal ones, and k = 12: every row should come exactly once. Do you look ids up by score?")


@prop("1.1", "inputs stay as they were")
def inputs_untouched(cosine_similarity: Any, semantic_search: Any) -> None:
    a, b = _points(5, 6, seed=10) + 1, _points(5, 6, seed=11) + 1
    a[2] = 0
    with untouched(a=a, b=b), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        cosine_similarity(a, b)
        _ask(semantic_search, b[0], a, 2)


@prop("1.1", "errors that say so")
def errors(cosine_similarity: Any, semantic_search: Any) -> None:
    a, corpus = _points(5, 4, seed=12), _points(10, 4, seed=13)
    expect_raises(ValueError, lambda: cosine_similarity(a, a[:, :3]), "Vectors of 4 and of 3 numbers should raise ValueError.")
    expect_raises(ValueError, lambda: cosine_similarity(a, a[:, :1]),
                  "Vectors of 4 numbers and of 1 should raise ValueError: numpy would stretch the one silently.")
    _ask(semantic_search, a[0], corpus, 10)
    expect_raises(ValueError, lambda: semantic_search(a[0], corpus, 11), "k = 11 of 10 rows should raise ValueError.")
    expect_raises(ValueError, lambda: semantic_search(a[0], corpus, 0), "k = 0 should raise ValueError.")
    expect_raises(ValueError, lambda: semantic_search(a[0, :3], corpus, 2), "A query of 3 numbers for rows of 4 should raise ValueError.")
    expect_raises(ValueError, lambda: semantic_search(a[:1], corpus, 2), "A query of shape (1, 4) is no single vector: ValueError.")

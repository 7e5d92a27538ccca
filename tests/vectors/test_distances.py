"""Exact search against faiss, scikit-learn and torch."""

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from aieng.vectors.distances import METRICS, cosine_similarity, knn, semantic_search


def data(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def test_cosine_similarity_is_torchs():
    a, b = data(50, 7), data(50, 7, 1)
    wanted = torch.nn.functional.cosine_similarity(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(cosine_similarity(a, b), wanted, atol=1e-6)
    lengths = np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    np.testing.assert_allclose(cosine_similarity(a[:, None], b), (a @ b.T) / lengths, atol=1e-6)
    assert isinstance(cosine_similarity(a[0], b[0]), float)
    assert cosine_similarity(np.zeros(3), np.ones(3)) == 0.0
    assert cosine_similarity([1e-30, 0], [2e-30, 0]) == pytest.approx(1.0)


@pytest.mark.parametrize(("a", "b", "message"), [
    (np.ones(3), np.ones(4), "last dimensions"), (1.0, np.ones(1), "last dimensions"), ([np.nan, 1], [1, 1], "NaN"),
])
def test_cosine_similarity_refuses(a, b, message):
    with pytest.raises(ValueError, match=message):
        cosine_similarity(a, b)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 300), nq=st.integers(0, 5), dim=st.integers(1, 20), share=st.floats(0, 1), metric=st.sampled_from(METRICS),
       seed=st.integers(0, 100), offset=st.sampled_from([0.0, 50.0]))
def test_knn_equals_brute_force(n, nq, dim, share, metric, seed, offset):
    database, queries = data(n, dim, seed) + np.float32(offset), data(nq, dim, seed + 1) + np.float32(offset)
    k = max(1, round(share * n))
    scores, ids = knn(queries, database, k, metric)
    assert scores.shape == ids.shape == (nq, k) and scores.dtype == np.float32 and ids.dtype == np.int64
    d, q = database.astype(np.float64), queries.astype(np.float64)
    if metric == "l2":
        truth = ((q[:, None] - d) ** 2).sum(-1)
    else:
        truth = -(q @ d.T if metric == "ip" else cosine_similarity(q[:, None], d))
    scale = 1e-5 * (1 + np.abs(truth).max(initial=0))
    np.testing.assert_allclose(scores if metric == "l2" else -scores, np.sort(truth, axis=1)[:, :k], atol=scale)
    np.testing.assert_allclose(np.take_along_axis(truth, ids, axis=1), scores if metric == "l2" else -scores, atol=scale)
    assert all(len(set(row)) == k for row in ids.tolist())


@pytest.mark.parametrize("threads", ["1", "3"])
def test_knn_equals_faiss_and_sklearn_over_several_blocks(monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    database, queries = data(9001, 24), data(300, 24, 1)
    for metric, index in (("l2", faiss.IndexFlatL2(24)), ("ip", faiss.IndexFlatIP(24))):
        index.add(database)
        wanted, wanted_ids = index.search(queries, 7)
        scores, ids = knn(queries, database, 7, metric)
        np.testing.assert_allclose(scores, wanted, atol=1e-4)
        assert (ids == wanted_ids).mean() > 0.999
    reference = NearestNeighbors(n_neighbors=7, metric="cosine").fit(database).kneighbors(queries, return_distance=False)
    assert (knn(queries, database, 7, "cosine")[1] == reference).mean() > 0.999


def test_any_input_form_gives_the_same_answer():
    database, queries = data(100, 6), data(4, 6, 1)
    before = database.copy()
    wanted = knn(queries, database, 5)
    wide = np.asfortranarray(np.repeat(database.astype(np.float64), 2, axis=1))[:, ::2]
    for form in (wide, torch.from_numpy(database), database.tolist()):
        for got, want in zip(knn(queries, form, 5), wanted):
            np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(database, before)


def test_zero_vectors_and_duplicates():
    database = np.array([[0, 0], [1, 0], [1, 0]], np.float32)
    scores, ids = knn(np.array([[2, 0]]), database, 3, "cosine")
    np.testing.assert_allclose(scores, [[1, 1, 0]])
    assert set(ids[0, :2]) == {1, 2}
    assert knn(database, database, 1)[0].max() == 0


@pytest.mark.parametrize(("queries", "database", "k", "metric", "error"), [
    (np.ones((2, 3)), np.ones((4, 5)), 1, "l2", ValueError), (np.ones((2, 3)), np.ones((4, 3)), 5, "l2", ValueError),
    (np.ones((2, 3)), np.ones((4, 3)), 0, "l2", ValueError), (np.ones((2, 3)), np.ones((4, 3)), 1, "l1", ValueError),
    (np.ones(3), np.ones((4, 3)), 1, "l2", ValueError), (np.full((1, 3), np.nan), np.ones((4, 3)), 1, "l2", ValueError),
    (np.ones((2, 3)), np.full((4, 3), np.inf), 1, "l2", ValueError), (np.ones((2, 3)), np.empty((0, 3)), 1, "l2", ValueError),
    (np.ones((2, 3)), np.ones((4, 3)), 1.0, "l2", TypeError), (np.ones((2, 3)), [["a", "b", "c"]], 1, "l2", TypeError),
    (np.ones((2, 3)), np.ones((4, 3)), True, "l2", TypeError), (np.ones((2, 3)), [[1, 2, 3], [1]], 1, "l2", ValueError),
])
def test_knn_refuses(queries, database, k, metric, error):
    with pytest.raises(error):
        knn(queries, database, k, metric)


def test_semantic_search():
    corpus = data(20, 5)
    scores, ids = semantic_search(3 * corpus[7], corpus, 4)
    assert ids[0] == 7 and scores[0] == pytest.approx(1) and (np.diff(scores) <= 0).all()
    with pytest.raises(ValueError, match="one vector"):
        semantic_search(corpus[:1], corpus, 1)

"""The inverted file against exact search, faiss, and a model of it under random operations."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aieng.vectors.distances import METRICS, knn
from aieng.vectors.ivf import IVFIndex


def data(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def made(x, nlist=16, metric="l2"):
    index = IVFIndex(x.shape[1], nlist, metric).train(x)
    index.add(x)
    return index


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("queries", [2, 300])
def test_all_lists_give_the_exact_answer(metric, queries):
    x, q = data(3000, 10) + 5, data(queries, 10, 1) + 5
    scores, ids = made(x, metric=metric).search(q, 8, nprobe=16)
    wanted, wanted_ids = knn(q, x, 8, metric)
    np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-3)
    assert (ids == wanted_ids).mean() > 0.999


def test_faiss_with_the_same_centroids_agrees():
    x, q = data(4000, 12), data(200, 12, 1)
    index = made(x, 32)
    quantizer = faiss.IndexFlatL2(12)
    quantizer.add(index.centroids)
    reference = faiss.IndexIVFFlat(quantizer, 12, 32)
    reference.is_trained = True
    reference.add(x)
    for nprobe in (1, 5):
        reference.nprobe = nprobe
        wanted, wanted_ids = reference.search(q, 10)
        scores, ids = index.search(q, 10, nprobe)
        np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-4)
        assert (ids == wanted_ids).mean() > 0.999


def test_recall_never_falls_with_nprobe():
    x, q = data(2000, 8), data(100, 8, 1)
    index, truth = made(x), knn(q, x, 10)[1]
    recalls = [np.mean([len(set(a) & set(b)) for a, b in zip(index.search(q, 10, p)[1].tolist(), truth.tolist())]) for p in range(1, 17)]
    assert (np.diff(recalls) >= 0).all() and recalls[0] < recalls[-1] == 10


def test_short_lists_are_padded():
    index = IVFIndex(2, 2).train(np.array([[0, 0], [0, 1], [9, 9], [9, 8.0]]))
    index.add(np.array([[0, 0], [9, 9.0]]), [7, 5])
    distances, ids = index.search(np.array([[0, 1.0]]), 3)
    assert ids.tolist() == [[7, -1, -1]] and distances.tolist() == [[1.0, np.inf, np.inf]]
    similar = IVFIndex(2, 1, "ip").train(np.ones((2, 2)))
    similar.add(np.ones((1, 2)))
    assert similar.search(np.ones((1, 2)), 2)[0].tolist() == [[2.0, -np.inf]]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "search"]), st.integers(1, 30)), min_size=1, max_size=8), st.integers(0, 50))
def test_any_order_of_adding_and_searching(operations, seed):
    rng = np.random.default_rng(seed)
    index = IVFIndex(3, 4).train(rng.standard_normal((50, 3)))
    kept, ids = np.empty((0, 3), np.float32), np.empty(0, np.int64)
    for what, count in operations:
        if what == "add":
            x = rng.standard_normal((count, 3)).astype(np.float32)
            new = rng.permutation(count) + 1000 * len(ids)
            index.add(x, new)
            kept, ids = np.concatenate([kept, x]), np.concatenate([ids, new])
        elif len(ids):
            query = rng.standard_normal((2, 3))
            k = min(count, len(ids))
            distances, found = index.search(query, k, 4)
            wanted, rows = knn(query, kept, k)
            np.testing.assert_allclose(distances, wanted, rtol=1e-3, atol=1e-4)
            np.testing.assert_array_equal(found, ids[rows])
        assert index.ntotal == len(ids) == index.list_sizes.sum()


def test_numbering_goes_on_and_saved_equals_loaded(tmp_path):
    x = data(500, 6)
    index = IVFIndex(6, 8, "cosine").train(x)
    index.add(x[:100], np.arange(100) * 2)
    index.add(x[100:])
    index.save(tmp_path / "index")
    again = IVFIndex.load(tmp_path / "index")
    assert again.ntotal == 500 and again.nbytes > x.nbytes
    for got, want in zip(again.search(x[:20], 5, 3), index.search(x[:20], 5, 3)):
        np.testing.assert_array_equal(got, want)
    assert index.search(x[100:101], 1)[1][0, 0] == 199
    again.add(x[:1])
    assert again.ntotal == 501


def test_refusals(tmp_path):
    x = data(100, 4)
    index = made(x, 4)
    for call, message in (
        (lambda: IVFIndex(4, 4).add(x), "not trained"),
        (lambda: IVFIndex(4, 4).train(x).search(x, 1), "empty"),
        (lambda: IVFIndex(4, 4).train(x[:3]), "3 rows"),
        (lambda: IVFIndex(4, 4, "l1"), "metric"),
        (lambda: IVFIndex(4, 0), "nlist"),
        (lambda: index.train(x), "holds 100 vectors"),
        (lambda: index.add(x[:, :3]), "3 dimensions"),
        (lambda: index.add(x[:2], [200, 200]), "given twice"),
        (lambda: index.add(x[:2], [200, 5]), "id 5 is in the index"),
        (lambda: index.add(x[:2], [200]), "one id for each"),
        (lambda: index.add(x[:1], [-1]), "0 or more"),
        (lambda: index.search(x, 1, nprobe=5), "nprobe is 5"),
        (lambda: index.search(x, 0), "k is 0"),
        (lambda: index.search(np.full((1, 4), np.inf), 1), "infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="whole numbers"):
        index.add(x[:1], [0.5])
    assert index.ntotal == 100 and index.search(x[:1], 1)[1][0, 0] == 0
    (tmp_path / "broken").write_bytes(b"AIENG")
    with pytest.raises(ValueError):
        IVFIndex.load(tmp_path / "broken")

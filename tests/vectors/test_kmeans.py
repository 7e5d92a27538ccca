"""k-means against brute force and faiss."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aieng.vectors.kmeans import assign, kmeans


def data(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 200), k=st.integers(1, 70), dim=st.integers(1, 11), seed=st.integers(0, 99))
def test_assign_equals_brute_force(n, k, dim, seed):
    x, centroids = data(n, dim, seed), data(k, dim, seed + 1)
    ids = assign(x, centroids)
    assert ids.shape == (n,) and ids.dtype == np.int64
    distances = ((x[:, None].astype(np.float64) - centroids) ** 2).sum(-1)
    np.testing.assert_allclose(distances[np.arange(n), ids], distances.min(axis=1), atol=1e-5)


def test_the_lower_of_equal_centroids_wins():
    assert assign([[0.0], [1.0]], [[1.0], [1.0], [-1.0]]).tolist() == [0, 0]


def test_as_good_as_faiss():
    x = data(4000, 8) + 3
    reference = faiss.Kmeans(8, 64, niter=25, seed=1, verbose=False)
    reference.train(x)

    def loss(centroids):
        return float(((x - centroids[assign(x, centroids)]) ** 2).sum())

    assert loss(kmeans(x, 64)) <= 1.02 * loss(reference.centroids)


def test_far_from_the_origin():
    x = data(500, 4)
    near, far = kmeans(x, 8, seed=2), kmeans(x + 1000, 8, seed=2)
    np.testing.assert_allclose(near, far - 1000, atol=1e-2)


def test_empty_clusters_are_filled():
    x = np.concatenate([np.zeros((90, 2)), np.arange(20).reshape(10, 2) + 5.0])
    assert len(np.unique(assign(x, kmeans(x, 8, seed=1)))) >= 7


def test_k_equal_to_n_and_same_seed():
    x = data(12, 3)
    np.testing.assert_allclose(np.sort(kmeans(x, 12, 3), axis=0), np.sort(x, axis=0), atol=1e-6)
    np.testing.assert_array_equal(kmeans(x, 4, seed=5), kmeans(x, 4, seed=5))


@pytest.mark.parametrize(("x", "k", "n_iter", "message"), [
    (data(5, 2), 6, 2, "5 vectors"), (data(5, 2), 0, 2, "k is 0"), (data(5, 2), 2, 0, "n_iter"), (np.full((5, 2), np.nan), 2, 2, "NaN"),
])
def test_refusals(x, k, n_iter, message):
    with pytest.raises(ValueError, match=message):
        kmeans(x, k, n_iter)
    with pytest.raises(ValueError, match="no rows"):
        assign(data(3, 2), np.empty((0, 2)))

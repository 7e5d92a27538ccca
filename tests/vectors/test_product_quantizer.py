"""Product quantization against faiss and against its own definition."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aieng.vectors.product_quantizer import ProductQuantizer


def data(n, dim, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, dim)) @ rng.standard_normal((dim, dim)) / dim**0.5).astype(np.float32)


def filled(M, nbits, dsub, seed=0):
    quantizer = ProductQuantizer(M, nbits)
    quantizer.codebooks = np.random.default_rng(seed).standard_normal((M, 2**nbits, dsub))
    return quantizer


@settings(max_examples=40, deadline=None)
@given(M=st.integers(1, 9), nbits=st.integers(1, 8), dsub=st.integers(1, 5), n=st.integers(1, 200), nq=st.integers(0, 80),
       share=st.floats(0, 1), seed=st.integers(0, 99))
def test_table_distances_are_those_to_decoded_vectors(M, nbits, dsub, n, nq, share, seed):
    quantizer = filled(M, nbits, dsub, seed)
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**nbits, (n, M)).astype(np.uint8)
    queries = rng.standard_normal((nq, M * dsub))
    k = max(1, round(share * n))
    distances, ids = quantizer.search(queries, codes, k)
    truth = ((queries[:, None] - quantizer.decode(codes)) ** 2).sum(-1)
    np.testing.assert_allclose(distances, np.sort(truth, axis=1)[:, :k], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(truth, ids, axis=1), distances, rtol=1e-4, atol=1e-5)
    assert all(len(set(row)) == k for row in ids.tolist())
    tables = quantizer.distance_tables(queries)
    assert tables.shape == (nq, M, 2**nbits)
    np.testing.assert_allclose(tables[:, np.arange(M), codes].sum(-1), truth, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("nbits", [4, 8])
def test_faiss_codebooks_give_faiss_codes_and_distances(nbits):
    x, queries = data(3000, 24), data(100, 24, 1)
    index = faiss.IndexPQ(24, 6, nbits)
    index.train(x)
    quantizer = ProductQuantizer(6, nbits)
    quantizer.codebooks = faiss.vector_to_array(index.pq.centroids).reshape(6, 2**nbits, 4)
    codes = quantizer.encode(x)
    if nbits == 8:
        assert (codes == index.pq.compute_codes(x)).mean() > 0.9999
    np.testing.assert_allclose(quantizer.decode(codes), index.pq.decode(index.pq.compute_codes(x)), atol=1e-4)
    index.add(x)
    np.testing.assert_allclose(quantizer.search(queries, codes, 10)[0], index.search(queries, 10)[0], rtol=1e-3, atol=1e-3)


def test_reconstruction_is_as_good_as_faiss():
    x = data(5000, 16)
    reference = faiss.ProductQuantizer(16, 4, 6)
    reference.train(x)
    quantizer = ProductQuantizer(4, 6).train(x)

    def loss(decoded):
        return float(((x - decoded) ** 2).sum())

    assert loss(quantizer.decode(quantizer.encode(x))) <= 1.02 * loss(reference.decode(reference.compute_codes(x)))
    assert quantizer.codebooks.shape == (4, 64, 4) and quantizer.dim == 16


def test_a_large_training_set_is_sampled_and_other_forms_are_fine():
    x = data(2100, 4)
    quantizer = ProductQuantizer(2, 3, n_iter=2).train(x)
    wide = np.asfortranarray(np.repeat(x.astype(np.float64), 2, axis=1))[:, ::2]
    np.testing.assert_array_equal(quantizer.encode(wide), quantizer.encode(x))


def test_saved_and_loaded(tmp_path):
    quantizer = filled(3, 5, 2)
    quantizer.save(tmp_path / "pq")
    again = ProductQuantizer.load(tmp_path / "pq")
    np.testing.assert_array_equal(again.codebooks, quantizer.codebooks)
    assert (again.M, again.nbits, again.dim) == (3, 5, 6)


def test_refusals():
    quantizer = filled(3, 4, 2)
    codes = np.zeros((5, 3), np.uint8)
    queries = np.zeros((2, 6))
    for call, message in (
        (lambda: ProductQuantizer(4).train(data(300, 6)), "M=4 does not divide"),
        (lambda: ProductQuantizer(3).train(data(100, 6)), "100 vectors"),
        (lambda: ProductQuantizer(3).encode(data(5, 6)), "not trained"),
        (lambda: ProductQuantizer(3).save("x"), "not trained"),
        (lambda: ProductQuantizer(3, 9), "nbits"),
        (lambda: quantizer.encode(data(5, 7)), "7 dimensions"),
        (lambda: quantizer.search(queries, codes, 6), "k is 6"),
        (lambda: quantizer.search(queries, codes[:0], 1), "k is 1"),
        (lambda: quantizer.search(queries[:, :5], codes, 1), "5 dimensions"),
        (lambda: quantizer.search(np.full((1, 6), np.nan), codes, 1), "NaN"),
        (lambda: quantizer.decode(codes.astype(np.int64)), "dtype int64"),
        (lambda: quantizer.decode(codes[:, :2]), r"\(5, 2\)"),
        (lambda: quantizer.decode(codes + np.uint8(16)), "largest is 15"),
        (lambda: setattr(quantizer, "codebooks", np.zeros((3, 8, 2))), "expected"),
    ):
        with pytest.raises(ValueError, match=message):
            call()

"""Scalar quantization: its error bound, and faiss."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aieng.vectors.distances import knn
from aieng.vectors.scalar_quantizer import ScalarQuantizer


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 6)), elements=st.floats(-1e6, 1e6, width=32)))
def test_error_is_at_most_half_a_step(x):
    quantizer = ScalarQuantizer().train(x)
    codes = quantizer.encode(x)
    assert codes.dtype == np.uint8 and codes.shape == x.shape
    error = np.abs(quantizer.decode(codes).astype(np.float64) - x)
    assert (error <= 0.5 * quantizer.step + 1e-6 * np.abs(x).max(axis=0) + 1e-30).all()
    constant = x.min(axis=0) == x.max(axis=0)
    assert (quantizer.step[constant] == 0).all() and (quantizer.decode(codes)[:, constant] == x[:, constant]).all()


def test_values_outside_are_clipped():
    quantizer = ScalarQuantizer().train([[0.0], [255.0]])
    assert quantizer.encode([[-9.0], [300.0], [1.4]]).tolist() == [[0], [255], [1]]


def test_recall_is_that_of_faiss():
    rng = np.random.default_rng(0)
    x, queries = (rng.standard_normal((n, 24)).astype(np.float32) for n in (4000, 100))
    quantizer = ScalarQuantizer().train(x)
    truth = knn(queries, x, 10)[1]
    reference = faiss.IndexScalarQuantizer(24, faiss.ScalarQuantizer.QT_8bit)
    reference.train(x)
    reference.add(x)

    def recall(ids):
        return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids.tolist(), truth.tolist())])

    assert recall(knn(queries, quantizer.decode(quantizer.encode(x)), 10)[1]) >= recall(reference.search(queries, 10)[1]) - 0.01


def test_saved_and_loaded(tmp_path):
    x = np.random.default_rng(1).standard_normal((30, 4))
    quantizer = ScalarQuantizer().train(x)
    quantizer.save(tmp_path / "sq")
    np.testing.assert_array_equal(ScalarQuantizer.load(tmp_path / "sq").encode(x), quantizer.encode(x))


def test_refusals():
    trained = ScalarQuantizer().train(np.zeros((3, 2)))
    for call, message in (
        (lambda: ScalarQuantizer().encode([[1.0]]), "not trained"), (lambda: ScalarQuantizer().train(np.empty((0, 2))), "no rows"),
        (lambda: trained.encode(np.zeros((1, 3))), "3 dimensions"), (lambda: trained.decode(np.zeros((1, 2))), "float64"),
        (lambda: trained.encode([[np.nan, 0]]), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            call()

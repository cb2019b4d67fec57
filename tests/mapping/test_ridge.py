import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from txt2img import TextToVisualRegressor

CONTAINERS = {
    "dense": np.asarray,
    "csr_matrix": sp.csr_matrix,
    "csr_array": sp.csr_array,
    "csc_matrix": sp.csc_matrix,
    "coo_array": sp.coo_array,
}
# More captions than features are solved by the Gram matrix, fewer by the kernel matrix.
SHAPES = {"primal": (60, 20), "square": (25, 25), "dual": (20, 60)}


def words(n_captions, n_features, seed=0):
    """Vectors like TF-IDF's: mostly zeros, length 1, some captions without any word, words that none has."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(n_captions, n_features)) * (rng.uniform(size=(n_captions, n_features)) < 0.1)
    X[:, ::7] = 0
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9)


def descriptors(n_captions, n_outputs=4, seed=1):
    return np.random.default_rng(seed).normal(loc=2, size=(n_captions, n_outputs))


def assert_equals_scikit_learn(X, Y, alpha, fitted, rtol=1e-7):
    oracle = Ridge(alpha=alpha, solver="svd").fit(X, Y)
    scale = np.abs(oracle.coef_).max() + 1e-9
    assert_allclose(fitted.coefs_[0].T, np.atleast_2d(oracle.coef_), rtol=rtol, atol=rtol * scale)
    assert_allclose(fitted.intercepts_[0], np.atleast_1d(oracle.intercept_), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_equals_ridge_of_scikit_learn(shape, container, dtype, rtol):
    X, Y = words(*shape), descriptors(shape[0])
    fitted = TextToVisualRegressor(alpha=0.3).fit(container(X.astype(dtype)), Y)
    assert fitted.coefs_[0].dtype == fitted.intercepts_[0].dtype == dtype
    assert_equals_scikit_learn(X, Y, 0.3, fitted, rtol)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_words_beside_an_embedding(shape):
    """Sparse and full columns are solved in separate blocks, in whatever order they come."""
    n_captions, n_words = shape
    embedding = np.random.default_rng(2).normal(size=(n_captions, 7))
    X = np.hstack([embedding[:, :3], words(n_captions, n_words), embedding[:, 3:]])
    Y = descriptors(n_captions)
    fitted = TextToVisualRegressor(alpha=2.0).fit(sp.csr_matrix(X), Y)
    assert_equals_scikit_learn(X, Y, 2.0, fitted)
    assert_allclose(fitted.predict(sp.csr_array(X)), fitted.predict(X))


@pytest.mark.parametrize("full", [True, False])
def test_sparse_matrix_with_only_full_or_only_sparse_columns(full):
    X = np.random.default_rng(3).normal(size=(30, 5)) if full else np.eye(30, 12)
    Y = descriptors(30)
    assert_equals_scikit_learn(X, Y, 1.0, TextToVisualRegressor(alpha=1.0).fit(sp.csr_matrix(X), Y))


@given(
    n_captions=st.integers(2, 30),
    n_features=st.integers(1, 30),
    n_outputs=st.integers(1, 5),
    alpha=st.floats(1e-2, 1e4),
    is_sparse=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60, deadline=None)
def test_equals_ridge_of_scikit_learn_at_any_shape(n_captions, n_features, n_outputs, alpha, is_sparse, seed):
    X, Y = words(n_captions, n_features, seed), descriptors(n_captions, n_outputs, seed + 1)
    fitted = TextToVisualRegressor(alpha=alpha).fit(sp.csr_array(X) if is_sparse else X, Y)
    assert_equals_scikit_learn(X, Y, alpha, fitted, rtol=1e-6)


def test_predictions_equal_scikit_learn_and_follow_the_rows():
    X, Y = words(60, 20), descriptors(60)
    fitted = TextToVisualRegressor(alpha=0.5).fit(X, Y)
    assert_allclose(fitted.predict(X), Ridge(alpha=0.5).fit(X, Y).predict(X))
    order = np.random.default_rng(0).permutation(60)[:13]
    assert_allclose(fitted.predict(X[order]), fitted.predict(X)[order], rtol=1e-12)


def test_one_dimensional_targets():
    X, y = words(40, 10), descriptors(40)[:, 0]
    fitted = TextToVisualRegressor(alpha=1.0).fit(sp.csr_matrix(X), y)
    assert_allclose(fitted.predict(X), Ridge(alpha=1.0).fit(X, y).predict(X))
    assert fitted.predict(X).shape == (40,)
    assert fitted.transform(X).shape == (40, 1)


def test_one_caption_gives_its_descriptor():
    fitted = TextToVisualRegressor().fit([[1.0, 0.0]], [[3.0, 4.0]])
    assert_allclose(fitted.predict([[0.0, 1.0]]), [[3.0, 4.0]])


def test_constant_targets_are_predicted_whatever_the_words():
    Y = np.tile([1.0, -2.0], (30, 1))
    fitted = TextToVisualRegressor().fit(words(30, 8), Y)
    assert_allclose(fitted.predict(words(9, 8, seed=5)), Y[:9])


def test_targets_in_single_precision_go_with_words_in_double_and_back():
    X, Y = words(60, 20), descriptors(60)
    double = TextToVisualRegressor().fit(X, Y).predict(X)
    assert_allclose(TextToVisualRegressor().fit(X, Y.astype(np.float32)).predict(X), double, rtol=1e-6)
    assert_allclose(TextToVisualRegressor().fit(X.astype(np.float32), Y).predict(X), double, rtol=1e-4)


def test_inputs_are_left_as_they_were():
    X, Y = sp.csr_matrix(words(30, 50)), descriptors(30)
    before = X.copy(), Y.copy()
    for array in (X.data, X.indices, X.indptr, Y):
        array.flags.writeable = False
    TextToVisualRegressor().fit(X, Y).predict(X)
    assert_array_equal(X.toarray(), before[0].toarray())
    assert_array_equal(Y, before[1])


@pytest.mark.parametrize("shape", [(100, 50_000), (20_000, 500)], ids=["dual", "primal"])
def test_sparse_vectors_are_never_made_dense(shape):
    X = sp.random(*shape, density=3 / shape[1], format="csr", random_state=0)
    Y = descriptors(shape[0], 2)
    dense_bytes = 8 * shape[0] * shape[1]
    tracemalloc.start()
    TextToVisualRegressor().fit(X, Y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < dense_bytes / 4

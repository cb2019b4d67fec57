import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from txt2img import TextToVisualRegressor
from txt2img.mapping import closed_form
from txt2img.mapping.closed_form import NormalEquations, fit_ridge, fit_ridge_path

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


ALPHAS = [0.01, 0.1, 1.0, 10.0]


def captioned(n_photographs, n_features, n_outputs=3, seed=0, sizes=(1, 2, 5)):
    """Captions of photographs, some of one caption, in random order; photographs have arbitrary numbers."""
    rng = np.random.default_rng(seed)
    photograph = rng.permutation(np.repeat(np.arange(n_photographs), np.resize(sizes, n_photographs)))
    seen = words(n_photographs, n_features, seed)[photograph]
    X = 0.7 * seen + words(len(photograph), n_features, seed + 1)
    meaning = rng.normal(size=(n_features, n_outputs))
    own = rng.normal(loc=1, scale=0.5, size=(n_photographs, n_outputs))
    return X, (words(n_photographs, n_features, seed) @ meaning + own)[photograph], 7 * photograph - 20


def leave_photographs_out(X, Y, alphas, groups):
    """Mean squared error of scikit-learn's ridge, fitted as often as there are photographs."""
    errors = np.zeros(len(alphas))
    for group in np.unique(groups):
        out = groups == group
        for i, alpha in enumerate(alphas):
            fitted = Ridge(alpha=alpha, solver="cholesky").fit(X[~out], Y[~out])
            errors[i] += ((fitted.predict(X[out]) - Y[out]) ** 2).sum() / Y.size
    return errors


@pytest.fixture
def estimated(monkeypatch):
    """Errors are estimated however few the captions."""
    monkeypatch.setattr(closed_form, "EXACT_CAPTIONS", 0)


@pytest.mark.parametrize("n_features", [12, 150], ids=["few columns", "many columns"])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix, sp.csr_array])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-9), (np.float32, 1e-3)])
def test_errors_equal_those_of_fits_without_the_photograph(n_features, container, dtype, rtol):
    X, Y, groups = captioned(20, n_features)
    *_, scores = fit_ridge_path(container(X.astype(dtype)), Y.astype(dtype), ALPHAS, groups)
    assert_allclose(scores, leave_photographs_out(X, Y, ALPHAS, groups), rtol=rtol)


@pytest.mark.parametrize("n_features", [12, 150], ids=["primal", "dual"])
def test_estimated_errors_are_right_on_average(n_features, estimated):
    """Probes make the estimate noisy and not biased: its mean over many draws is the error."""
    X, Y, groups = captioned(20, n_features)
    draws = np.array([fit_ridge_path(sp.csr_matrix(X), Y, ALPHAS, groups, i)[3] for i in range(150)])
    z = (draws.mean(axis=0) / leave_photographs_out(X, Y, ALPHAS, groups) - 1) * np.sqrt(150)
    assert (np.abs(z) < 3.5 * draws.std(axis=0) / draws.mean(axis=0)).all()


@pytest.mark.parametrize("n_outputs", [2, 300])
def test_estimated_errors_are_near_and_choose_the_same(n_outputs):
    """One draw at 2,500 captions, against the exact errors from the inverse of the Gram matrix."""
    X, Y, groups = captioned(500, 100, n_outputs, sizes=(5,))
    centred = X - X.mean(axis=0)
    exact = np.zeros(4)
    for i, alpha in enumerate(ALPHAS):
        inverse = np.linalg.inv(centred.T @ centred + alpha * np.eye(100))
        fit = centred @ inverse @ centred.T + 1 / len(X)
        residuals = Y - fit @ Y
        for group in np.unique(groups):
            rows = np.flatnonzero(groups == group)
            missed = np.linalg.solve(np.eye(5) - fit[np.ix_(rows, rows)], residuals[rows])
            exact[i] += (missed**2).sum() / Y.size
    *_, best_alpha, scores = fit_ridge_path(sp.csr_matrix(X), Y, ALPHAS, groups, random_state=0)
    assert_allclose(scores, exact, rtol=0.06)
    assert_allclose(scores / scores.min(), exact / exact.min(), rtol=0.02)
    assert best_alpha == ALPHAS[exact.argmin()]


def test_embedding_beside_words_is_estimated_as_any_other_matrix(estimated):
    X, Y, groups = captioned(60, 30)
    X[:, 3:8] = np.random.default_rng(2).normal(size=(len(X), 5))
    *_, dense = fit_ridge_path(X, Y, ALPHAS, groups, random_state=0)
    *_, blocks = fit_ridge_path(sp.csr_matrix(X), Y, ALPHAS, groups, random_state=0)
    assert_allclose(blocks, dense, rtol=1e-9)


def test_repeated_captions_of_a_photograph_tell_nothing_new():
    """Five equal captions with five times the penalty are one caption: siblings leak nothing."""
    X, Y, _ = captioned(30, 15, sizes=(1,))
    *_, once = fit_ridge_path(X, Y, ALPHAS, np.arange(30))
    five = np.repeat(np.arange(30), 5)
    *_, best_alpha, scores = fit_ridge_path(X[five], Y[five], 5 * np.array(ALPHAS), five)
    assert_allclose(scores, once)
    assert best_alpha == 5 * ALPHAS[once.argmin()]


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "estimated"])
@pytest.mark.parametrize("n_features", [12, 150], ids=["few columns", "many columns"])
def test_path_returns_the_fit_at_its_lowest_score(exact, n_features, monkeypatch):
    if not exact:
        monkeypatch.setattr(closed_form, "EXACT_CAPTIONS", 0)
    X, Y, groups = captioned(40, n_features)
    X = sp.csr_matrix(X)
    order = [2, 0, 3, 1]
    weights, intercept, best_alpha, scores = fit_ridge_path(X, Y, ALPHAS, groups, random_state=3)
    assert scores.shape == (4,)
    assert best_alpha == ALPHAS[scores.argmin()]
    expected = fit_ridge(X, Y, best_alpha)
    assert_allclose(weights, expected[0], atol=1e-9)
    assert_allclose(intercept, expected[1])
    again = fit_ridge_path(X, Y, np.array(ALPHAS)[order], groups, random_state=3)
    assert again[2] == best_alpha
    assert_allclose(again[3], scores[order])
    assert_allclose(again[0], weights)


def test_random_state_makes_the_estimate_repeatable(estimated):
    X, Y, groups = captioned(40, 12)
    first, same, other = (fit_ridge_path(X, Y, ALPHAS, groups, seed)[3] for seed in (0, 0, 1))
    assert_array_equal(first, same)
    assert (first != other).all()


def test_photograph_of_many_captions_gets_probes_enough(estimated):
    """Forty captions have more directions than the least number of probes could tell apart."""
    X, Y, groups = captioned(30, 12, sizes=(40,))
    *_, scores = fit_ridge_path(X, Y, ALPHAS, groups, random_state=0)
    assert_allclose(scores, leave_photographs_out(X, Y, ALPHAS, groups), rtol=0.15)


def test_path_leaves_its_inputs_as_they_were(estimated):
    X, Y, groups = captioned(40, 12)
    X = sp.csr_matrix(X)
    for array in (X.data, X.indices, X.indptr, Y, groups):
        array.flags.writeable = False
    fit_ridge_path(X, Y, ALPHAS, groups)


@pytest.mark.parametrize("alphas", [[], [1.0, 0.0], [-1.0], [np.nan], 1.0, [[1.0]]])
def test_path_rejects_alphas_that_are_not_positive_numbers_in_a_row(alphas):
    X, Y, groups = captioned(10, 5)
    with pytest.raises(ValueError, match="alphas must be one or more numbers greater than 0"):
        fit_ridge_path(X, Y, alphas, groups)


def test_path_rejects_groups_that_leave_nothing_to_learn_from_or_do_not_fit():
    X, Y, groups = captioned(10, 5)
    with pytest.raises(ValueError, match="groups names one photograph only"):
        fit_ridge_path(X, Y, ALPHAS, np.zeros(len(X), int))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit_ridge_path(X, Y, ALPHAS, groups[1:])


@given(
    cuts=st.lists(st.integers(0, 60), max_size=5),
    alpha=st.floats(1e-2, 1e3),
    is_sparse=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=30, deadline=None)
def test_sums_over_batches_equal_one_fit(cuts, alpha, is_sparse, seed):
    """Columns that are full in one batch and nearly empty in another included."""
    X, Y = words(60, 20, seed), descriptors(60, seed=seed + 1)
    X[:10, :4] = 0.5
    equations = NormalEquations()
    for batch in np.split(np.arange(60), sorted(cuts)):
        if batch.size:
            equations.update(sp.csr_matrix(X[batch]) if is_sparse else X[batch], Y[batch])
    weights, intercept = equations.solve(alpha)
    expected = Ridge(alpha=alpha, solver="svd").fit(X, Y)
    assert equations.n_captions == 60
    assert_allclose(weights, expected.coef_.T, rtol=1e-9, atol=1e-9)
    assert_allclose(intercept, expected.intercept_, rtol=1e-9, atol=1e-9)


def test_sums_over_batches_may_go_on_after_a_solution():
    X, Y = words(60, 20), descriptors(60)
    equations = NormalEquations().update(X[:30], Y[:30])
    assert_allclose(equations.solve(1.0)[0], Ridge(alpha=1.0).fit(X[:30], Y[:30]).coef_.T)
    equations.update(X[30:], Y[30:])
    for alpha in (1.0, 5.0):
        assert_allclose(equations.solve(alpha)[0], Ridge(alpha=alpha).fit(X, Y).coef_.T)


def test_sums_keep_their_digits_where_targets_are_far_from_zero():
    X, Y = words(5000, 20), descriptors(5000) + 1000
    expected = Ridge(alpha=1.0).fit(X, Y)
    equations = NormalEquations()
    for start in range(0, 5000, 500):
        rows = slice(start, start + 500)
        equations.update(sp.csr_matrix(X[rows], dtype=np.float32), Y[rows].astype(np.float32))
    weights, intercept = equations.solve(1.0)
    assert weights.dtype == intercept.dtype == np.float32
    assert_allclose(weights, expected.coef_.T, atol=3e-4)
    assert_allclose(intercept, expected.intercept_, rtol=1e-6)

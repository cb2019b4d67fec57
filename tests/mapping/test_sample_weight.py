"""A weight is a number of rows: whole weights repeat a caption, and zero leaves it out."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neighbors import KNeighborsRegressor

from txt2img import TextToVisualRegressor
from txt2img.mapping import MapEnsemble
from txt2img.mapping.closed_form import NormalEquations, fit_ridge, fit_ridge_path
from txt2img.mapping.losses import LOSSES

ALPHAS = (0.1, 1.0, 10.0)
# A batch holds all captions, as only then a network sees the weighted mean itself.
NETWORK = {"solver": "network", "hidden": 6, "epochs": 5, "batch_size": 500, "random_state": 0}
REGRESSORS = {
    "ridge": TextToVisualRegressor(alpha=0.5),
    "ridge, auto": TextToVisualRegressor(alpha=ALPHAS),
    **{f"network, {loss}": TextToVisualRegressor(**NETWORK, loss=loss, n_components=3) for loss in LOSSES},
    "network from ridge": TextToVisualRegressor(**NETWORK | {"hidden": None}, init="ridge", alpha=0.5),
    "ensemble": MapEnsemble([("weak", TextToVisualRegressor()), ("strong", TextToVisualRegressor(alpha=99))]),
}


@pytest.fixture(params=[(60, 9), (14, 40)], ids=["many captions", "few captions"])
def problem(request):
    n_captions, n_features = request.param
    rng = np.random.default_rng(0)
    photograph = np.arange(n_captions) // 2
    X = rng.uniform(size=(n_captions, n_features)) * (rng.uniform(size=(n_captions, n_features)) < 0.4)
    Y = 3 + rng.normal(size=(n_captions, 4))[photograph]
    return X, Y, photograph, rng.integers(0, 4, n_captions)


@pytest.mark.parametrize("regressor", REGRESSORS.values(), ids=REGRESSORS)
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_whole_weights_repeat_captions_and_zero_leaves_them_out(problem, regressor, container):
    X, Y, photograph, weight = problem
    rows = np.repeat(np.arange(len(X)), weight)
    repeated = regressor.fit(container(X[rows]), Y[rows], groups=photograph[rows]).predict(X)
    weighted = regressor.fit(container(X), Y, groups=photograph, sample_weight=weight).predict(X)
    assert_allclose(weighted, repeated, rtol=1e-3, atol=1e-4)
    unweighted = regressor.fit(container(X), Y, groups=photograph).predict(X)
    assert np.abs(weighted - unweighted).max() > 1e-3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ridge_solves_the_weighted_normal_equations(problem, dtype):
    X, Y, _, weight = problem
    weight = weight + 0.5
    W, b = fit_ridge(X.astype(dtype), Y.astype(dtype), 0.3, weight.astype(dtype))
    assert W.dtype == b.dtype == dtype
    residuals = weight[:, None] * (Y - X @ W - b)
    assert_allclose(X.T @ residuals, 0.3 * W, atol=1e-9 if dtype == np.float64 else 2e-3)
    assert_allclose(residuals.sum(axis=0), 0, atol=1e-9 if dtype == np.float64 else 2e-3)


def test_errors_on_left_out_photographs_are_weighted(problem):
    X, Y, photograph, weight = problem
    weight = weight + 0.5
    *_, scores = fit_ridge_path(X, Y, ALPHAS, photograph, weight=weight)
    for alpha, score in zip(ALPHAS, scores):
        squares = np.empty_like(Y)
        for each in np.unique(photograph):
            out = photograph == each
            W, b = fit_ridge(X[~out], Y[~out], alpha, weight[~out])
            squares[out] = (Y[out] - X[out] @ W - b) ** 2
        assert_allclose(np.average(squares.mean(axis=1), weights=weight), score)


@pytest.mark.parametrize("shape", [(80, 12), (80, 200)], ids=["many captions", "few captions"])
def test_estimated_errors_are_near_the_exact_ones(monkeypatch, shape):
    rng = np.random.default_rng(0)
    photograph = np.arange(shape[0]) // 2
    X, weight = rng.normal(size=shape), rng.uniform(0.2, 3, shape[0])
    Y = X[:, :3] + 3 * rng.normal(size=(shape[0], 3))
    *_, exact = fit_ridge_path(X, Y, ALPHAS, photograph, weight=weight)
    monkeypatch.setattr("txt2img.mapping.closed_form.EXACT_CAPTIONS", 0)
    draws = [fit_ridge_path(X, Y, ALPHAS, photograph, seed, weight)[3] for seed in range(60)]
    error = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert (np.abs(np.mean(draws, axis=0) - exact) < 4 * error).all()


def test_partial_fit_of_ridge_is_fit(problem):
    X, Y, _, weight = problem
    whole = TextToVisualRegressor(alpha=0.5).fit(X, Y, sample_weight=weight)
    parts = TextToVisualRegressor(alpha=0.5)
    for rows in np.array_split(np.arange(len(X)), 3):
        parts.partial_fit(X[rows], Y[rows], sample_weight=weight[rows])
    assert_allclose(parts.predict(X), whole.predict(X))
    assert NormalEquations().update(X, Y, weight + 1.0).n_captions == weight.sum() + len(X)


@pytest.mark.parametrize("solver", ["ridge", "network"])
def test_equal_weights_are_no_weights(problem, solver):
    X, Y, *_ = problem
    regressor = TextToVisualRegressor(solver, hidden=5, batch_size=16, random_state=0)
    plain = regressor.fit(X, Y).predict(X)
    assert_array_equal(regressor.fit(X, Y, sample_weight=np.ones(len(X))).predict(X), plain)


def test_early_stopping_weighs_what_is_set_aside(problem):
    X, Y, photograph, weight = problem
    regressor = TextToVisualRegressor(**NETWORK, early_stopping=True, validation_fraction=0.3)
    rows = np.repeat(np.arange(len(X)), weight)
    repeated = regressor.fit(X[rows], Y[rows], groups=photograph[rows]).validation_losses_
    weighted = regressor.fit(X, Y, groups=photograph, sample_weight=weight).validation_losses_
    assert_allclose(weighted, repeated, rtol=1e-4)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(60), "sample_weight is zero for all captions"),
        (np.r_[-1, np.ones(59)], "sample_weight holds -1.0: pass weights of 0 or more"),
        (np.r_[np.nan, np.ones(59)], "NaN"),
        (np.ones(59), r"sample_weight has shape \(59,\) but there are 60 captions"),
    ],
)
@pytest.mark.parametrize("regressor", ["ridge", "ensemble"])
def test_wrong_weights_are_refused(weight, message, regressor):
    X = np.random.default_rng(0).normal(size=(60, 3))
    with pytest.raises(ValueError, match=message):
        REGRESSORS[regressor].fit(X, X, sample_weight=weight)


def test_an_ensemble_names_the_map_that_takes_no_weights():
    ensemble = MapEnsemble([("ridge", TextToVisualRegressor()), ("near", KNeighborsRegressor(1))])
    with pytest.raises(ValueError, match="'near' takes no sample_weight"):
        ensemble.fit(np.eye(3), np.eye(3), sample_weight=[1, 2, 3])

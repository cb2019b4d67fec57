import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from sklearn.decomposition import PCA

from txt2img import DescriptorWhitener


def descriptors(n=200, d=12, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)).astype(dtype)


def test_without_exponent_it_is_principal_component_analysis():
    X = descriptors()
    ours = DescriptorWhitener(n_components=5, exponent=0).fit_transform(X)
    theirs = PCA(5).fit_transform(X)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-8)


@given(st.floats(0, 1), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_variance_along_each_axis_is_the_eigenvalue_to_one_minus_exponent(exponent, n_components):
    whitener = DescriptorWhitener(n_components, exponent=exponent)
    Z = whitener.fit_transform(descriptors())
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-9)
    covariance = np.cov(Z.T, bias=True).reshape(n_components, n_components)
    np.testing.assert_allclose(covariance, np.diag(whitener.variances_ ** (1 - exponent)), atol=1e-8)


@given(st.lists(st.integers(1, 199), max_size=4, unique=True))
@settings(max_examples=20, deadline=None)
def test_learning_in_parts_equals_learning_at_once(cuts):
    X = descriptors()
    whole = DescriptorWhitener(n_components=6).fit(X)
    parts = DescriptorWhitener(n_components=6)
    for part in np.split(X, sorted(cuts)):
        parts.partial_fit(part)
    assert parts.n_samples_seen_ == 200
    np.testing.assert_allclose(parts.transform(X), whole.transform(X), rtol=1e-6, atol=1e-8)


def test_shrinkage_tames_the_small_axes():
    X = descriptors()
    plain = DescriptorWhitener(exponent=1).fit_transform(X).std(axis=0)
    shrunk = DescriptorWhitener(exponent=1, shrinkage=1).fit_transform(X).std(axis=0)
    np.testing.assert_allclose(plain, 1)
    assert (np.diff(shrunk) <= 1e-12).all()
    assert shrunk[-1] < 0.5


def test_axes_without_variance_are_left_out():
    X = np.hstack([descriptors(d=4), np.full((200, 3), 2.0)])
    assert DescriptorWhitener().fit(X).n_components_ == 4
    assert DescriptorWhitener(n_components=None).fit(X[:3]).n_components_ == 2


@pytest.mark.parametrize("X", [np.ones((5, 3)), np.ones((1, 3)), np.zeros((4, 2))])
def test_constant_descriptors_become_zeros_not_nan(X):
    Z = DescriptorWhitener().fit_transform(X)
    assert Z.shape == (len(X), 1)
    np.testing.assert_array_equal(Z, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type_is_kept(dtype):
    whitener = DescriptorWhitener().fit(descriptors(dtype=dtype))
    assert whitener.transform(descriptors(dtype=dtype)).dtype == dtype
    assert whitener.components_.dtype == dtype


def test_single_precision_is_near_double():
    single, double = (
        DescriptorWhitener(8).fit_transform(descriptors(dtype=dtype)) for dtype in (np.float32, np.float64)
    )
    np.testing.assert_allclose(single, double, atol=1e-4)


def test_bad_input():
    with pytest.raises(ValueError, match="NaN"):
        DescriptorWhitener().fit([[np.nan, 1.0]])
    with pytest.raises(ValueError, match="'exponent' parameter"):
        DescriptorWhitener(exponent=2).fit(descriptors())
    with pytest.raises(ValueError, match="12 features"):
        DescriptorWhitener().fit(descriptors()).transform(np.ones((2, 5)))


def test_wide_descriptors_are_whitened_as_narrow_ones_are(monkeypatch):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(300, 40)) * 0.9 ** np.arange(40) @ rng.normal(size=(40, 120))).astype(np.float32)
    exact = DescriptorWhitener(n_components=10, shrinkage=0.1).fit(X)
    monkeypatch.setattr("txt2img.images.whitener.WIDE", 100)
    found = DescriptorWhitener(n_components=10, shrinkage=0.1).fit(X)
    np.testing.assert_allclose(found.variances_, exact.variances_, rtol=1e-3)
    np.testing.assert_allclose(np.abs(found.transform(X)), np.abs(exact.transform(X)), rtol=0.05, atol=0.05)
    np.testing.assert_array_equal(DescriptorWhitener(10, shrinkage=0.1).fit(X).components_, found.components_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "n_components"), [(2, 5), (30, 5), (30, 512), (30, None), (39, 512)])
def test_fewer_photographs_than_numbers_are_whitened_as_many_are(n, n_components, dtype):
    """Those seen in parts go by way of the covariance; both ways find the same axes."""
    X = descriptors(n, 40, dtype=dtype)
    few, by_covariance = DescriptorWhitener(n_components).fit(X), DescriptorWhitener(n_components)
    by_covariance.partial_fit(X)
    assert few.n_components_ == by_covariance.n_components_ == min(n - 1, n_components or n)
    assert few.components_.dtype == dtype
    tolerance = 1e-8 if dtype is np.float64 else 2e-3
    np.testing.assert_allclose(few.variances_, by_covariance.variances_, rtol=tolerance, atol=1e-9)
    np.testing.assert_allclose(few.transform(X), by_covariance.transform(X), rtol=tolerance, atol=tolerance)
    new = descriptors(7, 40, seed=1, dtype=dtype)
    np.testing.assert_allclose(
        few.transform(new), by_covariance.transform(new), rtol=0.01, atol=20 * tolerance
    )


def test_few_photographs_of_wide_descriptors_take_no_cube_of_the_width(monkeypatch):
    sizes, eigh = [], linalg.eigh
    monkeypatch.setattr(linalg, "eigh", lambda a, **options: sizes.append(a.shape) or eigh(a, **options))
    DescriptorWhitener().fit(descriptors(20, 300))
    assert sizes == [(20, 20)]

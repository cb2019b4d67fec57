import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neighbors import KNeighborsTransformer, NearestNeighbors
from sklearn.pipeline import make_pipeline

from txt2img import ImageIndex, TextToVisualRegressor

X = np.random.default_rng(0).normal(size=(30, 5))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("queries", [X[:7] + 0.1, None], ids=["queries", "photographs themselves"])
def test_graphs_are_those_of_scikit_learn(metric, queries):
    ours = ImageIndex(metric, n_neighbors=4).fit(X)
    theirs = NearestNeighbors(n_neighbors=4, metric=metric, algorithm="brute").fit(X)
    for mode in ("connectivity", "distance"):
        expected = theirs.kneighbors_graph(queries, mode=mode)
        assert_allclose(ours.kneighbors_graph(queries, mode=mode).toarray(), expected.toarray(), atol=1e-5)
    distances, rows = ours.kneighbors(queries, 2)
    assert_array_equal(rows, theirs.kneighbors(queries, 2)[1])
    assert_allclose(distances, theirs.kneighbors(queries, 2)[0], atol=1e-5)


def test_transform_is_that_of_a_neighbours_transformer():
    theirs = KNeighborsTransformer(n_neighbors=3, mode="distance").fit(X)
    # scikit-learn's finds one more, the photograph itself.
    ours = ImageIndex("euclidean", n_neighbors=4).fit(X)
    assert_allclose(ours.transform(X + 0.1).toarray(), theirs.transform(X + 0.1).toarray(), atol=1e-4)


def test_equal_photographs_are_neighbours_but_none_is_its_own():
    index = ImageIndex(n_neighbors=3).fit(np.ones((6, 2)))
    rows = index.kneighbors(return_distance=False)
    assert (rows != np.arange(6)[:, None]).all()


def test_neighbours_among_the_photographs_are_not_corrected_for_hubness():
    corrected = ImageIndex(hubness="csls").fit(X, bank=X + 1.0)
    assert_allclose(corrected.kneighbors()[0], ImageIndex().fit(X).kneighbors()[0], atol=1e-6)


def test_rows_count_what_is_there_only():
    index = ImageIndex("euclidean").fit(X).remove([0, 5])
    rows = index.kneighbors(X[[3]], 1, return_distance=False)
    assert_allclose(index.descriptors_[rows[0, 0]], X[3], atol=1e-6)
    assert index.kneighbors_graph(X[[3]], 1).shape == (1, 28)


def test_bad_mode_is_named():
    with pytest.raises(ValueError, match="mode='x' must be 'connectivity' or 'distance'"):
        ImageIndex().fit(X).kneighbors_graph(mode="x")


def test_in_the_middle_of_a_pipeline():
    model = make_pipeline(ImageIndex("euclidean", n_neighbors=3), TextToVisualRegressor())
    assert model[:1].fit(X).transform(X).shape == (30, 30)

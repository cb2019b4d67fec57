from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestNeighbors

from txt2img import ImageIndex


def vectors(n, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@given(n=st.integers(1, 60), q=st.integers(1, 20), seed=st.integers(0, 999), data=st.data())
@settings(max_examples=20, deadline=None)
def test_same_neighbours_as_scikit_learn(metric, n, q, seed, data):
    gallery, queries = vectors(n, seed=seed), vectors(q, seed=seed + 1000)
    k = data.draw(st.integers(1, n))
    theirs = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric).fit(gallery)
    distances, rows = ImageIndex(metric).fit(gallery).kneighbors(queries, k)
    expected_distances, expected_rows = theirs.kneighbors(queries)
    np.testing.assert_allclose(distances, expected_distances, atol=2e-3)
    assert (rows == expected_rows).mean() > 0.98  # rounding may swap two that are equally near


def test_inner_product_is_the_naive_product():
    gallery, queries = vectors(50), vectors(7, seed=1)
    scores, ids = ImageIndex("inner_product").fit(gallery).search(queries, k=3)
    naive = queries @ gallery.T
    np.testing.assert_array_equal(ids, np.argsort(-naive, axis=1)[:, :3])
    np.testing.assert_allclose(scores, -np.sort(-naive, axis=1)[:, :3], rtol=1e-5)


def test_equal_scores_come_in_the_order_of_arrival():
    index = ImageIndex().fit(np.ones((9, 2)), ids=list("ihgfedcba"))
    assert index.search([[1, 1]], k=4)[1].tolist() == [list("ihgf")]


@pytest.mark.parametrize("ids", [["a", "b"], [7, -3], [("a", 1), ("b", 2)], [Path("a"), Path("b")], ["a", 1]])
def test_ids_of_many_types_come_back_as_they_were(ids):
    index = ImageIndex().fit([[1, 0], [0, 1]], ids=ids)
    assert index.predict([[0, 1], [1, 0]]).tolist() == ids[::-1]


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "inner_product"])
@pytest.mark.parametrize("hubness", [None, "csls"])
def test_score_factors_rank_as_search_does(metric, hubness):
    if metric == "euclidean" and hubness:
        with pytest.raises(ValueError, match=r"hubness='csls' does not go with metric=\"euclidean\""):
            ImageIndex(metric, hubness=hubness).fit(vectors(3), bank=vectors(3))
        return
    index = ImageIndex(metric, hubness=hubness).fit(vectors(40), bank=vectors(30, seed=2))
    Q, G, bias = index.score_factors(vectors(5, seed=1))
    order = np.argsort(-(Q @ G.T + (0 if bias is None else bias)), axis=1)
    np.testing.assert_array_equal(index.search(vectors(5, seed=1), k=40)[1], order)


def test_bias_of_photographs_added_later_is_that_of_all_at_once():
    bank = vectors(30, seed=2)
    whole = ImageIndex(hubness="csls").fit(vectors(40), bank=bank)
    parts = ImageIndex(hubness="csls").fit(vectors(40)[:25], bank=bank).add(vectors(40)[25:])
    np.testing.assert_allclose(parts.bias_, whole.bias_, rtol=1e-5)
    np.testing.assert_array_equal(parts.ids_, whole.ids_)


class IndexAgainstDictionary(RuleBasedStateMachine):
    """The index holds what a dictionary holds, under any sequence of changes."""

    def __init__(self):
        super().__init__()
        self.index = ImageIndex("inner_product").fit([[1.0, 0.0]], ids=["first"])
        self.model = {"first": [1.0, 0.0]}

    @rule(ids=st.lists(st.text("abc", max_size=2), min_size=1, max_size=4), value=st.integers(-9, 9))
    def add(self, ids, value):
        rows = [[value, i] for i in range(len(ids))]
        if len(set(ids)) < len(ids) or set(ids) & set(self.model):
            with pytest.raises(ValueError, match="ids holds"):
                self.index.add(rows, ids=ids)
        else:
            self.index.add(rows, ids=ids)
            self.model |= dict(zip(ids, rows))

    @rule(ids=st.lists(st.text("abc", max_size=2), min_size=1, max_size=2))
    def remove(self, ids):
        if set(ids) <= set(self.model):
            self.index.remove(ids)
            for id in set(ids):
                del self.model[id]
        else:
            with pytest.raises(KeyError, match="not in the index"):
                self.index.remove(ids)

    @invariant()
    def same_photographs(self):
        assert dict(zip(self.index.ids_, self.index.descriptors_.tolist())) == self.model

    @precondition(lambda self: self.model)
    @rule(x=st.integers(-5, 5), y=st.integers(-5, 5))
    def search(self, x, y):
        scores, ids = self.index.search([[x, y]], k=len(self.model))
        assert [self.model[id][0] * x + self.model[id][1] * y for id in ids[0]] == scores[0].tolist()


TestIndexAgainstDictionary = IndexAgainstDictionary.TestCase
TestIndexAgainstDictionary.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_rows_of_nan_are_left_out_and_named():
    X = vectors(4)
    X[1] = np.nan
    with pytest.warns(UserWarning, match=r"1 photographs without a descriptor.*'b'"):
        index = ImageIndex().fit(X, ids=list("abcd"))
    assert index.ids_.tolist() == list("acd")
    assert index.predict(X[[0, 2, 3]]).tolist() == list("acd")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_bad_in_part_is_refused(bad):
    X = vectors(4)
    X[2, 1] = bad
    with pytest.raises(ValueError, match=r"row 2 of X \(id 'c'\) holds NaN or infinity"):
        ImageIndex().fit(X, ids=list("abcd"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda index: index.search(vectors(1), k=6),
            r"k=6 is larger than the gallery of 5 photographs: ask for",
        ),
        (lambda index: index.search(vectors(1), k=0), "k=0 must be a whole number of at least 1"),
        (lambda index: index.search(vectors(1), k=1.5), r"k=1\.5 must be a whole number"),
        (lambda index: index.search(vectors(1, d=4), k=1), "X has 4 features.* expecting 6 features"),
        (lambda index: index.search(vectors(1)[0], k=1), "Reshape your data"),
        (lambda index: index.search(np.full((1, 6), np.nan), k=1), "X holds NaN or infinity"),
        (lambda index: index.add(vectors(2), ids=["x"]), "ids has 1 entries but there are 2 descriptors"),
        (lambda index: index.add(vectors(2), ids="xy"), "ids='xy' is one id"),
        (lambda index: index.add(vectors(1), ids=[0]), "already, such as 0: remove them first"),
        (lambda index: ImageIndex(hubness="csls").fit(vectors(2)), "hubness='csls' needs bank"),
        (lambda index: ImageIndex("manhattan").fit(vectors(2)), "'metric' parameter"),
    ],
)
def test_bad_input_is_named_with_its_remedy_and_changes_nothing(call, message):
    index = ImageIndex().fit(vectors(5))
    with pytest.raises(ValueError, match=message):
        call(index)
    assert len(index) == 5


def test_search_before_fit():
    with pytest.raises(NotFittedError):
        ImageIndex().search([[1, 2]])


def test_emptied_index_says_so():
    index = ImageIndex().fit(vectors(2)).remove([0, 1])
    with pytest.raises(ValueError, match="gallery of 0 photographs"):
        index.search(vectors(1), k=1)
    assert index.add(vectors(1), ids=["new"]).predict(vectors(1)).tolist() == ["new"]


def test_inputs_are_not_changed():
    X = vectors(5)
    before = X.copy()
    ImageIndex().fit(X).search(X, k=2)
    np.testing.assert_array_equal(X, before)

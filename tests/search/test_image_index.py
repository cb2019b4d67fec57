import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestNeighbors

from txt2img import ImageIndex
from txt2img.search.backends import exact

METRICS = ("cosine", "euclidean", "inner_product")
every_metric = pytest.mark.parametrize("metric", METRICS)
with_correction = pytest.mark.parametrize(
    ("metric", "hubness"),
    [*((metric, None) for metric in METRICS), ("cosine", "csls"), ("inner_product", "csls")],
)


def rows(n, d=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@st.composite
def gallery_queries_and_k(draw, elements):
    d = draw(st.integers(1, 5))
    n_gallery, n_queries = draw(st.integers(1, 20)), draw(st.integers(1, 4))
    arrays = [draw(hnp.arrays(np.float32, (n, d), elements=elements)) for n in (n_gallery, n_queries)]
    return *arrays, draw(st.integers(1, n_gallery))


@every_metric
@given(data=gallery_queries_and_k(st.integers(-64, 64).map(lambda i: i / 8)))
@settings(max_examples=40, deadline=None)
def test_distances_equal_nearest_neighbours_of_scikit_learn(metric, data):
    gallery, queries, k = data
    theirs_metric = (lambda a, b: -a @ b) if metric == "inner_product" else metric
    theirs = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=theirs_metric)
    expected, _ = theirs.fit(gallery.astype(np.float64)).kneighbors(queries.astype(np.float64))
    distances, _ = ImageIndex(metric).fit(gallery).kneighbors(queries, k)
    assert_allclose(distances, expected, rtol=1e-3, atol=0.01 if metric == "euclidean" else 1e-4)


@pytest.mark.parametrize("metric", ["euclidean", "inner_product"])
@given(data=gallery_queries_and_k(st.integers(-4, 4)))
@settings(max_examples=60, deadline=None)
def test_equal_scores_come_in_the_order_of_arrival(metric, data):
    """Products and sums of such small whole numbers are exact, so that ties are ties."""
    gallery, queries, k = data
    if metric == "euclidean":
        badness = ((queries[:, None] - gallery) ** 2).sum(axis=2)
    else:
        badness = -queries @ gallery.T
    expected = np.argsort(badness, axis=1, kind="stable")[:, :k]
    assert_array_equal(ImageIndex(metric).fit(gallery).search(queries, k)[1], expected)


@every_metric
def test_scores_are_what_the_metric_says(metric):
    gallery, queries = rows(30), rows(4, seed=1)
    scores, ids = ImageIndex(metric).fit(gallery).search(queries, k=30)
    assert scores.dtype == np.float32
    for query, own_scores, own_ids in zip(queries, scores, ids):
        near = gallery[own_ids]
        expected = {
            "cosine": near @ query / np.linalg.norm(near, axis=1) / np.linalg.norm(query),
            "euclidean": -np.linalg.norm(near - query, axis=1),
            "inner_product": near @ query,
        }[metric]
        assert_allclose(own_scores, expected, atol=1e-5)
        assert (np.diff(own_scores) <= 0).all()


@every_metric
def test_a_photograph_finds_itself(metric):
    gallery = rows(50) / np.linalg.norm(rows(50), axis=1, keepdims=True)
    index = ImageIndex(metric).fit(gallery, ids=[f"{i}.jpg" for i in range(50)])
    assert index.predict(gallery).tolist() == [f"{i}.jpg" for i in range(50)]


@with_correction
def test_score_factors_rank_as_search_does(metric, hubness):
    gallery, queries = rows(40), rows(6, seed=1)
    index = ImageIndex(metric, hubness=hubness).fit(gallery, bank=rows(30, seed=2))
    Q, G, bias = index.score_factors(queries)
    scores = Q @ G.T + (0 if bias is None else bias)
    assert_array_equal(np.argsort(-scores, axis=1, kind="stable"), index.search(queries, k=40)[1])


@every_metric
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("block_bytes", [1, 4 * 10 * 7, 4 * 40 * 3])
def test_blocks_do_not_change_the_answer(monkeypatch, metric, dtype, block_bytes):
    index, queries = ImageIndex(metric, dtype=dtype).fit(rows(40)), rows(10, seed=1)
    index.add(rows(5, seed=2)).remove([3, 7, 41])
    scores, ids = index.search(queries, k=7)
    for name in ("ROW_BYTES", "SCORE_BYTES"):
        monkeypatch.setattr(exact, name, block_bytes)
    again, same_ids = index.search(queries, k=7)
    assert_allclose(again, scores, atol=1e-5)
    assert_array_equal(same_ids, ids)


@every_metric
def test_kneighbors_and_predict_agree_with_search(metric):
    index = ImageIndex(metric, n_neighbors=3).fit(rows(20), ids=list("abcdefghijklmnopqrst"))
    queries = rows(4, seed=1)
    scores, ids = index.search(queries, k=3)
    distances, found = index.kneighbors(queries)
    assert_array_equal(index.ids_[found], ids)
    assert_allclose(distances, 1 - scores if metric == "cosine" else -scores, atol=1e-6)
    assert_array_equal(index.kneighbors(queries, 2, return_distance=False), found[:, :2])
    assert_array_equal(index.predict(queries), ids[:, 0])


@pytest.mark.parametrize(
    "ids",
    [
        ["a.jpg", "b/ñandú.jpg", ""],
        [7, -1, 3],
        [2**63, 0, 1],  # 64 bits do not hold it
        [-(2**63) - 1, 2**70, 0],
        [("album", 1), ("album", 2), ("other", 1)],
        [("album", 1, 2), ("album", 2, 3), ("other", 1, 4)],  # as many as each is long
        [Path("a.jpg"), Path("b.jpg"), "a.jpg"],
        [1, "1", (1,)],
        [None, b"a", Fraction(1, 2)],
        np.array(["x", "y", "z"]),
        np.array([10, 20, 30], dtype=np.uint8),
    ],
    ids=repr,
)
def test_ids_of_any_kind_come_back_as_they_were(ids):
    vectors = np.eye(3)
    expected = list(ids.tolist() if isinstance(ids, np.ndarray) else ids)
    index = ImageIndex().fit(vectors[:2], ids=ids[:2]).add(vectors[2:], ids=ids[2:])
    found = index.predict(vectors).tolist()
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))
    index.remove([expected[1]])
    assert index.predict(vectors[[0, 2]]).tolist() == [expected[0], expected[2]]


def test_ids_by_default_are_running_numbers_that_are_not_in_use():
    index = ImageIndex().fit(rows(3)).add(rows(2))
    assert index.ids_.tolist() == [0, 1, 2, 3, 4]
    assert index.remove([1]).add(rows(1)).ids_.tolist() == [0, 2, 3, 4, 5]
    assert ImageIndex().fit(rows(2), ids=["a", 7]).add(rows(2)).ids_.tolist() == ["a", 7, 8, 9]


def test_adding_in_parts_equals_fitting_at_once():
    gallery, queries = rows(30), rows(5, seed=1)
    parts = ImageIndex().fit(gallery[:4])
    for part in np.split(gallery[4:], [1, 9, 20]):
        parts.add(part)
    for ours, expected in zip(parts.search(queries, 30), ImageIndex().fit(gallery).search(queries, 30)):
        assert_array_equal(ours, expected)


def test_a_row_of_nan_is_left_out_with_its_id_and_a_warning():
    gallery = np.eye(4)
    gallery[1] = np.nan
    message = r"1 photographs without a descriptor are left out of the index: \['b'\]"
    with pytest.warns(UserWarning, match=message):
        index = ImageIndex().fit(gallery, ids=list("abcd"))
    assert index.predict(np.eye(4)[[0, 2, 3]]).tolist() == ["a", "c", "d"]
    with pytest.warns(UserWarning, match=r"\['f'\]"):
        index.add(gallery[:2] + 1, ids=["e", "f"])
    assert index.ids_.tolist() == ["a", "c", "d", "e"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_broken_in_part_is_refused(bad):
    gallery = np.eye(3)
    gallery[2, 0] = bad
    with pytest.raises(ValueError, match=r"row 2 of X \(id 'c'\) holds NaN or infinity: leave"):
        ImageIndex().fit(gallery, ids=list("abc"))


def test_a_row_of_infinities_is_refused_though_no_number_is_finite():
    with pytest.raises(ValueError, match=r"row 1 of X \(id 1\) holds NaN or infinity"):
        ImageIndex().fit([[1.0, 0.0], [np.inf, np.inf]])


def test_zero_vectors_have_the_cosine_zero():
    scores, _ = ImageIndex().fit([[0, 0], [1, 1]]).search([[0, 0], [1, 1]], k=2)
    assert_allclose(scores, [[0, 0], [1, 0]], atol=1e-6)


@every_metric
def test_inputs_are_left_as_they_were(metric):
    gallery, queries, ids = rows(10), rows(3, seed=1), list("abcdefghij")
    index = ImageIndex(metric).fit(gallery, ids=ids)
    index.search(queries)
    index.add(queries, ids=["x", "y", "z"]).remove(["a"])
    assert_array_equal(gallery, rows(10))
    assert_array_equal(queries, rows(3, seed=1))
    assert ids == list("abcdefghij")


@with_correction
def test_later_changes_of_the_callers_arrays_do_not_reach_the_index(metric, hubness):
    gallery, queries, bank = rows(10), rows(3, seed=1), rows(5, seed=2)
    index = ImageIndex(metric, hubness=hubness).fit(gallery, bank=bank)
    expected = index.search(queries)
    gallery[:] = bank[:] = 0
    for ours, before in zip(index.search(queries), expected):
        assert_array_equal(ours, before)
    assert index.bank_ is None or index.bank_.any()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"X": rows(2), "ids": ["x"]}, ValueError, "ids has 1 entries but there are 2 descriptors"),
        ({"X": rows(2), "ids": ["x", "x"]}, ValueError, "ids holds 'x' more than once: give every"),
        ({"X": rows(2), "ids": ["x", "b"]}, ValueError, "1 ids that are in the index already, such as 'b'"),
        ({"X": rows(1), "ids": "x"}, ValueError, "ids='x' is one id: pass a list of ids"),
        ({"X": rows(1, d=4)}, ValueError, "X has 4 features, but ImageIndex is expecting 5 features"),
        ({"X": rows(1)[0]}, ValueError, "Expected 2D array, got 1D array"),
        ({"X": np.where(rows(2) > 0, np.nan, 1)}, ValueError, "holds NaN or infinity"),
        ({"X": rows(1), "ids": [["x"]]}, TypeError, "unhashable type: 'list'"),
    ],
)
def test_failed_add_is_refused_and_changes_nothing(arguments, error, message):
    index = ImageIndex().fit(rows(3), ids=["a", "b", "c"])
    before = pickle.dumps(index)
    with pytest.raises(error, match=message):
        index.add(**arguments)
    assert pickle.dumps(index) == before


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (["a", "z"], KeyError, "ids holds 1 ids that are not in the index, such as 'z'"),
        ("a", ValueError, "ids='a' is one id: pass a list of ids"),
        ([["a"]], TypeError, "unhashable type: 'list'"),
    ],
)
def test_failed_remove_is_refused_and_changes_nothing(ids, error, message):
    index = ImageIndex().fit(rows(3), ids=["a", "b", "c"])
    before = pickle.dumps(index)
    with pytest.raises(error, match=message):
        index.remove(ids)
    assert pickle.dumps(index) == before


def test_removing_nothing_and_removing_an_id_named_twice():
    index = ImageIndex().fit(rows(3))
    assert index.remove([]).ids_.tolist() == [0, 1, 2]
    assert index.remove([1, 1]).ids_.tolist() == [0, 2]


@pytest.mark.parametrize("hubness", [None, "csls"])
def test_an_emptied_index_can_be_filled_again(hubness):
    index = ImageIndex(hubness=hubness).fit(rows(3), bank=rows(4))
    index.remove([0, 1, 2])
    assert len(index) == 0
    with pytest.raises(ValueError, match="k=1 is larger than the gallery of 0 photographs"):
        index.predict(rows(1))
    assert index.add(rows(1), ids=["new"]).predict(rows(1)).tolist() == ["new"]


def test_number_of_photographs():
    assert len(ImageIndex()) == 0
    assert len(ImageIndex().fit(rows(3))) == 3


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (4, "k=4 is larger than the gallery of 3 photographs: ask for at most 3, or add photographs"),
        (0, "k=0 must be a whole number of at least 1"),
        (-1, "k=-1 must be a whole number of at least 1"),
        (2.0, r"k=2\.0 must be a whole number of at least 1"),
        (True, "k=True must be a whole number of at least 1"),
    ],
)
def test_bad_k_is_named(k, message):
    with pytest.raises(ValueError, match=message):
        ImageIndex().fit(rows(3)).search(rows(1), k=k)


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (rows(2, d=4), "X has 4 features, but ImageIndex is expecting 5 features as input: pass descriptors"),
        (rows(1)[0], r"X has 1 dimensions, shape \(5,\)\. Reshape your data"),
        (np.full((1, 5), np.nan), "X holds NaN or infinity: check the text"),
        (np.full((1, 5), np.inf), "X holds NaN or infinity: check the text"),
    ],
)
@pytest.mark.parametrize("method", ["search", "predict", "kneighbors", "score_factors"])
def test_bad_queries_are_named(method, queries, message):
    with pytest.raises(ValueError, match=message):
        getattr(ImageIndex(n_neighbors=1).fit(rows(5)), method)(queries)


def test_no_queries_give_no_rows():
    scores, ids = ImageIndex().fit(rows(3)).search(np.empty((0, 5)), k=2)
    assert scores.shape == ids.shape == (0, 2)


@pytest.mark.parametrize("method", ["search", "predict", "kneighbors", "score_factors", "add", "remove"])
def test_not_fitted(method):
    with pytest.raises(NotFittedError, match="ImageIndex instance is not fitted yet"):
        getattr(ImageIndex(), method)(rows(1))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("metric", "manhattan"), ("hubness", "other"), ("hubness_neighbors", 0), ("n_neighbors", 0)],
)
def test_bad_parameters_are_named(parameter, value):
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of ImageIndex must be"):
        ImageIndex().set_params(**{parameter: value}).fit(rows(3))


def test_clone_is_empty_and_has_the_parameters():
    index = clone(ImageIndex("euclidean", n_neighbors=2).fit(rows(3)))
    assert index.get_params() == ImageIndex("euclidean", n_neighbors=2).get_params()
    assert len(index) == 0


@pytest.mark.parametrize(("before", "after"), [(None, "csls"), ("softmax", None)])
def test_another_hubness_correction_asks_for_another_fit(before, after):
    index = ImageIndex(hubness=before).fit(rows(3), bank=rows(4)).set_params(hubness=after)
    with pytest.raises(ValueError, match=f"hubness={after!r} is not what the index was fitted with"):
        index.add(rows(2))
    assert len(index) == 3


def test_fitting_again_forgets_the_former_gallery():
    index = ImageIndex().fit(rows(6), ids=list("abcdef")).remove(["a"])
    index.fit(rows(2, d=3), ids=["f", "g"])
    assert index.remove(["f"]).ids_.tolist() == ["g"]
    assert index.n_features_in_ == 3


@every_metric
def test_rows_of_are_the_rows_of_the_descriptors_whatever_was_removed(metric):
    gallery = rows(9)
    ids = ["a", 7, ("album", 1), "7", -1, "ñ", 2**70, "h", 3.5]
    index = ImageIndex(metric).fit(gallery, ids=ids)
    asked = [3.5, "7", ("album", 1), 7, "7"]
    found = index.rows_of(asked)
    assert found.dtype == np.intp
    assert_array_equal(found, [8, 3, 2, 1, 3])
    index.remove(["a", 2**70]).add(gallery[:1], ids=["a"])
    left = ImageIndex(metric).fit(gallery, ids=ids).descriptors_
    for id in [*ids[1:6], *ids[7:], "a"]:
        (row,) = index.rows_of([id])
        assert index.ids_[row] == id
        assert_array_equal(index.descriptors_[row], left[ids.index(id)])
    assert index.rows_of(np.array([7, -1])).tolist() == [0, 3]
    assert index.rows_of([]).shape == (0,)


def test_rows_of_unknown_ids_name_the_first():
    index = ImageIndex().fit(rows(3), ids=["a", "b", "c"]).remove(["b"])
    with pytest.raises(KeyError, match="ids holds 2 ids that are not in the index, such as 'b'"):
        index.rows_of(["a", "b", "z"])
    with pytest.raises(ValueError, match="ids='ab' is one id: pass a list of ids"):
        index.rows_of("ab")
    with pytest.raises(NotFittedError):
        ImageIndex().rows_of(["a"])

"""Exact search beside scikit-learn and faiss, in all types, and what it costs in memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neighbors import NearestNeighbors

from txt2img import ImageIndex
from txt2img.search.backends import exact

METRICS = ("cosine", "euclidean", "inner_product")
# How far scores may be off, in parts of the product of both lengths.
PRECISION = {"float32": 1e-5, "float16": 1e-3, "int8": 0.02}


@pytest.mark.parametrize("dtype", PRECISION)
@pytest.mark.parametrize("metric", METRICS)
@given(
    n=st.integers(5, 400),
    d=st.integers(1, 40),
    n_queries=st.integers(1, 8),
    k=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=20, deadline=None)
def test_same_neighbours_as_scikit_learn_and_faiss(metric, dtype, n, d, n_queries, k, seed):
    faiss = pytest.importorskip("faiss")
    rng = np.random.default_rng(seed)
    gallery = rng.normal(size=(n, d)).astype(np.float32)
    queries = rng.normal(size=(n_queries, d)).astype(np.float32)
    if metric == "cosine":
        gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    scores, ids = ImageIndex(metric, dtype=dtype).fit(gallery).search(queries, k)
    flat = faiss.IndexFlat(d, faiss.METRIC_L2 if metric == "euclidean" else faiss.METRIC_INNER_PRODUCT)
    flat.add(gallery)
    theirs, _ = flat.search(queries, k)
    theirs = -np.sqrt(np.maximum(theirs, 0)) if metric == "euclidean" else theirs
    sizes = np.linalg.norm(queries, axis=1, keepdims=True) * np.linalg.norm(gallery, axis=1).max()
    tolerance = (np.sqrt if metric == "euclidean" else np.abs)(PRECISION[dtype] * (1 + sizes**1))
    assert (np.abs(scores - theirs) <= 2 * tolerance).all()
    if metric != "inner_product":
        brute = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric).fit(gallery)
        distances, _ = brute.kneighbors(queries)
        ours = 1 - scores if metric == "cosine" else -scores
        assert (np.abs(ours - distances) <= 2 * tolerance).all()
    # What is found scores as high, in full precision, as what should be found.
    if metric == "euclidean":
        own = -np.linalg.norm(gallery[ids] - queries[:, None], axis=2)
    else:
        own = np.einsum("qkd,qd->qk", gallery[ids], queries)
    assert (np.abs(own - theirs) <= 2 * tolerance).all()


def test_bits_of_half_precision_are_read_right():
    every_half = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = every_half[np.isfinite(every_half)].reshape(-1, 2)
    ours = exact._as_factors(halves) * exact.HALF_TO_QUERIES * exact.HALF_TO_SCORES
    assert_array_equal(ours, halves.astype(np.float32))


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_half_precision_at_any_size(size):
    rng = np.random.default_rng(0)
    gallery, queries = size * rng.normal(size=(50, 6)), rng.normal(size=(5, 6)) / size
    scores, _ = ImageIndex("inner_product", dtype="float16").fit(gallery).search(queries, k=50)
    assert_allclose(scores, np.sort(queries @ gallery.T)[:, ::-1], atol=0.01)


def test_half_precision_refuses_what_it_cannot_hold():
    with pytest.raises(ValueError, match='X holds numbers beyond 65504, too large for dtype="float16"'):
        ImageIndex("euclidean", dtype="float16").fit([[1.0, 70000.0]])


@pytest.mark.parametrize("dtype", PRECISION)
def test_descriptors_are_what_is_kept(dtype):
    gallery = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)
    index = ImageIndex("inner_product", dtype=dtype).fit(gallery)
    kept = index.descriptors_
    assert kept.dtype == np.float32
    assert_allclose(kept, gallery, atol={"float32": 0, "float16": 2e-3, "int8": 0.02}[dtype])
    scores, ids = index.search(gallery[:4], k=30)
    assert_allclose(scores, np.take_along_axis(gallery[:4] @ kept.T, ids, axis=1), rtol=1e-4, atol=1e-4)


def test_eight_bits_hold_a_row_of_zeros():
    index = ImageIndex("inner_product", dtype="int8").fit([[0, 0], [1, 2]])
    assert_array_equal(index.descriptors_[0], [0, 0])


def test_adding_one_by_one_does_not_copy_everything_each_time(monkeypatch):
    copied, make_room = [], np.empty
    index = ImageIndex("inner_product").fit(np.ones((1, 4)))

    def counting(shape, *arguments, **options):
        copied.append(int(np.prod(shape)))
        return make_room(shape, *arguments, **options)

    monkeypatch.setattr("txt2img.search.growing.np.empty", counting)
    for _ in range(500):
        index.add(np.ones((1, 4)))
    assert sum(copied) < 500 * 4 * 20
    assert len(index) == 501


def test_removed_photographs_are_let_go_of_in_time(monkeypatch):
    monkeypatch.setattr("txt2img.search.index.MOST_REMOVED", 10)
    index = ImageIndex().fit(np.eye(40))
    index.remove(range(20))
    assert index._backend.n_slots == 40
    index.remove([20, 21])
    assert index._backend.n_slots == 18
    assert index.predict(np.eye(40)[[30]]).tolist() == [30]

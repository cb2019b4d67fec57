"""What every backend does, seen through the index: one suite for all of them."""

import pickle
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from txt2img import ImageIndex
from txt2img.exceptions import SavedFileError
from txt2img.search.backends import faiss as faiss_module
from txt2img.search.backends.exact import ExactBackend

METRICS = ("cosine", "euclidean", "inner_product")
N = 60


def rows(n, d=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@pytest.fixture(params=["exact", "exact float16", "exact int8", "flat", "hnsw", "ivfpq", "milvus"])
def new_index(request, tmp_path, monkeypatch):
    """Return a maker of indexes with one backend."""
    if request.param == "milvus":
        return partial(ImageIndex, backend="milvus", backend_params={"uri": str(tmp_path / "photographs.db")})
    if request.param.startswith("exact"):
        return partial(ImageIndex, dtype=(request.param + " float32").split()[1])
    monkeypatch.setattr(faiss_module, "FEWEST_IN_IVFPQ", 40)
    monkeypatch.setattr(faiss_module, "CODE_BITS", 4)
    # All lists and nearly all of the graph are looked at, so that what is found is what is there.
    params = {"kind": request.param, "n_probe": N, "ef_search": 2 * N}
    return partial(ImageIndex, backend="faiss", backend_params=params)


def same_answers(ours, theirs, queries, **options):
    """Same photographs in the same order, with the same scores, up to the precision of what is kept."""
    scores, ids = ours.search(queries, **options)
    expected, expected_ids = theirs.search(queries, **options)
    assert scores.dtype == np.float32
    assert_allclose(scores, expected, atol={"float32": 1e-3, "float16": 1e-2, "int8": 0.15}[ours.dtype])
    if ours.dtype == "float32":
        assert_array_equal(ids, expected_ids)
    return scores, ids


@pytest.mark.parametrize("metric", METRICS)
def test_finds_what_exact_search_finds(new_index, metric):
    gallery, queries = rows(N), rows(9, seed=1)
    ours, exact = new_index(metric).fit(gallery), ImageIndex(metric).fit(gallery)
    for k in (1, 5, N):
        same_answers(ours, exact, queries, k=k)
    same_answers(ours, exact, queries[:1], k=5)
    scores, ids = ours.search(queries[:0], k=3)
    assert scores.shape == ids.shape == (0, 3)


@pytest.mark.parametrize("metric", METRICS)
def test_add_remove_and_update_leave_what_fit_would_have_taken(new_index, metric):
    gallery, later, changed = rows(N), rows(7, seed=1), rows(3, seed=2)
    index = new_index(metric).fit(gallery, ids=[f"{i}" for i in range(N)])
    index.add(later, ids=[("later", i) for i in range(7)]).remove(["3", "10", ("later", 0)])
    index.update(["0", ("later", 2), "59"], changed)
    ids = [f"{i}" for i in range(N)] + [("later", i) for i in range(7)]
    vectors = dict(zip(ids, [*gallery, *later]))
    for id in ("3", "10", ("later", 0)):
        del vectors[id]
    vectors |= zip(["0", ("later", 2), "59"], changed)
    exact = ImageIndex(metric).fit(list(vectors.values()), ids=list(vectors))
    assert index.ids_.tolist() == list(vectors)
    assert len(index) == len(vectors)
    assert_allclose(index.descriptors_, exact.descriptors_, atol=0.03)
    for _ in range(2):
        same_answers(index, exact, rows(9, seed=3), k=10)
        assert_array_equal(index.rows_of(["59", "0"]), exact.rows_of(["59", "0"]))
        index.compact()
    assert index.add(later[:1], ids=["3"]).ids_.tolist() == [*vectors, "3"]


def test_photographs_are_replaced_by_id(new_index):
    index = new_index().fit(np.eye(8), ids=list("abcdefgh"))
    index.update(["a", "b"], np.eye(8)[[1, 0]])
    assert index.predict(np.eye(8)[:3]).tolist() == ["b", "a", "c"]
    index.remove(["a"]).add(np.eye(8)[:1], ids=["a"])
    assert index.ids_.tolist() == list("bcdefgha")
    with pytest.raises(KeyError, match="not in the index, such as 'z'"):
        index.update(["z"], np.eye(8)[:1])


@pytest.mark.parametrize("share_allowed", [0.02, 0.3, 0.9])
def test_conditions_are_met_and_the_best_that_meet_them_are_found(new_index, share_allowed):
    gallery, queries = rows(N), rows(5, seed=1)
    year = np.arange(N)
    ours, exact = (each.fit(gallery, metadata={"year": year}) for each in (new_index(), ImageIndex()))
    where = {"year": ("<", round(share_allowed * N) or 1)}
    _, ids = same_answers(ours, exact, queries, k=4, where=where)
    assert (ids < share_allowed * N + 1).all()
    ours.remove([0, 40])
    exact.remove([0, 40])
    same_answers(ours, exact, queries, k=4, where=where)
    same_answers(ours, exact, queries, k=2, where={5, 9, 41})
    assert ours.search(queries, k=4, where=[])[1].shape == (5, 0)


@pytest.mark.parametrize("hubness", ["csls", "softmax"])
def test_hubness_bias_counts_in_every_query_by_its_share(new_index, hubness):
    gallery, queries, bank = rows(N), rows(6, seed=1), rows(40, seed=2)
    bank += 1.0
    ours, exact = (
        each.fit(gallery[:50], bank=bank).add(gallery[50:])
        for each in (new_index(hubness=hubness), ImageIndex(hubness=hubness))
    )
    assert_allclose(ours.bias_, exact.bias_, atol=1e-5)
    plain = ImageIndex().fit(gallery)
    assert (plain.search(queries, 10)[1] != exact.search(queries, 10)[1]).any()
    same_answers(ours, exact, queries, k=10)
    same_answers(ours, plain, queries, k=10, correction=0.0)
    same_answers(ours, exact, queries, k=10, correction=np.linspace(0, 1, 6))


def test_saved_and_loaded_or_pickled_it_answers_alike_and_grows_on(new_index, tmp_path):
    gallery, queries, bank = rows(N), rows(5, seed=1), rows(9, seed=2)
    ids = [f"ñ {i}.jpg" for i in range(N)]
    index = new_index(hubness="softmax").fit(gallery, ids=ids, bank=bank, metadata={"n": range(N)})
    index.add(rows(2, seed=4), ids=["x", "y"], metadata={"n": [7, 8]}).remove(ids[:3])
    index.save(tmp_path / "index")
    expected = index.search(queries, k=5, where={"n": (">", 6)})
    for again in (ImageIndex.load(tmp_path / "index"), pickle.loads(pickle.dumps(index))):
        for ours, theirs in zip(again.search(queries, k=5, where={"n": (">", 6)}), expected):
            assert_array_equal(ours, theirs)
    again = ImageIndex.load(tmp_path / "index", verify=True)
    again.update(["x"], queries[:1]).remove(["y"])
    assert again.search(queries[:1], k=1, correction=0.0)[1].tolist() == [["x"]]
    assert len(again) == N - 2


def test_nothing_is_left_and_then_something_again(new_index):
    index = new_index().fit(rows(3)).remove([0, 1, 2])
    with pytest.raises(ValueError, match="k=1 is larger than the gallery of 0 photographs"):
        index.search(rows(1), k=1)
    index.compact()
    assert index.add(rows(1), ids=["new"]).predict(rows(1)).tolist() == ["new"]
    assert index.descriptors_.shape == (1, 8)


def test_equal_photographs_come_in_the_order_of_arrival_and_as_one_group(new_index):
    gallery = np.vstack([rows(20), np.tile(rows(1, seed=5), (4, 1)), rows(20, seed=6)])
    index, query = new_index().fit(gallery), rows(1, seed=5)
    assert index.search(query, k=4)[1].tolist() == [[20, 21, 22, 23]]
    scores, ids = index.search(query, k=3, group_duplicates=0.999)
    assert ids[0, 0] == (20, 21, 22, 23)
    assert [len(own) for own in ids[0]] == [4, 1, 1]
    assert (np.diff(scores) <= 0).all()
    scores, ids = index.search(query, k=2, group_duplicates=-1)  # all are near enough to be one group
    assert (len(ids[0, 0]), ids[0, 1]) == (44, ())
    assert (scores[0, 1], scores.dtype) == (-np.inf, np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_probabilities_are_the_softmax_of_the_scores(new_index, metric):
    index, queries = new_index(metric).fit(rows(N)), rows(3, seed=1)
    scores, _, probabilities = index.search(queries, k=N, temperature=0.5)
    if metric == "euclidean":
        scores = -(scores**2)
    expected = np.exp(scores / 0.5 - scores.max(axis=1, keepdims=True) / 0.5)
    assert_allclose(probabilities, expected / expected.sum(axis=1, keepdims=True), atol=1e-3)
    some = index.search(queries, k=2, temperature=0.5, where=range(5))[2]
    assert (some.sum(axis=1) < 1.001).all()


def test_a_failure_while_adding_leaves_the_index_as_it_was(new_index, monkeypatch):
    index, queries = new_index().fit(rows(N)), rows(4, seed=1)
    expected = index.search(queries, k=5)
    backend = type(index._backend)
    inner = {"ExactBackend": "_stored", "FaissBackend": "_put_in_index", "MilvusBackend": "_put"}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(backend, inner[backend.__name__], interrupt)
        index.add(rows(2, seed=2))
    for ours, theirs in zip(index.search(queries, k=5), expected):
        assert_array_equal(ours, theirs)
    index.add(queries[:1], ids=["new"])
    assert index.predict(queries[:1]).tolist() == ["new"]


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_faiss_chooses_by_size(monkeypatch):
    monkeypatch.setattr(faiss_module, "MOST_IN_FLAT", 50)
    monkeypatch.setattr(faiss_module, "MOST_IN_HNSW", 51)
    monkeypatch.setattr(faiss_module, "FEWEST_IN_IVFPQ", 40)
    monkeypatch.setattr(faiss_module, "CODE_BITS", 4)
    index = ImageIndex(backend="faiss").fit(rows(50))
    assert index._backend._kind == "flat"
    for seed, kind in ((1, "hnsw"), (2, "ivfpq")):
        index.add(rows(1, seed=seed))
        assert index._backend._kind == kind
        assert_array_equal(index.predict(rows(9)), np.arange(9))


@pytest.mark.parametrize("correction", [1.0, 0.5])
def test_what_faiss_finds_is_not_sought_again(correction, monkeypatch):
    gallery, queries, bank = rows(N), rows(6, seed=1), rows(40, seed=2)
    index = ImageIndex(backend="faiss", hubness="csls").fit(gallery, bank=bank)
    monkeypatch.setattr(ExactBackend, "search", None)
    assert index.search(queries, k=5, correction=correction)[1].shape == (6, 5)


def test_parameters_of_the_backend_reach_it():
    index = ImageIndex(backend="faiss", backend_params={"kind": "hnsw"}).fit(rows(3))
    assert index._backend._kind == "hnsw"


def test_the_few_that_a_strict_condition_leaves_are_found_exactly():
    gallery, queries = rows(2000), rows(50, seed=1)
    hasty = {"kind": "hnsw", "n_links": 2, "ef_search": 1}  # by itself the graph would miss some of them
    ours, exact = ImageIndex(backend="faiss", backend_params=hasty).fit(gallery), ImageIndex().fit(gallery)
    same_answers(ours, exact, queries, k=1, where=range(90))


def test_milvus_says_what_it_cannot(tmp_path):
    params = {"uri": str(tmp_path / "photographs.db")}
    with pytest.raises(ValueError, match="dtype='int8' does not go with backend=\"milvus\""):
        ImageIndex(backend="milvus", backend_params=params, dtype="int8").fit(rows(2))
    index = ImageIndex(backend="milvus", backend_params=params).fit(rows(2))
    index.save(tmp_path / "index")
    index._backend._client.drop_collection(index._backend.collection)
    with pytest.raises(SavedFileError, match="has no collection"):
        ImageIndex.load(tmp_path / "index")

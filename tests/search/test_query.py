import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from conftest import mean_colour
from numpy.testing import assert_allclose, assert_array_equal

from txt2img import DescriptorWhitener, ImageFeaturizer, ImageIndex, TextImageSearch, TextToVisualRegressor
from txt2img.search import Query

METRICS = ("cosine", "euclidean", "inner_product")
RIDGE_ALONE = {"regressor": TextToVisualRegressor(), "calibration_share": None}


@pytest.fixture
def sentences(captioned):
    return [own[0] for own in captioned[0][250:260]]


@pytest.fixture
def search(captioned):
    """Fitted on 250 photographs, the other 50 in the gallery under their numbers, without correction."""
    captions, descriptors = captioned
    search = TextImageSearch(index=ImageIndex(), **RIDGE_ALONE).fit(descriptors[:250], captions[:250])
    return search.add(descriptors[250:], ids=range(250, 300))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def scores_of(hits):
    return {hit.id: hit.score for hit in hits}


def assert_asks_for(search, query, vector):
    """The query gives every photograph the cosine of its descriptor and the vector."""
    found = scores_of(search.query(query, k=50))
    expected = search.index_.descriptors_ @ unit(vector)
    assert_allclose([found[id] for id in range(250, 300)], expected, atol=1e-5)


def test_terms_are_vectors_of_length_one_times_their_weights(search, captioned, sentences):
    a, b, c = unit(search.predict(sentences[:3]).astype(np.float64))
    shown = unit(search.transform(captioned[1][7:8])[0].astype(np.float64))
    A, B, C = map(Query, sentences[:3])
    P = Query.photograph(captioned[1][7])
    for query, vector in {
        A - B: a - b,
        A - 0.5 * B + C * 2: a - 0.5 * b + 2 * c,
        -A: -a,
        Query(*sentences[:3]) - B: (a + b + c) / 3 - b,
        (A + B) / 2 - 3 * (B - C): a / 2 + b / 2 - 3 * b + 3 * c,
        P: shown,
        0.5 * A + P: 0.5 * a + shown,
        A - np.float32(0.25) * P: a - 0.25 * shown,
    }.items():
        assert_asks_for(search, query, vector)


def test_a_long_vector_counts_no_more_than_a_short_one(search, sentences, monkeypatch):
    a, b = search.predict(sentences[:2])
    monkeypatch.setattr(search, "predict", lambda sentences: np.stack([1000 * a, 0.001 * b]))
    assert_asks_for(search, Query(sentences[0]) + sentences[1], unit(a) + unit(b))


@pytest.mark.parametrize(
    ("metric", "hubness"),
    [*((metric, None) for metric in METRICS), ("cosine", "softmax"), ("inner_product", "softmax")],
)
def test_one_sentence_asks_as_its_prediction_does(captioned, sentences, metric, hubness):
    """Whatever the metric: to distances and corrected products, the length of the prediction matters."""
    captions, descriptors = captioned
    search = TextImageSearch(index=ImageIndex(metric, hubness=hubness), **RIDGE_ALONE).fit(
        descriptors[:250], captions[:250]
    )
    search.add(descriptors[250:])
    scores, ids = search.index_.search(search.predict(sentences[:1]), k=50)
    for question in (sentences[0], Query(sentences[0]), 0.3 * Query(sentences[0])):
        hits = search.query(question, k=50)
        assert [hit.id for hit in hits] == ids[0].tolist()
        assert [hit.score for hit in hits] == scores[0].tolist()


def test_several_terms_have_the_mean_length_of_their_predictions(captioned, sentences):
    captions, descriptors = captioned
    search = (
        TextImageSearch(index=ImageIndex("euclidean"), **RIDGE_ALONE)
        .fit(descriptors, captions)
        .add(descriptors)
    )
    a, b = search.predict(sentences[:2]).astype(np.float64)
    vector = unit(3 * unit(a) - unit(b)) * (3 * np.linalg.norm(a) + np.linalg.norm(b)) / 4
    distances = np.linalg.norm(search.index_.descriptors_ - vector, axis=1)
    found = scores_of(search.query(3 * Query(sentences[0]) - sentences[1], k=300))
    assert_allclose([found[id] for id in range(300)], -distances, rtol=1e-4)


def test_a_list_may_mix_sentences_and_queries_and_predicts_once(search, captioned, sentences, monkeypatch):
    questions = [
        sentences[0],
        Query(sentences[1]) - sentences[2],
        Query.photograph(captioned[1][3]),
        Query(sentences[3]) + Query.photograph(captioned[1][4]),
    ]
    alone = [search.query(question) for question in questions]
    batches = []
    transform = search.vectorizer_.transform
    monkeypatch.setattr(
        search.vectorizer_, "transform", lambda batch: batches.append(batch) or transform(batch)
    )
    for hits, expected in zip(search.query(questions), alone, strict=True):
        assert [hit.id for hit in hits] == [hit.id for hit in expected]
        assert_allclose([hit.score for hit in hits], [hit.score for hit in expected], atol=1e-5)
    assert batches == [sentences[:4]]


def test_subtraction_pushes_down_what_it_names(search, sentences):
    with_both, without = (
        scores_of(search.query(query, k=50))
        for query in (Query(sentences[0]), Query(sentences[0]) - sentences[1])
    )
    named = scores_of(search.query(sentences[1], k=50))
    most, least = max(named, key=named.get), min(named, key=named.get)
    assert without[most] - with_both[most] < without[least] - with_both[least]


@pytest.mark.parametrize("hubness", [None, "csls", "softmax"])
def test_a_photograph_finds_itself_first(captioned, hubness):
    captions, descriptors = captioned
    search = (
        TextImageSearch(index=ImageIndex(hubness=hubness), **RIDGE_ALONE)
        .fit(descriptors, captions)
        .add(descriptors)
    )
    answers = search.query([Query.photograph(row) for row in descriptors], k=1)
    assert [hits[0].id for hits in answers] == list(range(300))
    assert_allclose([hits[0].score for hits in answers], 1, atol=1e-5)


def test_hubness_correction_counts_by_the_share_of_sentences(captioned, sentences):
    captions, descriptors = captioned
    search = (
        TextImageSearch(index=ImageIndex(hubness="csls"), **RIDGE_ALONE)
        .fit(descriptors, captions)
        .add(descriptors)
    )
    A, P = Query(sentences[0]), Query.photograph(descriptors[3])
    a, shown = unit(search.predict(sentences[:1])[0]), unit(search.transform(descriptors[3:4])[0])
    for query, vector, share in ((A, a, 1), (P, shown, 0), (P - 3 * A, shown - 3 * a, 0.75)):
        found = scores_of(search.query(query, k=300))
        expected = search.index_.descriptors_ @ unit(vector) + share * search.index_.bias_
        assert_allclose([found[id] for id in range(300)], expected, atol=1e-5)


def test_photographs_as_files_pictures_and_descriptors(photograph_files):
    search = TextImageSearch(
        ImageFeaturizer(mean_colour, normalize=False), whitener=DescriptorWhitener(exponent=0)
    )
    search.fit(photograph_files, [["a wall"]] * 6).add(photograph_files)
    row = ImageFeaturizer(mean_colour, normalize=False).transform(photograph_files[2:3])[0]
    same = (photograph_files[2], Path(photograph_files[2]).read_bytes(), row, row.tolist())
    answers = search.query([Query.photograph(photo) for photo in same], k=3)
    assert answers[0][0].id == photograph_files[2]
    assert answers.count(answers[0]) == 4


def test_arithmetic_makes_new_queries():
    query = Query("a beach")
    before = repr(query)
    assert "at night" - query + "people" is not query
    assert repr(query) == before
    row = np.ones(3, np.float32)
    asked = Query.photograph(row)
    row[:] = 0
    assert_array_equal(copy.deepcopy(asked)._terms[0].content, 1)
    with pytest.raises(AttributeError):
        query.weight = 2


@pytest.mark.parametrize(
    "written",
    [
        "Query('a')",
        "-Query('a') + Query('b')",
        "0.5 * Query('a') - 0.25 * Query.photograph('b.jpg')",
        "-2 * Query.photograph('b.jpg')",
    ],
)
def test_representation_is_how_it_is_written(written):
    query = eval(written)
    assert repr(query) == written
    assert repr(pickle.loads(pickle.dumps(query))) == written


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Query(), "a query needs at least one sentence"),
        (lambda: Query(["a", "b"]), r"sentences holds a list \(\['a', 'b'\]\), not a string: pass each"),
        (lambda: Query.photograph(np.ones((1, 3))), r"photo has shape \(1, 3\): pass one descriptor"),
        (lambda: float("nan") * Query("a"), "weight=nan is not finite: multiply a query by a number"),
    ],
)
def test_what_is_no_query_is_refused_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("make", [lambda: Query("a") + 1, lambda: 1 - Query("a"), lambda: Query("a") * "b"])
def test_arithmetic_with_other_things_is_a_type_error(make):
    with pytest.raises(TypeError):
        make()


def test_queries_that_ask_for_nothing(search, captioned, sentences, monkeypatch):
    with pytest.raises(ValueError, match="all weights of query 1 are zero: give one term at least a weight"):
        search.query([sentences[0], 0 * Query(sentences[1])])
    for query in (
        Query(sentences[0]) - sentences[0],
        Query.photograph(captioned[1][0]) - Query.photograph(captioned[1][0]),
    ):
        with pytest.raises(ValueError, match=r"the terms of Query.* - Query.* cancel out, so that it asks"):
            search.query(query)
    monkeypatch.setattr(
        search.regressor_, "predict", lambda vectors: np.zeros((vectors.shape[0], 64), np.float32)
    )
    with pytest.raises(ValueError, match=r"the term Query\(.*\) has a vector of length zero"):
        search.query(Query(sentences[1]) + sentences[0])


def test_photographs_that_cannot_be_asked_with(search, captioned, scene_files, tmp_path):
    with pytest.raises(ValueError, match="photos holds photographs but the search was fitted on descriptors"):
        search.query(Query.photograph("holiday.jpg"))
    with pytest.raises(ValueError, match="photos holds descriptors of 3 numbers but the search was fitted"):
        search.query(Query.photograph([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="photos holds descriptors with NaN"):
        search.query(Query.photograph(np.full(64, np.nan)))
    for question in (captioned[1][3], None):
        with pytest.raises(ValueError, match=r"text\[1\] is a (ndarray|NoneType), neither a sentence nor"):
            search.query(["a dog", question])
    paths, captions = scene_files
    lenient = TextImageSearch(ImageFeaturizer(mean_colour, on_error="warn")).fit(paths, captions).add(paths)
    (tmp_path / "broken.jpg").write_bytes(b"no photograph")
    with (
        pytest.warns(UserWarning, match="cannot be read"),
        pytest.raises(ValueError, match=r"the term Query.photograph\('.*broken.jpg'\) could not be read"),
    ):
        lenient.query(Query.photograph(paths[0]) - Query.photograph(str(tmp_path / "broken.jpg")))

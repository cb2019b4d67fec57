"""The edges of what can be put in: a sensible result, or an error that says what to do."""

import warnings

import numpy as np
import pytest

from txt2img import (
    CaptionVectorizer,
    DescriptorWhitener,
    ImageIndex,
    SentenceVectorizer,
    TextImageSearch,
    TextToVisualRegressor,
)
from txt2img.exceptions import UnknownWordsWarning

rng = np.random.default_rng(0)
ROWS = rng.normal(size=(12, 5)).astype(np.float32)
CAPTIONS = [[f"a dog number{i}", "a dog"] for i in range(12)]
WORDS = CaptionVectorizer(min_df=1)


def fitted(descriptors, captions, **parts):
    parts = {"vectorizer": WORDS, "calibration_share": None} | parts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownWordsWarning)
        return TextImageSearch(**parts).fit(descriptors, captions)


def check_sensible(search, descriptors, sentence="a dog"):
    """Take photographs in and find all of them, each once, with finite scores."""
    search.add(descriptors)
    hits = search.query(sentence, k=len(descriptors))
    assert sorted(hit.id for hit in hits) == list(range(len(descriptors)))
    assert np.isfinite([hit.score for hit in hits]).all()
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("regressor", [None, TextToVisualRegressor()], ids=["default", "ridge"])
@pytest.mark.parametrize(
    ("descriptors", "captions"),
    [
        (ROWS, [["a dog"], *[[]] * 11]),
        (ROWS, [["a dog", "a dog"]] * 12),
        (np.repeat(ROWS[:2], 6, axis=0), CAPTIONS),
        (ROWS, [["dog"]] * 12),
        (np.eye(12, 5, dtype=np.float32), CAPTIONS),
        (ROWS * np.float32(1e15), CAPTIONS),
        (ROWS * np.float32(1e-15), CAPTIONS),
    ],
    ids=[
        "one caption",
        "all captions equal",
        "duplicate photographs",
        "a vocabulary of one word",
        "some zero descriptors",
        "large numbers",
        "small numbers",
    ],
)
def test_search_of_little_or_odd_data(descriptors, captions, regressor):
    check_sensible(fitted(descriptors, captions, regressor=regressor), descriptors, "dog")


ALIKE = {
    "one photograph": ROWS[:1],
    "constant descriptors": np.repeat(ROWS[:1], 12, axis=0),
    "zero descriptors": np.zeros_like(ROWS),
}


@pytest.mark.parametrize("descriptors", ALIKE.values(), ids=ALIKE)
def test_photographs_that_nothing_tells_apart_are_refused(descriptors):
    with pytest.raises(
        ValueError, match=rf"photos holds {len(descriptors)} photographs that all have the same"
    ):
        fitted(descriptors, CAPTIONS[: len(descriptors)])


@pytest.mark.parametrize("name", ["one photograph", "constant descriptors"])
def test_photographs_that_nothing_tells_apart_without_whitening(name):
    descriptors = ALIKE[name]
    search = fitted(
        descriptors,
        CAPTIONS[: len(descriptors)],
        whitener="passthrough",
        regressor=TextToVisualRegressor(),
        index=ImageIndex("inner_product"),
    )
    check_sensible(search, descriptors, "dog")


@pytest.mark.parametrize(
    "caption",
    [
        "dog " * 50_000,
        "d" * 200_000,
        "dog \ud800 \udfff",
        "كلب يجري على الشاطئ",
        "כלב רץ על החוף",
        "un nin\u0303o con perro",
        "e\u0301" * 300,
        "\u202eodaroda orrep\u202c perro",
        "犬が浜辺を走る",
        "👩‍👩‍👧‍👦 dog",
        "dog\x00dog\x1b[31m",
        "\ufeffdog\u200b",
    ],
    ids=lambda caption: f"{caption[:12]!a} {len(caption)}",
)
class TestOddCaptions:
    def test_words(self, caption):
        X = CaptionVectorizer(min_df=1, char_ngram_range=(3, 3)).fit_transform([caption, "a dog"])
        assert np.isfinite(X.data).all()
        np.testing.assert_allclose(np.sqrt(X.multiply(X).sum(axis=1)), 1, rtol=1e-5)

    def test_sentences(self, caption):
        def lengths(sentences):
            return np.array([[len(sentence.encode()), 1] for sentence in sentences])

        assert np.isfinite(SentenceVectorizer(lengths).fit_transform([caption, "a dog"])).all()

    def test_search(self, caption):
        search = fitted(ROWS, [[caption], *CAPTIONS[1:]])
        check_sensible(search, ROWS, caption)

    def test_saved_and_loaded(self, caption, tmp_path):
        search = fitted(ROWS, [[caption], *CAPTIONS[1:]]).add(
            ROWS, ids=[f"{i} {caption[:50]}" for i in range(12)]
        )
        search.save(tmp_path)
        assert TextImageSearch.load(tmp_path).query(caption) == search.query(caption)


def test_accents_written_in_two_ways_are_one_word():
    vectorizer = CaptionVectorizer(min_df=1).fit(["un ni\u00f1o", "un perro"])
    composed, apart = vectorizer.transform(["ni\u00f1o", "nin\u0303o"]).toarray()
    np.testing.assert_array_equal(composed, apart)
    assert composed.any()


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "inner_product"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("backend", ["exact", "faiss"])
class TestZeroVectors:
    @pytest.fixture(autouse=True)
    def needs_faiss(self, backend):
        if backend == "faiss":
            pytest.importorskip("faiss")

    def test_as_photographs(self, metric, dtype, backend):
        rows = np.vstack([ROWS[:3], np.zeros((2, 5), np.float32)])
        index = ImageIndex(metric, dtype=dtype, backend=backend).fit(rows)
        scores, ids = index.search(rows[:3], k=5)
        assert np.isfinite(scores).all()
        assert all(sorted(row) == list(range(5)) for row in ids.tolist())
        if metric == "cosine":
            np.testing.assert_allclose(scores[ids >= 3], 0, atol=1e-6)

    def test_as_query(self, metric, dtype, backend):
        index = ImageIndex(metric, dtype=dtype, backend=backend).fit(ROWS)
        scores, ids = index.search(np.zeros((1, 5)), k=12)
        assert np.isfinite(scores).all()
        assert sorted(ids[0].tolist()) == list(range(12))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: ImageIndex("euclidean", dtype="float16").fit(ROWS * 1e6),
            r'X holds numbers beyond 65504, too large for dtype="float16": take dtype="float32"',
        ),
        (lambda: ImageIndex().fit(ROWS).search(np.full((1, 5), np.inf)), "X holds NaN or infinity"),
        (
            lambda: ImageIndex().fit(np.where(ROWS > 1, np.inf, ROWS)),
            r"row \d+ of X .* holds NaN or infinity",
        ),
        (lambda: ImageIndex().fit(np.float64(ROWS) * 1e300), "infinity"),
        (lambda: fitted(ROWS, [[]] * 12), "captions is empty: pass at least one sentence"),
        (lambda: fitted(ROWS, [["?!"]] * 12), "none of the 0 terms in captions is left"),
        (lambda: fitted(ROWS[:0], []), "captions is empty"),
        (lambda: fitted(ROWS, [[None]] * 12), r"captions\[0\] is"),
        (lambda: fitted(ROWS, CAPTIONS).query("a dog"), "the gallery is empty: add photographs"),
        (
            lambda: fitted(ROWS, CAPTIONS).add(ROWS).query("a dog", k=13),
            "k=13 is larger than the gallery of 12",
        ),
        (
            lambda: fitted(ROWS, CAPTIONS).add(ROWS[:, :4]),
            "photos holds descriptors of 4 numbers but the search was fitted on descriptors of 5",
        ),
        (lambda: DescriptorWhitener().fit(ROWS[:0]), "0 sample"),
        (lambda: TextToVisualRegressor().fit([[np.nan]], [[1.0]]), "contains NaN"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(act, message):
    with pytest.raises(ValueError, match=message):
        act()

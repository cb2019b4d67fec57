import json
import pickle
import sys
from threading import Thread

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import FeatureUnion, make_pipeline

from txt2img.captions import CaptionVectorizer, SentenceVectorizer
from txt2img.captions import words as words_module
from txt2img.exceptions import MissingExtraError, UnknownWordsWarning

SUBJECTS = ["un perro", "una jirafa", "el niño", "la niña", "un gato negro", "el árbol"]
ACTIONS = ["corre en la playa", "duerme", "juega con una pelota", "mira al perro", "está en el año nuevo"]
CAPTIONS = [f"{subject} {action}" for subject in SUBJECTS for action in ACTIONS]
PHOTOGRAPHS = np.repeat(np.arange(10), 3)


def every_term(**parameters):
    return CaptionVectorizer(min_df=1, max_df=1.0, **parameters)


def length_two(sentences):
    return np.array([[len(sentence), sentence.count("a")] for sentence in sentences], float)


@pytest.fixture
def vectorizer():
    return every_term().fit(CAPTIONS, groups=PHOTOGRAPHS)


latin_captions = st.lists(
    st.text(st.sampled_from("abcñé01_ ,.-A"), max_size=20).map(lambda text: text + " ab"),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("ngram_range", [(1, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("sublinear_tf", [False, True])
@settings(max_examples=40, deadline=None)
@given(captions=latin_captions)
def test_equals_scikit_learn_with_one_photograph_a_caption(ngram_range, sublinear_tf, captions):
    captions = [*captions, "aa bb cc aa bb cc"]
    parameters = {"ngram_range": ngram_range, "sublinear_tf": sublinear_tf, "dtype": np.float64}
    ours = every_term(**parameters)
    theirs = TfidfVectorizer(**parameters)
    assert_allclose(
        ours.fit_transform(captions).toarray(), theirs.fit_transform(captions).toarray(), atol=1e-12
    )
    assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())
    assert_allclose(ours.idf_, theirs.idf_)


@pytest.mark.parametrize("min_df, max_df", [(2, 0.5), (0.1, 20), (3, 1.0), (0.0, 0.3)])
def test_pruning_equals_scikit_learn_with_one_photograph_a_caption(min_df, max_df):
    ours = CaptionVectorizer(min_df=min_df, max_df=max_df, dtype=np.float64)
    theirs = TfidfVectorizer(min_df=min_df, max_df=max_df)
    assert_allclose(
        ours.fit_transform(CAPTIONS).toarray(), theirs.fit_transform(CAPTIONS).toarray(), atol=1e-12
    )


def test_document_frequency_counts_photographs():
    captions = ["zebra zebra", "zebra", "lion zebra", "lion", "crowd", "zebra"]
    groups = ["a", "a", "a", "b", "c", "a"]  # zebra: 4 captions of 1 photograph; lion: 2 of 2
    vectorizer = CaptionVectorizer(min_df=1, max_df=1.0).fit(captions, groups=groups)
    assert vectorizer.n_photographs_ == 3
    df = {"crowd": 1, "lion": 2, "zebra": 1}
    assert_allclose(vectorizer.idf_, [np.log(4 / (1 + df[term])) + 1 for term in sorted(df)], rtol=1e-6)
    assert CaptionVectorizer(min_df=2, max_df=1.0).fit(captions, groups=groups).vocabulary_ == {"lion": 0}
    at_most_half = CaptionVectorizer(min_df=1, max_df=0.5).fit(captions, groups=groups)
    assert list(at_most_half.vocabulary_) == ["crowd", "zebra"]
    assert at_most_half.stop_words_ == ["lion"]


def test_captions_with_the_same_descriptor_are_one_photograph():
    descriptors = np.random.default_rng(0).normal(size=(10, 4))
    by_groups = every_term().fit(CAPTIONS, groups=PHOTOGRAPHS)
    by_descriptors = every_term().fit(CAPTIONS, descriptors[PHOTOGRAPHS])
    alone = every_term().fit(CAPTIONS, PHOTOGRAPHS)
    assert_array_equal(by_groups.idf_, by_descriptors.idf_)
    assert (by_descriptors.n_photographs_, alone.n_photographs_) == (10, 30)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"ngram_range": (1, 2)}, {"char_ngram_range": (3, 5)}, {"min_df": 2, "max_df": 0.8}],
)
def test_fit_transform_equals_fit_then_transform(parameters):
    together = every_term().set_params(**parameters)
    apart = clone(together)
    X = together.fit_transform(CAPTIONS, groups=PHOTOGRAPHS)
    assert_array_equal(X.toarray(), apart.fit(CAPTIONS, groups=PHOTOGRAPHS).transform(CAPTIONS).toarray())
    assert_array_equal(X.toarray(), together.fit_transform(CAPTIONS, groups=PHOTOGRAPHS).toarray())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type_and_length_of_the_rows(dtype):
    X = every_term(dtype=dtype).fit_transform(CAPTIONS)
    assert isinstance(X, csr_matrix)
    assert X.dtype == dtype
    assert X.has_sorted_indices
    assert_allclose(np.sqrt(X.multiply(X).sum(axis=1)), 1, rtol=1e-6)


def test_rows_follow_order_subset_and_batch(vectorizer):
    X = vectorizer.transform(CAPTIONS).toarray()
    order = np.random.default_rng(0).permutation(len(CAPTIONS))[:17]
    assert_array_equal(vectorizer.transform([CAPTIONS[i] for i in order]).toarray(), X[order])
    one_by_one = [vectorizer.transform([caption]).toarray()[0] for caption in CAPTIONS]
    assert_array_equal(one_by_one, X)


def test_fit_does_not_depend_on_the_order_of_captions_nor_on_the_names_of_groups(vectorizer):
    order = np.random.default_rng(0).permutation(len(CAPTIONS))
    names = np.array([f"photo {9 - number}.jpg" for number in PHOTOGRAPHS])
    other = every_term().fit([CAPTIONS[i] for i in order], groups=names[order])
    assert other.vocabulary_ == vectorizer.vocabulary_
    assert_array_equal(other.idf_, vectorizer.idf_)


@pytest.mark.parametrize("container", [tuple, np.array, lambda captions: np.array(captions, object)])
def test_containers(vectorizer, container):
    captions = container(CAPTIONS)
    expected = vectorizer.transform(CAPTIONS).toarray()
    assert_array_equal(every_term().fit(captions, groups=PHOTOGRAPHS).transform(captions).toarray(), expected)


def test_pandas_series(vectorizer):
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(CAPTIONS, index=range(100, 100 + len(CAPTIONS)))
    assert_array_equal(vectorizer.transform(series).toarray(), vectorizer.transform(CAPTIONS).toarray())
    with pytest.raises(ValueError, match=r"captions has shape \(30, 1\)"):
        vectorizer.transform(series.to_frame())


def column_of(vectorizer, word):
    terms = vectorizer.get_feature_names_out()
    return [terms[column] for column in vectorizer.transform([word]).indices]


def test_words_typed_without_accents(vectorizer):
    assert column_of(vectorizer, "NINO") == ["niño"]
    assert column_of(vectorizer, "arbol") == column_of(vectorizer, "arból") == ["árbol"]
    assert column_of(vectorizer, "ano") == ["año"]
    assert column_of(vectorizer, "nin\u0303o") == ["niño"]


def test_an_accent_makes_another_word_where_both_were_seen():
    vectorizer = every_term().fit(["año nuevo", "año viejo", "ano", "más mas", "más"])
    assert column_of(vectorizer, "ano") == ["ano"]
    assert column_of(vectorizer, "año") == ["año"]
    assert column_of(vectorizer, "añó") == ["año"]
    assert column_of(vectorizer, "màs") == ["más"]  # the more frequent of the two


def test_a_frequent_word_left_out_is_not_taken_for_its_accented_twin():
    captions = ["el perro", "el gato", "el niño", "él canta", "él corre el parque", "el mar"]
    vectorizer = CaptionVectorizer(min_df=1, max_df=0.5).fit(captions)
    assert vectorizer.stop_words_ == ["el"]
    assert "él" in vectorizer.vocabulary_
    assert column_of(vectorizer, "el perro") == ["perro"]


def test_accents_inside_word_ngrams_and_char_ngrams():
    bigrams = every_term(ngram_range=(2, 2)).fit(["el niño corre", "el árbol"])
    assert column_of(bigrams, "nino corre") == ["niño corre"]
    characters = every_term(char_ngram_range=(3, 3)).fit(["el niño"])
    assert sorted(column_of(characters, "nino")) == sorted(["niño", "~ ni", "~niñ", "~iño", "~ño "])


def test_char_ngrams_let_an_unseen_word_help():
    words_only = every_term().fit(["jirafa", "elefante"])
    with pytest.warns(UnknownWordsWarning):
        assert words_only.transform(["jirafita"]).nnz == 0
    with_characters = every_term(char_ngram_range=(3, 5)).fit(["jirafa", "elefante"])
    X = with_characters.transform(["jirafita", "jirafa", "elefante"])
    similarity = (X @ X.T).toarray()
    assert similarity[0, 1] > similarity[0, 2] == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
@pytest.mark.filterwarnings("ignore::txt2img.exceptions.UnknownWordsWarning")
def test_no_text_crashes(captions):
    vectorizer = every_term(char_ngram_range=(2, 3)).fit([*captions, "una jirafa"])
    X = vectorizer.transform(captions)
    assert np.isfinite(X.data).all()
    lengths = np.asarray(X.multiply(X).sum(axis=1)).ravel()
    assert np.all(np.isclose(lengths, 1, rtol=1e-5) | (lengths == 0))


def test_scripts_and_broken_text():
    assert words_module.split_words("שלום עולם") == ["שלום", "עולם"]
    assert words_module.split_words("\ud800gato \udfff") == ["gato"]
    assert words_module.split_words("एक कुत्ता") == ["एक", "कुत्ता"]
    assert words_module.split_words("می‌خواهم") == ["می‌خواهم"]
    assert words_module.split_words("a e y o 7") == []
    assert words_module.split_words("NIN\u0303O") == ["ni\u00f1o"]
    assert words_module.fold_accents("کُتُب") == "کتب"
    assert words_module.fold_accents("कुत्ता") == "कुत्ता"
    assert words_module.fold_accents("강아지") == "강아지"


def test_no_known_word_warns_once_and_gives_a_zero_row(vectorizer):
    with pytest.warns(UnknownWordsWarning) as caught:
        X = vectorizer.transform(["plaza mayor", "perro", "", "béisbol"])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    message = str(caught[0].message)
    assert message.startswith("3 of 4 captions")
    assert all(word in message for word in ("'plaza'", "'mayor'", "'béisbol'"))
    assert_array_equal(np.diff(X.indptr), [0, 1, 0, 0])
    with pytest.warns(UnknownWordsWarning, match="zero: no words"):
        vectorizer.transform([""])


def test_no_captions_to_transform_give_no_rows(vectorizer):
    assert vectorizer.transform([]).shape == (0, len(vectorizer.vocabulary_))


def test_names_follow_the_columns(vectorizer):
    names = vectorizer.get_feature_names_out()
    assert list(names) == sorted(names) == list(vectorizer.vocabulary_)
    assert len(names) == len(vectorizer.idf_)
    assert column_of(vectorizer, "jirafa") == ["jirafa"]


def test_clone_and_parameters():
    parameters = {
        "language": "es",
        "ngram_range": (1, 2),
        "char_ngram_range": (3, 4),
        "min_df": 1,
        "max_df": 0.9,
        "max_features": 100,
        "sublinear_tf": True,
        "dtype": np.float64,
    }
    vectorizer = CaptionVectorizer().set_params(**parameters)
    assert vectorizer.get_params() == clone(vectorizer).get_params() == parameters
    assert vectorizer.fit(CAPTIONS).get_params() == parameters
    with pytest.raises(NotFittedError):
        clone(vectorizer).transform(CAPTIONS)


def test_pickle_holds_only_what_was_learned(vectorizer):
    expected = vectorizer.transform(CAPTIONS).toarray()
    copy = pickle.loads(pickle.dumps(vectorizer))
    assert set(vars(copy)) == set(vars(every_term().fit(CAPTIONS)))
    assert_array_equal(copy.transform(CAPTIONS).toarray(), expected)


def test_fitted_state_survives_json(vectorizer):
    state = {name: value for name, value in vars(vectorizer).items() if name.endswith("_")}
    idf = state.pop("idf_")
    copy = every_term()
    vars(copy).update(json.loads(json.dumps(state, sort_keys=True)), idf_=idf)
    captions = [*CAPTIONS, "nino", "el arbol del ano"]
    assert_array_equal(copy.transform(captions).toarray(), vectorizer.transform(captions).toarray())
    assert_array_equal(copy.get_feature_names_out(), vectorizer.get_feature_names_out())


def test_refit_forgets_the_spellings_of_the_former_fit(vectorizer):
    assert column_of(vectorizer, "nino") == ["niño"]
    vectorizer.fit(["nino", "niño niño"])
    assert column_of(vectorizer, "nino") == ["nino"]


def test_grid_search_over_a_pipeline():
    Y = np.random.default_rng(0).normal(size=(10, 4))[PHOTOGRAPHS]
    search = GridSearchCV(
        make_pipeline(every_term(), Ridge()),
        {"captionvectorizer__max_df": [0.9, 1.0], "captionvectorizer__char_ngram_range": [None, (3, 4)]},
        cv=GroupKFold(3),
        error_score="raise",
    )
    search.fit(CAPTIONS, Y, groups=PHOTOGRAPHS)
    assert search.best_estimator_[0].n_photographs_ == 10
    assert search.predict(CAPTIONS[:2]).shape == (2, 4)


def test_groups_by_metadata_routing():
    Y = np.random.default_rng(0).normal(size=(len(CAPTIONS), 4))
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(every_term().set_fit_request(groups=True), Ridge())
        pipeline.fit(CAPTIONS, Y, groups=PHOTOGRAPHS)
    assert pipeline[0].n_photographs_ == 10


def test_feature_union_with_a_sentence_vectorizer(vectorizer):
    union = FeatureUnion([("words", every_term()), ("sentence", SentenceVectorizer(length_two))])
    X = union.fit_transform(CAPTIONS, np.eye(10)[PHOTOGRAPHS])
    assert_allclose(X.tocsr()[:, :-2].toarray(), vectorizer.transform(CAPTIONS).toarray())
    assert_allclose(X.toarray(), union.transform(CAPTIONS).toarray())
    names = union.get_feature_names_out()
    assert names[-1] == "sentence__sentencevectorizer1"
    assert len(names) == X.shape[1]


@pytest.mark.parametrize(
    "captions, message",
    [
        ("un gato", "captions is one string, 'un gato': pass a list"),
        ([], "captions is empty"),
        (["un gato", 3], r"captions\[1\] is a int \(3\), not a string"),
        (["un gato", None], r"captions\[1\] is a NoneType"),
        ([b"gato"], r"captions\[0\] is a bytes"),
        (7, "captions is a int: pass a list"),
        ({"gato", "perro"}, "captions is a set: pass a list"),
        (np.array([["un gato"]]), r"captions has shape \(1, 1\)"),
        (["", "a"], "none of the 0 terms in captions is left"),
    ],
)
def test_bad_captions(captions, message):
    with pytest.raises(ValueError, match=message):
        every_term().fit(captions)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"language": "klingon"}, "language='klingon' is not known: choose one of ar, .*es, .*or None"),
        ({"language": 3}, "'language' parameter"),
        ({"ngram_range": (2, 1)}, r"ngram_range=\(2, 1\) is not valid"),
        ({"ngram_range": (0, 1)}, r"ngram_range=\(0, 1\) is not valid"),
        ({"ngram_range": (1, 2.5)}, "ngram_range=.* is not valid"),
        ({"char_ngram_range": (3,)}, r"char_ngram_range=\(3,\) is not valid"),
        ({"min_df": -1}, "'min_df' parameter"),
        ({"max_df": 1.5}, "'max_df' parameter"),
        ({"dtype": np.int32}, "dtype=.*int32.* is not supported: choose np.float32 or np.float64"),
        ({"min_df": 31}, "min_df=31 and max_df=1.0, counted over 30 photographs: lower min_df, raise max_df"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "fit_transform"])
def test_bad_parameters(method, parameters, message):
    with pytest.raises(ValueError, match=message):
        getattr(every_term().set_params(**parameters), method)(CAPTIONS)


def test_groups_of_another_length():
    with pytest.raises(ValueError, match="groups has 2 entries but there are 30 captions"):
        every_term().fit(CAPTIONS, groups=[0, 1])


@pytest.mark.parametrize("method", ["transform", "get_feature_names_out"])
def test_not_fitted(method):
    with pytest.raises(NotFittedError):
        getattr(CaptionVectorizer(), method)(CAPTIONS)


def test_transform_checks_its_captions(vectorizer):
    with pytest.raises(ValueError, match="captions is one string"):
        vectorizer.transform("un gato")


def test_language_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "snowballstemmer.spanish_stemmer", None)
    with pytest.raises(MissingExtraError, match=r"language='es'.*txt2img\[text\]"):
        every_term(language="es").fit(CAPTIONS)


class TestStemming:
    @pytest.fixture(autouse=True)
    def needs_the_package(self):
        pytest.importorskip("snowballstemmer")

    def test_forms_of_a_spanish_word_share_a_term(self):
        vectorizer = every_term(language="es").fit(
            ["dos perros juegan", "un perro juega", "una niña", "unos niños"]
        )
        assert column_of(vectorizer, "perros") == column_of(vectorizer, "perro") == ["perr"]
        assert column_of(vectorizer, "ninos") == column_of(vectorizer, "niña") == ["niñ"]
        assert "perros" not in vectorizer.vocabulary_

    @pytest.mark.parametrize("language", words_module.STEMMERS)
    def test_every_language(self, language):
        assert isinstance(words_module.stem("abc", language), str)

    def test_threads_do_not_disturb_one_another(self):
        words = [f"jugando{i}mente perros{i}ando" for i in range(3000)]
        words_module.stem.cache_clear()
        vectors = [None] * 4
        vectorizer = every_term(language="es").fit(words)
        words_module.stem.cache_clear()

        def work(slot):
            vectors[slot] = vectorizer.transform(words).toarray().argmax(axis=1)

        threads = [Thread(target=work, args=(slot,)) for slot in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        words_module.stem.cache_clear()
        expected = vectorizer.transform(words).toarray().argmax(axis=1)
        for result in vectors:
            assert_array_equal(result, expected)


def test_max_features_keeps_the_terms_of_most_photographs():
    captions = ["bee cat", "bee cat", "ant bee", "ant dog", "dog elk", "cat"]
    kept = {n: CaptionVectorizer(min_df=1, max_features=n).fit(captions).vocabulary_ for n in (1, 2, 3, 9)}
    assert kept[1] == {"bee": 0}  # bee and cat are in three each
    assert kept[2] == {"bee": 0, "cat": 1}
    assert kept[3] == {"ant": 0, "bee": 1, "cat": 2}  # ant and dog are in two each
    assert sorted(kept[9]) == ["ant", "bee", "cat", "dog", "elk"]

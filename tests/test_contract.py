"""The rules of scikit-learn for the estimators of texts and photographs, and all classes put together."""

import pickle
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import mean_colour
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.sparse import csr_array, csr_matrix
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.utils import estimator_html_repr

import txt2img
from txt2img import (
    CaptionVectorizer,
    DescriptorWhitener,
    ImageFeaturizer,
    ImageIndex,
    RetrievalEvaluator,
    SentenceVectorizer,
    TextImageSearch,
    TextToVisualRegressor,
)
from txt2img.evaluation import recall_at_5
from txt2img.mapping import VisualMap

CAPTIONS = ["un perro en la playa", "la playa", "a cat on the sofa", "un perro", "", "a cat on a beach"]


def count_letters(sentences):
    return np.array([[1 + sentence.count(letter) for letter in "aeiou"] for sentence in sentences])


def three_colours(images):
    return np.array([np.asarray(image.resize((1, 3))).ravel() for image in images])


INSTANCES = {
    "CaptionVectorizer": CaptionVectorizer(min_df=1, ngram_range=(1, 2)),
    "SentenceVectorizer": SentenceVectorizer(),
    "SentenceVectorizer, callable": SentenceVectorizer(count_letters),
    "ImageFeaturizer": ImageFeaturizer("efficientnet_lite0"),
    "ImageFeaturizer, callable": ImageFeaturizer(three_colours),
}


@pytest.fixture(params=INSTANCES)
def estimator(request):
    return clone(INSTANCES[request.param])


@pytest.fixture
def items(estimator, photograph_files):
    return photograph_files[:4] if isinstance(estimator, ImageFeaturizer) else CAPTIONS


def dense(X):
    return X.toarray() if hasattr(X, "toarray") else X


@pytest.mark.filterwarnings("ignore::txt2img.exceptions.UnknownWordsWarning")
class TestTextAndPathEstimators:
    def test_constructor_stores_and_fit_leaves_it(self, estimator, items):
        before = estimator.get_params()
        assert estimator.fit(items) is estimator
        assert estimator.get_params() == before
        assert clone(estimator).get_params() == before
        assert type(estimator)(**before).get_params() == before
        assert set(vars(clone(estimator))) == set(before)

    def test_fit_is_idempotent_and_fit_transform_is_both(self, estimator, items):
        first = dense(estimator.fit(items[:3]).transform(items))
        assert_array_equal(dense(estimator.fit(items).fit(items[:3]).transform(items)), first)
        assert_array_equal(
            dense(estimator.fit_transform(items)), dense(clone(estimator).fit(items).transform(items))
        )

    def test_row_depends_on_its_own_item_only(self, estimator, items):
        whole = dense(estimator.fit(items).transform(items))
        order = [3, 0, 2, 0]
        assert_allclose(dense(estimator.transform([items[i] for i in order])), whole[order], atol=1e-5)
        for i, item in enumerate(items):
            assert_allclose(dense(estimator.transform([item]))[0], whole[i], atol=1e-5)

    @pytest.mark.parametrize(
        "estimator", [name for name, each in INSTANCES.items() if hasattr(each, "batch_size")], indirect=True
    )
    def test_batches_do_not_matter(self, estimator, items):
        whole = estimator.fit(items).transform(items)
        for batch_size in (1, 3):
            again = estimator.set_params(batch_size=batch_size).transform(items)
            assert_allclose(again, whole, atol=1e-5)

    def test_containers(self, estimator, items):
        whole = dense(estimator.fit(items).transform(items))
        frozen = np.array(items)
        frozen.flags.writeable = False
        columns = [pd.Series(items, index=range(9, 9 + len(items))), pd.Series(items, dtype="category")]
        for container in (tuple(items), frozen, np.array(items, dtype=object), pl.Series(items), *columns):
            assert_array_equal(dense(clone(estimator).fit(container).transform(container)), whole)

    @pytest.mark.parametrize("library", [pd, pl])
    def test_column_of_a_data_frame(self, estimator, items, library):
        frame = library.DataFrame({"what": items, "year": range(len(items))})
        own = ColumnTransformer([("own", clone(estimator), "what")])
        expected = dense(estimator.fit(items).transform(items))
        assert_array_equal(dense(own.fit(frame).transform(frame)), expected)
        names = [f"own__{name}" for name in estimator.get_feature_names_out()]
        assert own.get_feature_names_out().tolist() == names

    def test_captions_in_a_frame_or_table_are_refused(self):
        for table in (pd.DataFrame({"a": CAPTIONS}), pl.DataFrame({"a": CAPTIONS}), np.array([CAPTIONS])):
            with pytest.raises(ValueError, match="pass one column of sentences"):
                CaptionVectorizer().fit(table)

    def test_input_is_left_as_it_was(self, estimator, items):
        before = list(items)
        estimator.fit(items).transform(items)
        assert items == before

    def test_names_of_the_features(self, estimator, items):
        X = estimator.fit(items).transform(items)
        names = estimator.get_feature_names_out()
        assert names.dtype == object
        assert len(set(names)) == X.shape[1]
        assert all(isinstance(name, str) for name in names)

    def test_pickle_is_small_and_gives_the_same(self, estimator, items):
        X = dense(estimator.fit(items).transform(items))
        content = pickle.dumps(estimator)
        assert len(content) < 10_000
        assert_array_equal(dense(pickle.loads(content).transform(items)), X)

    def test_not_fitted(self, estimator, items):
        with pytest.raises(NotFittedError, match=f"{type(estimator).__name__} instance is not fitted yet"):
            estimator.get_feature_names_out()
        if estimator.__sklearn_tags__().requires_fit:
            with pytest.raises(NotFittedError, match="is not fitted yet"):
                estimator.transform(items)
        else:
            assert_array_equal(estimator.transform(items), clone(estimator).fit_transform(items))

    def test_nothing_and_one_item_in_place_of_a_list(self, estimator, items):
        with pytest.raises(ValueError, match=r"is empty: pass at least one"):
            estimator.fit([])
        with pytest.raises(ValueError, match=r"is one (string|photograph or folder).*: pass a list"):
            estimator.fit(items[0])

    def test_data_frame_output(self, estimator, items):
        if isinstance(estimator, CaptionVectorizer):
            assert not hasattr(estimator, "set_output")  # its vectors are sparse
            return
        expected = estimator.fit_transform(items)
        for library in (pd, pl):
            frame = estimator.set_output(transform=library.__name__).fit_transform(items)
            assert isinstance(frame, library.DataFrame)
            assert list(frame.columns) == estimator.get_feature_names_out().tolist()
            assert_array_equal(frame.to_numpy(), expected)


@pytest.mark.parametrize("library", [pd, pl])
@pytest.mark.parametrize("container", [csr_matrix, csr_array])
def test_data_frames_of_a_whole_pipeline(library, container):
    X, y = container(np.eye(6, 4)), np.eye(6, 4)
    pipeline = make_pipeline(TextToVisualRegressor(), DescriptorWhitener(2), VisualMap([None]))
    expected = pipeline.fit_transform(X, y)
    frame = pipeline.set_output(transform=library.__name__).fit_transform(X, y)
    assert isinstance(frame, library.DataFrame)
    assert (
        list(frame.columns) == pipeline[-1:].get_feature_names_out().tolist() == ["visualmap0", "visualmap1"]
    )
    assert_allclose(frame.to_numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("library", [pd, pl])
def test_an_index_takes_columns(library):
    X = np.eye(3)
    table = library.DataFrame({"place": ["Lima", "Quito", "Lima"], "year": [1999, 2001, 2003]})
    index = ImageIndex(n_neighbors=2).fit(
        library.DataFrame(X), ids=library.Series(["a", "b", "c"]), metadata=table
    )
    assert index.search(X[:1], k=2, where={"year": (">", 2000)})[1].tolist() == [["b", "c"]]
    assert index.get_feature_names_out().tolist() == [f"imageindex{row}" for row in range(3)]
    assert index.transform(X).shape == (3, 3)


@pytest.mark.parametrize("name", txt2img.__all__)
def test_every_class_is_shown_and_copied_by_its_parameters(name):
    estimator = getattr(txt2img, name)()
    parameters = estimator.get_params(deep=False)
    assert repr(estimator) == f"{name}()"
    assert name in estimator_html_repr(estimator)
    assert clone(estimator).get_params(deep=False) == parameters
    assert estimator.set_params(**parameters) is estimator
    with pytest.raises(ValueError, match="Invalid parameter 'nonsense' for estimator"):
        estimator.set_params(nonsense=1)


@pytest.fixture(scope="module")
def flat(captioned):
    captions, descriptors = captioned
    photograph = np.repeat(np.arange(len(captions)), 5)
    return [sentence for own in captions for sentence in own], descriptors, photograph


def test_the_contract_step_by_step(scene_files, tmp_path):
    mpl.use("agg")
    photos, captions = scene_files[0][:30], scene_files[1][:30]
    my_photos, my_captions = scene_files[0][30:40], scene_files[1][30:40]
    photo_of_caption = np.repeat(np.arange(30), 5)
    sentences = [sentence for own in captions for sentence in own]
    queries, true_ids = [own[0] for own in my_captions], my_photos

    visual = make_pipeline(ImageFeaturizer("efficientnet_lite0"), DescriptorWhitener())
    D = visual.fit_transform(photos)
    assert D.dtype == np.float32
    assert len(D) == 30
    text = make_pipeline(CaptionVectorizer(language="en"), TextToVisualRegressor())
    text.fit(sentences, D[photo_of_caption])
    index = ImageIndex(metric="cosine").fit(visual.transform(my_photos), ids=my_photos)
    scores, ids = index.search(text.predict(["a red ball"]), k=2)
    assert scores.shape == ids.shape == (1, 2)
    report = RetrievalEvaluator(ks=(1, 2, 5, 10)).evaluate(text.predict(queries), index, true_ids)
    assert report.recall_at(5) >= 0.5
    assert report.median_rank == np.median(report.ranks)
    assert len(report.ranks) == 10
    assert report.plot().figure_ is not None

    search = TextImageSearch(
        ImageFeaturizer("efficientnet_lite0"), vectorizer=CaptionVectorizer(language="en")
    )
    search.fit(photos, captions).add(my_photos).remove(my_photos[:1])
    hits = search.query("a red ball", k=5)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    assert {hit.id for hit in hits} <= set(my_photos[1:])
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert search.evaluate(my_photos, my_captions).n_queries == 50
    search.save(tmp_path / "model")
    assert TextImageSearch.load(tmp_path / "model").query("a red ball", k=5) == hits


def test_one_pipeline_from_a_sentence_to_a_photograph(flat):
    sentences, descriptors, photograph = flat
    text = make_pipeline(CaptionVectorizer(), TextToVisualRegressor()).fit(sentences, descriptors[photograph])
    names = np.array([f"p{i}" for i in range(len(descriptors))])
    pipeline = make_pipeline(*text, ImageIndex().fit(descriptors, ids=names))
    found = pipeline.predict(sentences)
    assert_array_equal(found, pipeline[-1].predict(text.predict(sentences)))
    assert np.mean(found == names[photograph]) > 20 / len(names)


def test_vocabulary_counts_photographs_inside_a_plain_pipeline(flat):
    sentences, descriptors, photograph = flat
    text = make_pipeline(CaptionVectorizer(), TextToVisualRegressor()).fit(sentences, descriptors[photograph])
    assert text[0].vocabulary_ == CaptionVectorizer().fit(sentences, groups=photograph).vocabulary_


def test_grid_search_with_groups(flat):
    sentences, descriptors, photograph = flat
    text = make_pipeline(CaptionVectorizer(), TextToVisualRegressor())
    grid = GridSearchCV(
        text, {"texttovisualregressor__alpha": [0.3, 3, 1e5]}, cv=GroupKFold(3), scoring=recall_at_5, n_jobs=2
    )
    grid.fit(sentences, descriptors[photograph], groups=photograph)
    assert grid.best_params_["texttovisualregressor__alpha"] != 1e5
    assert grid.best_score_ > 4 * 5 / 100


@pytest.mark.filterwarnings("ignore::txt2img.exceptions.UnknownWordsWarning")
def test_words_and_meaning_side_by_side(flat):
    sentences, descriptors, photograph = flat
    both = FeatureUnion([("words", CaptionVectorizer()), ("meaning", SentenceVectorizer())])
    scores = cross_val_score(
        make_pipeline(both, TextToVisualRegressor()),
        sentences,
        descriptors[photograph],
        groups=photograph,
        cv=GroupKFold(2),
        scoring=recall_at_5,
    )
    assert (scores > 3 * 5 / 150).all()


@pytest.mark.filterwarnings("ignore::txt2img.exceptions.UnknownWordsWarning")
def test_grid_search_over_the_whole_search(captioned):
    captions, descriptors = captioned
    grid = GridSearchCV(
        TextImageSearch(regressor=TextToVisualRegressor(), whitener=DescriptorWhitener()),
        {"regressor__alpha": [1.0, 10.0], "whitener__n_components": [1, 512]},
        scoring=lambda search, photos, captions: search.evaluate(photos, captions).mrr,
        cv=3,
    )
    grid.fit(descriptors, captions)
    assert grid.best_params_["whitener__n_components"] == 512
    assert len(grid.best_estimator_.add(descriptors[:3])) == 3


def test_photographs_side_by_side_and_whitened(photograph_files):
    both = FeatureUnion([("mean", ImageFeaturizer(mean_colour)), ("rows", ImageFeaturizer(three_colours))])
    D = make_pipeline(both, DescriptorWhitener(n_components=2)).fit_transform(photograph_files)
    assert D.shape == (6, 2)
    own = [ImageFeaturizer(backbone).transform(photograph_files) for backbone in (mean_colour, three_colours)]
    assert_array_equal(both.transform(photograph_files), np.hstack(own))


def test_pictures_in_every_form_are_one_photograph(photograph_files):
    featurizer = ImageFeaturizer("efficientnet_lite0").fit(photograph_files)
    path = photograph_files[1]
    with Image.open(path) as picture:
        forms = [path, Path(path), Path(path).read_bytes(), picture.copy(), np.asarray(picture)]
    D = featurizer.transform(forms)
    assert_allclose(D, np.tile(D[0], (5, 1)), atol=1e-6)

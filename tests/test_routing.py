"""Groups and weights of captions on their way through scikit-learn's pipelines and searches."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline

from txt2img import CaptionVectorizer, TextToVisualRegressor
from txt2img.evaluation import recall_at_5
from txt2img.mapping import MapEnsemble


@pytest.fixture(autouse=True)
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture(scope="module")
def flat(captioned):
    """Return sentences, the descriptor, photograph and weight of each: those of some photographs count 3."""
    captions, descriptors = captioned
    photograph = np.repeat(np.arange(60), 5)
    sentences = [sentence for own in captions[:60] for sentence in own]
    return sentences, descriptors[photograph], photograph, np.where(photograph % 3, 1.0, 3.0)


def routed(regressor):
    return make_pipeline(
        CaptionVectorizer().set_fit_request(groups=True),
        regressor.set_fit_request(groups=True, sample_weight=True),
    )


@pytest.mark.parametrize(
    "regressor",
    [TextToVisualRegressor(), MapEnsemble([("ridge", TextToVisualRegressor())])],
    ids=["regressor", "ensemble"],
)
def test_a_pipeline_hands_groups_and_weights_to_its_parts(flat, regressor):
    sentences, D, photograph, weight = flat
    two = photograph // 2  # otherwise than equal descriptors would say
    text = routed(regressor).fit(sentences, D, groups=two, sample_weight=weight)
    assert text[0].n_photographs_ == 30
    X = CaptionVectorizer().fit_transform(sentences, groups=two)
    expected = regressor.fit(X, D, groups=two, sample_weight=weight)
    assert_allclose(text.predict(sentences), expected.predict(X))


@pytest.mark.filterwarnings("ignore::txt2img.exceptions.UnknownWordsWarning")
def test_grid_search_and_cross_validation_fit_a_weighted_map(flat):
    sentences, D, photograph, weight = flat
    known = {"groups": photograph, "sample_weight": weight}
    folds = list(GroupKFold(3).split(sentences, groups=photograph))
    expected = []
    for learned, asked in folds:
        vectorizer = CaptionVectorizer()
        X = vectorizer.fit_transform([sentences[row] for row in learned], groups=photograph[learned])
        regressor = TextToVisualRegressor().fit(X, D[learned], sample_weight=weight[learned])
        text = make_pipeline(vectorizer, regressor)
        expected.append(recall_at_5(text, [sentences[row] for row in asked], D[asked]))

    text = routed(TextToVisualRegressor())
    found = cross_validate(text, sentences, D, params=known, cv=GroupKFold(3), scoring=recall_at_5)
    assert_array_equal(found["test_score"], expected)
    grid = GridSearchCV(
        text, {"texttovisualregressor__alpha": [10.0, 1e6]}, cv=GroupKFold(3), scoring=recall_at_5
    ).fit(sentences, D, **known)
    assert_array_equal([grid.cv_results_[f"split{i}_test_score"][0] for i in range(3)], expected)
    assert_allclose(
        grid.best_estimator_.predict(sentences[:3]),
        text.set_params(texttovisualregressor__alpha=grid.best_params_["texttovisualregressor__alpha"])
        .fit(sentences, D, **known)
        .predict(sentences[:3]),
    )


def test_weights_that_nobody_asked_for_are_refused(flat):
    sentences, D, _, weight = flat
    text = make_pipeline(CaptionVectorizer(), TextToVisualRegressor())
    with pytest.raises(ValueError, match="sample_weight"):
        text.fit(sentences, D, sample_weight=weight)
